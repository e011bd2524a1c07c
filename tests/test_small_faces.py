"""Faces as a camera sees them: the shipped portraits, 14 to 60 pixels wide, somewhere in 1920x1080."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import make_config
from edge.config.privacy import SMALLEST_FACE_IN_FILES
from edge.detection.detector import Detector
from edge.files import batch
from edge.frames import Pixels
from edge.pictures import read_picture
from tests.conftest import DATA
from tests.daemon.playing import Played, make, run, stored

WIDTHS = (14, 17, 20, 25, 30, 40, 60)
FACES = {"astronaut.jpg": (181, 58, 270, 178), "hopper.jpg": (167, 144, 361, 352)}
"""Where the faces of the portraits are, ``x1 y1 x2 y2`` in their pixels."""
COLOUR = (1, 2, 253)
"""What covers them (RGB): no portrait has it."""
BLUR = {"fill": "solid", "solid_rgb": COLOUR}
OPTIONS = batch.Options(resume=False, convert=False, keep_audio=False, quality=95, workers=1)
Place = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def scene() -> Pixels:
    """A grainy wall with both portraits at each width, uint8 ``[1080, 1920, 3]`` BGR."""
    grain = np.random.default_rng(5).normal(110, 6, (1080, 1920, 1))
    wall: Pixels = np.repeat(np.clip(grain, 0, 255).astype(np.uint8), 3, axis=2)
    for (name, width), (left, top, _, _) in places(whole=True).items():
        portrait, face = read_picture(DATA / name).pixels, FACES[name]
        scale = width / (face[2] - face[0])
        small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        wall[top : top + small.shape[0], left : left + small.shape[1]] = small
    wall.setflags(write=False)
    return wall


def places(*, whole: bool = False) -> dict[tuple[str, int], Place]:
    """Where each face is in the scene, ``x1 y1 x2 y2`` in pixels; ``whole``: from its portrait's corner."""
    found = {}
    for row, (name, face) in enumerate(FACES.items()):
        for column, width in enumerate(WIDTHS):
            left, top = 20 + column * 250, 90 + row * 540
            x1, y1, x2, y2 = (round(side * width / (face[2] - face[0])) for side in face)
            corner = (left, top) if whole else (left + x1, top + y1)
            found[name, width] = (*corner, left + x2, top + y2)
    return found


def uncovered(image: Pixels) -> list[tuple[str, int]]:
    """The faces of which the middle is not covered all over."""
    covered = (image == COLOUR[::-1]).all(axis=2)
    left = []
    for face, (x1, y1, x2, y2) in places().items():
        wide, tall = (x2 - x1) // 4, (y2 - y1) // 4
        if not covered[y1 + tall : y2 - tall, x1 + wide : x2 - wide].all():
            left.append(face)
    return left


def test_a_camera_shows_none_of_them(tmp_path: Path, scene: Pixels, small_detector: Detector) -> None:
    """With its defaults, 20 pixels and more; it finds smaller ones, too."""
    chosen = make_config({"store": {"folder": tmp_path, "format": "png"}, "blur": BLUR}, "test")
    run(make(chosen, [Played([scene, scene])], small_detector)[0])
    images = stored(tmp_path)
    assert [uncovered(image) for image in images] == [[], []]
    assert len(uncovered(scene)) == len(places())
    for image in images:  # nor is all of it covered
        assert (image == COLOUR[::-1]).all(axis=2).mean() < 0.06


def test_a_picture_shows_none_of_them(tmp_path: Path, scene: Pixels, small_detector: Detector) -> None:
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    privacy = {"smallest_face_pixels": SMALLEST_FACE_IN_FILES}
    plan = batch.make_plan([tmp_path / "scene.png"], tmp_path / "out")
    chosen = make_config({"privacy": privacy, "blur": BLUR}, "test")
    (outcome,) = batch.run(plan.jobs, small_detector, chosen, OPTIONS, lambda count: None)
    assert outcome.state == "written"
    image = read_picture(tmp_path / "out" / "scene.png").pixels
    assert uncovered(image) == []
    assert (image == COLOUR[::-1]).all(axis=2).mean() < 0.06
