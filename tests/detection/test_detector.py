"""The shipped detector, on photographs whose faces are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge import boxes as geometry
from edge.config import DetectorConfig
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector, paint
from edge.detection.session import read_detector
from edge.frames import Pixels
from edge.pictures import read_picture
from tests.conftest import DATA

GOLDEN = {"astronaut.jpg": (181, 58, 270, 178), "hopper.jpg": (174, 124, 354, 335)}
NEAR = 0.6
"""Least overlap (IoU) with these: how much of hair and chin belongs to a face depends on the training."""


@pytest.mark.parametrize("size", ["auto", "native", "640x384", "960x544"])
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_faces_of_the_shipped_photographs_are_found(name: str, size: str) -> None:
    config = DetectorConfig(provider="cpu", size_pixels=size, threads=1)
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


def test_tiles_find_small_faces_that_one_view_misses(astronaut: Pixels) -> None:
    small = cv2.resize(astronaut, (32, 32), interpolation=cv2.INTER_AREA)
    scene = np.full((1080, 1920, 3), 120, np.uint8)
    for top in range(20, 950, 200):
        for left in range(20, 1790, 220):
            scene[top : top + 32, left : left + 32] = small
    placed = len(range(20, 950, 200)) * len(range(20, 1790, 220))

    def count(tiles: str) -> int:
        config = DetectorConfig(provider="cpu", size_pixels="640x384", tiles=tiles)
        found = open_detector(read_detector(None), config).detect(scene)
        return int((found.scores >= 0.35).sum())

    assert count("3x2") >= 0.95 * placed
    assert count("1x1") < 0.5 * placed
    assert count("3x2") <= placed  # the same face in two tiles is one


def test_small_faces_of_a_frame_larger_than_the_canvas_are_found(astronaut: Pixels) -> None:
    """Faces of 20 pixels and one of 800, at every place of a 4K frame: what ``auto`` is for."""
    small = cv2.resize(astronaut[:200, 100:340], (54, 45), interpolation=cv2.INTER_AREA)
    scene = np.full((2160, 3840, 3), 120, np.uint8)
    places = [(x, y) for x in range(0, 3840 - 54, 420) for y in range(0, 2160 - 45, 423)]
    for x, y in places:
        scene[y : y + 45, x : x + 54] = small
    close = cv2.resize(astronaut[:300, 60:380], (2100, 1969), interpolation=cv2.INTER_CUBIC)
    for size_pixels, least, most in (("auto", 0.98, 1), ("640x384", 0, 0.6)):
        config = DetectorConfig(provider="cpu", size_pixels=size_pixels, timeout_seconds=60)
        detector = open_detector(read_detector(None), config)
        found = detector.detect(scene).at_least(detector.score_begin)
        centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        hits = [
            any(x <= cx <= x + 54 and y <= cy <= y + 45 for cx, cy in centres.tolist()) for x, y in places
        ]
        assert least * len(places) <= sum(hits) <= most * len(places), size_pixels
    scene[100:2069, 900:3000] = close
    found = detector.detect(scene)
    assert found.boxes[0, 2] - found.boxes[0, 0] > 400


def test_the_canvas_is_rgb_at_the_top_left() -> None:
    view = np.zeros((30, 60, 3), np.uint8)
    view[..., 0] = 200  # blue
    canvas = paint(view, geometry.fit(60, 30, 120, 96), "area", (0, 0, 0))
    assert canvas.shape == (96, 120, 3)
    assert canvas[59, 119].tolist() == [0, 0, 200]
    assert canvas[60:].max() == 0


@pytest.mark.parametrize(
    ("width", "height", "off"),
    [
        (1920, 1080, 0),
        (1280, 720, 0),
        (1000, 750, 0),
        (2592, 1944, 8),
        (3840, 2160, 2),
        (2560, 1440, 1),
        (2561, 1441, 0),
    ],
)
def test_averaging_is_opencvs(width: int, height: int, off: int) -> None:
    """``off``: most levels by which a frame that is halved first may differ."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    view = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1), np.uint8)
    letterbox = geometry.fit(width, height, 640, 384)
    size = (letterbox.inner_width, letterbox.inner_height)
    canvas = paint(view, letterbox, "area", (0, 0, 0))[: size[1], : size[0], ::-1]
    wanted = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
    difference = cv2.absdiff(np.ascontiguousarray(canvas), wanted)
    assert difference.max() <= off
    assert np.mean(difference) <= off / 3
