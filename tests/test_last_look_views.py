"""Where the last look searches: at the scale of detection, and wherever nothing has passed yet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge import blur
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.detection.detector import EVERYTHING
from edge.detection.gate import Gate, Plan
from edge.detection.views import Search, View
from edge.frames import Pixels, RawFrame
from edge.last_look import Cover, Unpassed, take_last_look
from tests.detection.painted import Painted, paint

Make = Callable[..., RawFrame]
WIDTH, HEIGHT = 1280, 720
SEARCH = Search(20, in_parts=True)
STILL: Pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
STILL.setflags(write=False)
NONE: Floats = np.zeros((0, 4), np.float32)
BOX: Floats = np.array([[300, 200, 324, 224]], np.float32)


class Camera:
    """Plans frames, as detection does, and takes the last look at them."""

    def __init__(self, raw: Make) -> None:
        self.detector = Painted()
        self.gate = Gate(self.detector, SEARCH, 60)
        self.unpassed = Unpassed()
        self._raw, self._number = raw, 0

    def plan(self, pixels: Pixels) -> Plan:
        self._number += 1
        plan = self.gate.plan(pixels, self._number / 10)
        self.gate.settle(plan, self.detector.look(pixels, plan.views))
        self.unpassed.add(plan)
        return plan

    def last_look(self, pixels: Pixels, boxes: Floats = NONE, *, passes: bool = True) -> list[View]:
        """The views in which an image of the frame that was planned last is searched."""
        image = blur.anonymize(self._raw(pixels), boxes, BlurConfig(fill="solid"))
        views = self.unpassed.views(image, self.detector, self.gate.blocks)
        if passes:
            self.unpassed.passed()
        return views


def scale_of(view: View) -> float:
    return view.letterbox.scale


def around(views: list[View], x: int, y: int) -> bool:
    return any(view.x1 <= x < view.x2 and view.y1 <= y < view.y2 for view in views)


@pytest.mark.parametrize("search", [EVERYTHING, SEARCH, Search(12), Search(40), Search(20, True, True)])
def test_an_image_is_searched_at_the_scale_of_detection(raw: Make, search: Search) -> None:
    """As finely as the frame was, before and after more was covered."""
    frame, detector = raw(paint(STILL, 300, 200)), Painted()
    expected = detector.views(WIDTH, HEIGHT, search)
    safe = blur.anonymize(frame, NONE, BlurConfig(fill="solid"))
    last = take_last_look(Cover(frame, NONE, BlurConfig(fill="solid")), safe, detector, search)
    assert last.regrown
    assert not last.escalated
    assert detector.looked_at == [*expected, *expected]


def test_the_views_that_are_asked_for_are_those_searched(raw: Make) -> None:
    frame, detector = raw(STILL), Painted()
    views = [detector.part(view, 200, 100, 500, 400) for view in detector.views(WIDTH, HEIGHT, SEARCH)]
    safe = blur.anonymize(frame, NONE, BlurConfig())
    take_last_look(Cover(frame, NONE, BlurConfig()), safe, detector, SEARCH, views)
    assert detector.looked_at == views


def test_what_has_not_passed_is_searched_at_the_scale_of_its_level(raw: Make) -> None:
    camera = Camera(raw)
    levels = camera.detector.views(WIDTH, HEIGHT, SEARCH)
    camera.plan(STILL)
    assert camera.last_look(STILL) == levels
    camera.plan(STILL)
    assert camera.last_look(STILL) == []
    frame = paint(STILL, 300, 200)
    camera.plan(frame)
    parts = camera.last_look(frame)
    assert len(parts) == len(levels)
    for part, level in zip(parts, levels, strict=True):
        assert around([part], 300, 200)
        assert scale_of(part) == pytest.approx(scale_of(level), rel=0.02)


def test_what_did_not_pass_is_searched_until_it_does(raw: Make) -> None:
    camera = Camera(raw)
    camera.plan(STILL)
    camera.last_look(STILL)
    frame = paint(STILL, 300, 200)
    camera.plan(frame)
    assert around(camera.last_look(frame, passes=False), 300, 200)
    camera.plan(frame)
    assert around(camera.last_look(frame), 300, 200)
    camera.plan(frame)
    assert camera.last_look(frame) == []


def test_frames_without_an_image_are_not_forgotten(raw: Make) -> None:
    """Most frames make no image; what changed in them has not passed yet."""
    camera = Camera(raw)
    camera.plan(STILL)
    camera.last_look(STILL)
    first, second = paint(STILL, 300, 200), paint(paint(STILL, 300, 200), 900, 500)
    camera.plan(first)
    camera.plan(second)
    views = camera.last_look(second)
    assert around(views, 300, 200)
    assert around(views, 900, 500)


def test_where_something_else_is_covered_is_searched(raw: Make) -> None:
    """Also where nothing is covered any more: the picture shows there what it did not show before."""
    camera = Camera(raw)
    frame = paint(STILL, 300, 200)
    for boxes, searched in ((BOX, True), (BOX, False), (NONE, True), (NONE, False), (BOX, True)):
        camera.plan(frame)
        assert around(camera.last_look(frame, boxes), 312, 212) == searched


def test_what_is_forgotten_is_searched_whole(raw: Make) -> None:
    camera = Camera(raw)
    camera.plan(STILL)
    camera.last_look(STILL)
    camera.unpassed.forget()
    camera.plan(STILL)
    assert camera.last_look(STILL) == camera.detector.views(WIDTH, HEIGHT, SEARCH)
