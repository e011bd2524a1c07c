"""The shipped detector, on photographs whose faces are known."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge import boxes as geometry
from edge.blur import regions_of
from edge.boxes import Floats
from edge.config import BlurConfig, DetectorConfig
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector, paint
from edge.detection.session import Session, read_detector
from edge.detection.views import Search, View
from edge.frames import Pixels
from edge.pictures import read_picture
from tests.conftest import DATA
from tests.models import GOOD

GOLDEN = {"astronaut.jpg": (181, 58, 270, 178), "hopper.jpg": (174, 124, 354, 335)}
NEAR = 0.6
"""Least overlap (IoU) with these: how much of hair and chin belongs to a face depends on the training."""


@pytest.mark.parametrize("canvas", [None, "640x384", "960x544"])
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_faces_of_the_shipped_photographs_are_found(name: str, canvas: str | None) -> None:
    config = DetectorConfig(provider="cpu", canvas=canvas, threads=1)
    detector = open_detector(read_detector(None), config)
    found = detector.detect(read_picture(DATA / name).pixels)
    assert found.scores[0] > detector.score_last_look
    assert geometry.iou(found.boxes[:1], np.array([GOLDEN[name]], np.float32))[0, 0] > NEAR
    assert (found.scores[1:] < 0.5).all()


def test_the_known_face_is_found(detector: Detector, small_detector: Detector) -> None:
    assert known_face.check(detector) > NEAR
    assert known_face.check(small_detector) > NEAR


def test_a_picture_without_faces_has_none(detector: Detector) -> None:
    random = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    for pixels in (random, np.zeros((480, 640, 3), np.uint8)):
        assert len(detector.detect(pixels).at_least(detector.score_begin).boxes) == 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.5])
def test_boxes_follow_the_size_of_the_picture(detector: Detector, astronaut: Pixels, scale: float) -> None:
    scaled = np.asarray(cv2.resize(astronaut, None, fx=scale, fy=scale), np.uint8)
    found = detector.detect(scaled)
    expected = (known_face.EXPECTED * scale).astype(np.float32)
    assert geometry.iou(found.boxes[:1], expected)[0, 0] > NEAR


def scene_of_small_faces(astronaut: Pixels) -> tuple[Pixels, list[tuple[int, int]]]:
    """Faces of 20 pixels at every place of a 4K frame, and where their pictures of 54x45 pixels lie."""
    small = cv2.resize(astronaut[:200, 100:340], (54, 45), interpolation=cv2.INTER_AREA)
    scene = np.full((2160, 3840, 3), 120, np.uint8)
    places = [(x, y) for x in range(0, 3840 - 54, 420) for y in range(0, 2160 - 45, 423)]
    for x, y in places:
        scene[y : y + 45, x : x + 54] = small
    return scene, places


def count(detector: Detector, scene: Pixels, places: list[tuple[int, int]], smallest_face: float) -> int:
    """How many of the small faces are found; none of them twice."""
    found = detector.detect(scene, Search(smallest_face)).at_least(detector.score_begin)
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    hits = [sum(x <= cx <= x + 54 and y <= cy <= y + 45 for cx, cy in centres.tolist()) for x, y in places]
    assert max(hits) <= 1
    return sum(hits)


@pytest.mark.parametrize("canvas", [None, "640x384"])
def test_faces_of_the_smallest_size_are_found_on_every_canvas(astronaut: Pixels, canvas: str | None) -> None:
    """Faces of 20 pixels and one of 800, on a frame larger than the canvas."""
    config = DetectorConfig(provider="cpu", canvas=canvas, timeout_seconds=60)
    detector = open_detector(read_detector(None), config)
    scene, places = scene_of_small_faces(astronaut)
    assert count(detector, scene, places, 20) >= 0.98 * len(places)
    assert count(detector, scene, places, 200) <= 0.6 * len(places)
    close = cv2.resize(astronaut[:300, 60:380], (2100, 1969), interpolation=cv2.INTER_CUBIC)
    scene[100:2069, 900:3000] = close
    found = detector.detect(scene)
    assert found.boxes[0, 2] - found.boxes[0, 0] > 400


def turned_box(box: Floats, turn: int, width: int, height: int) -> Floats:
    """Where a box of a picture of this size lies once that was turned clockwise by ``turn`` quarters."""
    corners = [(box[0], box[1]), (box[2], box[3])]
    for _ in range(turn):
        corners = [(height - y, x) for x, y in corners]
        width, height = height, width
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return np.concatenate([low, high]).astype(np.float32)


@pytest.mark.parametrize("canvas", [None, "640x384"])
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_face_that_does_not_stand_upright_is_found_and_its_forehead_covered(
    astronaut: Pixels, turn: int, canvas: str | None
) -> None:
    config = DetectorConfig(provider="cpu", canvas=canvas, threads=1)
    detector = open_detector(read_detector(None), config)
    portrait = np.ascontiguousarray(astronaut[:400])  # not square, so that mixed up sides show
    height, width = portrait.shape[:2]
    x1, y1, x2, y2 = known_face.EXPECTED[0].tolist()
    upper = y1 - 0.35 * (y2 - y1)  # with the hair
    head = np.array([x1, upper, x2, y2], np.float32)
    scene = np.ascontiguousarray(np.rot90(portrait, -turn))
    search = Search(any_orientation=True)
    found = detector.detect(scene, search).at_least(detector.score_begin)
    expected = turned_box(head, turn, width, height)
    overlap = geometry.iou(found.boxes, expected[None])[:, 0]
    assert overlap.max() > NEAR
    regions = regions_of(found.boxes, scene.shape[1], scene.shape[0], BlurConfig())
    covered = np.zeros(scene.shape[:2], np.bool_)
    for left, top, right, bottom in regions.tolist():
        covered[top:bottom, left:right] = True
    left, top, right, bottom = expected.round().astype(int).tolist()
    assert covered[top:bottom, left:right].all()


class Corner:
    """Stands in for a session on a free canvas: one box, ``width`` x ``height`` pixels, at the top left."""

    contract, size, provider = GOOD, None, "cpu"

    def __init__(self, width: int, height: int) -> None:
        self._box = (0, 0, width, height)

    def run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        return np.array([self._box, (0, 0, 1, 1)], np.float32), np.array([0.9, 0], np.float32)


@pytest.mark.parametrize(
    ("turn", "box"),
    [
        (0, (100, 50, 130, 90)),
        # The top left of the turned view, and two fifths of the height more above the forehead
        (1, (100, 320, 140, 350)),
        (2, (570, 310, 600, 350)),
        (3, (560, 50, 600, 80)),
    ],
)
def test_boxes_of_turned_views_lie_where_they_belong(turn: int, box: tuple[int, ...]) -> None:
    """The box is cut to the frame only, so above the forehead it reaches out of the view."""
    detector = Detector(cast(Session, Corner(30, 40)), DetectorConfig())
    sides = (500, 300) if turn % 2 == 0 else (300, 500)
    view = View(100, 50, 600, 350, geometry.fit(*sides, *sides), turn=turn)
    found = detector.look(np.zeros((400, 700, 3), np.uint8), [view])[0]
    x1, y1, x2, y2 = box
    more = 0.4 * 40
    grown = {
        0: box,
        1: (x1 - more, y1, x2, y2),
        2: (x1, y1, x2, y2 + more),
        3: (x1, y1, x2 + more, y2),
    }[turn]
    np.testing.assert_allclose(found.boxes, [grown])


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_view_does_not_count_what_is_left_to_finer_ones(turn: int) -> None:
    view = replace(View(0, 0, 64, 64, geometry.fit(64, 64, 128, 128)), turn=turn)
    picture = np.zeros((64, 64, 3), np.uint8)
    for least, count in ((0, 1), (20, 1), (20.5, 0)):  # the longer side is 20 pixels of the frame
        detector = Detector(cast(Session, Corner(30, 40)), DetectorConfig())
        assert len(detector.look(picture, [replace(view, least=least)])[0].boxes) == count


def test_the_canvas_is_rgb_at_the_top_left() -> None:
    view = np.zeros((30, 60, 3), np.uint8)
    view[..., 0] = 200  # blue
    canvas = paint(view, geometry.fit(60, 30, 120, 96), "area", (0, 0, 0))
    assert canvas.shape == (96, 120, 3)
    assert canvas[59, 119].tolist() == [0, 0, 200]
    assert canvas[60:].max() == 0


@pytest.mark.parametrize(
    ("width", "height"),
    [(1920, 1080), (1280, 720), (1000, 750), (2592, 1944), (3840, 2160), (2560, 1440), (2561, 1441)],
)
def test_averaging_is_nearly_opencvs(width: int, height: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    view = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1), np.uint8)
    letterbox = geometry.fit(width, height, 640, 384)
    size = (letterbox.inner_width, letterbox.inner_height)
    canvas = paint(view, letterbox, "area", (0, 0, 0))[: size[1], : size[0], ::-1]
    wanted = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
    difference = cv2.absdiff(np.ascontiguousarray(canvas), wanted)
    points = cv2.absdiff(cv2.resize(view, size, interpolation=cv2.INTER_NEAREST), wanted)
    assert np.mean(difference) <= np.mean(points) / 4
    assert difference.max() <= 30
