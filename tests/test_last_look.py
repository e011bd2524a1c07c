"""The last look at an image before it is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from edge import blur
from edge.config import BlurConfig
from edge.detection.detector import Detections, Detector
from edge.errors import DetectionError
from edge.frames import Pixels, RawFrame
from edge.last_look import Cover, take_last_look
from edge.reasons import Reason
from tests.one_view import OneView

Make = Callable[..., RawFrame]
NONE = np.zeros((0, 4), np.float32)
ZONE = ((0.0, 0.0), (0.1, 0.0), (0.1, 0.1), (0.0, 0.1))


class Scripted(OneView):
    """Answers as told, call by call, and keeps what it was shown."""

    score_last_look = 0.35

    def __init__(self, *answers: list[list[float]]) -> None:
        self._answers = list(answers)
        self.shown: list[Pixels] = []

    def find(self, pixels: Pixels) -> Detections:
        self.shown.append(pixels)
        boxes = np.array(self._answers.pop(0), np.float32).reshape(-1, 4)
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32))


def test_a_covered_face_passes(astronaut: Pixels, small_detector: Detector, raw: Make) -> None:
    frame = raw(astronaut)
    boxes = small_detector.detect(astronaut).boxes
    safe = blur.anonymize(frame, boxes, BlurConfig())
    last = take_last_look(Cover(frame, boxes, BlurConfig()), safe, small_detector)
    assert last.frame is safe
    assert not last.regrown
    assert not last.escalated


def test_a_face_that_was_not_covered_is_found_and_covered(
    astronaut: Pixels, small_detector: Detector, raw: Make
) -> None:
    frame = raw(astronaut)
    safe = blur.anonymize(frame, NONE, BlurConfig())
    assert np.array_equal(safe.pixels, astronaut)
    last = take_last_look(Cover(frame, NONE, BlurConfig(), (ZONE,)), safe, small_detector)
    assert last.regrown
    assert not last.escalated
    assert not len(small_detector.detect(last.frame.pixels).at_least(small_detector.score_last_look).boxes)
    x1, y1, x2, y2 = small_detector.detect(astronaut).boxes[0].astype(int)
    assert (last.frame.pixels[y1:y2, x1:x2] != astronaut[y1:y2, x1:x2]).mean() > 0.9
    assert (last.frame.pixels[:30, :30] == blur.GREY).all()  # the zone is still covered


@pytest.mark.parametrize("fill", ["infill", "solid"])
def test_a_region_that_lies_beside_the_face_is_mended(
    astronaut: Pixels, small_detector: Detector, raw: Make, fill: Any
) -> None:
    frame, settings = raw(astronaut), BlurConfig(fill=fill)
    beside = small_detector.detect(astronaut).boxes + np.array([[150, 100, 150, 100]], np.float32)
    safe = blur.anonymize(frame, beside, settings)
    last = take_last_look(Cover(frame, beside, settings), safe, small_detector)
    assert last.regrown
    assert not len(small_detector.detect(last.frame.pixels).at_least(small_detector.score_last_look).boxes)
    x1, y1, x2, y2 = beside[0].astype(int)
    assert (last.frame.pixels[y1:y2, x1:x2] != astronaut[y1:y2, x1:x2]).mean() > 0.9  # still covered


def test_detection_runs_on_the_stored_picture_and_not_on_the_raw_one(raw: Make) -> None:
    frame, face = raw(), np.array([[20, 20, 60, 60]], np.float32)
    detector = Scripted([[100, 100, 140, 140]], [])
    safe = blur.anonymize(frame, face, BlurConfig())
    last = take_last_look(Cover(frame, face, BlurConfig()), safe, cast(Detector, detector))
    assert len(detector.shown) == 2
    assert np.array_equal(detector.shown[0], safe.pixels)
    assert np.array_equal(detector.shown[1], last.frame.pixels)
    assert (last.frame.pixels[20:60, 20:60] != frame.pixels[20:60, 20:60]).any(axis=2).mean() > 0.9


def test_what_is_found_grows_on_all_sides(raw: Make) -> None:
    frame = raw()
    detector = Scripted([[100, 100, 140, 140]], [])
    safe = blur.anonymize(frame, NONE, BlurConfig())
    last = take_last_look(Cover(frame, NONE, BlurConfig(margin_sides=0)), safe, cast(Detector, detector))
    assert (last.regrown, last.escalated) == (True, False)
    changed = np.argwhere((last.frame.pixels != frame.pixels).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert left <= 82
    assert right >= 157
    assert top <= 82
    assert bottom >= 157


def test_a_face_that_is_found_again_covers_all(raw: Make) -> None:
    frame = raw()
    detector = Scripted([[100, 100, 140, 140]], [[10, 10, 30, 30]])
    safe = blur.anonymize(frame, NONE, BlurConfig())
    last = take_last_look(Cover(frame, NONE, BlurConfig()), safe, cast(Detector, detector))
    assert (last.regrown, last.escalated) == (True, True)
    assert last.frame.whole
    assert (last.frame.pixels == blur.GREY).all()
    assert len(detector.shown) == 2


@pytest.mark.parametrize(("score", "taken"), [(0.3, False), (0.349, False), (0.35, True), (0.99, True)])
def test_score_last_look_is_the_limit(raw: Make, score: float, taken: bool) -> None:
    class Unsure(Scripted):
        score_last_look = float(np.float32(0.35))

        def find(self, pixels: Pixels) -> Detections:
            return Detections(np.array([[1, 1, 20, 20]], np.float32), np.array([score], np.float32))

    frame = raw()
    safe = blur.anonymize(frame, NONE, BlurConfig())
    last = take_last_look(Cover(frame, NONE, BlurConfig()), safe, cast(Detector, Unsure()))
    assert (last.frame is safe) != taken
    assert last.escalated == taken


def test_many_faces_are_all_covered_at_once(raw: Make) -> None:
    frame = raw()
    found = [[8.0 * n, 5.0 * n, 8.0 * n + 20, 5.0 * n + 20] for n in range(35)]
    safe = blur.anonymize(frame, NONE, BlurConfig())
    last = take_last_look(
        Cover(frame, NONE, BlurConfig(fill="solid")), safe, cast(Detector, Scripted(found, []))
    )
    for x1, y1, x2, y2 in np.array(found).astype(int):
        assert (last.frame.pixels[y1:y2, x1:x2] == 128).all()


def test_an_image_that_is_covered_whole_needs_no_last_look(raw: Make) -> None:
    frame = raw()
    safe, detector = blur.cover_whole(frame), Scripted([[1, 1, 20, 20]])
    assert take_last_look(Cover(frame, NONE, BlurConfig()), safe, cast(Detector, detector)).frame is safe
    assert detector.shown == []


@pytest.mark.parametrize("good_looks", [0, 1])
def test_a_detector_that_fails_says_so(raw: Make, good_looks: int) -> None:
    """Also in the look after more was covered."""

    class Broken(Scripted):
        def find(self, pixels: Pixels) -> Detections:
            if not self._answers:
                raise DetectionError(Reason.DETECTOR_TIMEOUT, "slow")
            return super().find(pixels)

    frame = raw()
    safe = blur.anonymize(frame, NONE, BlurConfig())
    detector = Broken(*[[[1.0, 1.0, 20.0, 20.0]]] * good_looks)
    with pytest.raises(DetectionError, match="slow"):
        take_last_look(Cover(frame, NONE, BlurConfig()), safe, cast(Detector, detector))
