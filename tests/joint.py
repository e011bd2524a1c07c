"""Detectors whose answers a test decides, several of them as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from edge import boxes as geometry
from edge.boxes import NO_BOXES, Floats
from edge.detection.detector import EVERYTHING, Detections, Detector
from edge.detection.joint import Detectors, Member
from edge.detection.kinds import FACE, Kind
from edge.detection.views import Search, View
from edge.frames import Pixels
from tests.models import GOOD

PLATE = Kind("plate", "box")
Rows = Sequence[Sequence[float]]


def found(rows: Rows) -> Detections:
    """Detections of one detector: rows of x1, y1, x2, y2, score, best first."""
    table: Floats = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4])


def whole(width: int, height: int) -> View:
    """The view of a whole frame of this size (pixels), at its own scale; only all of it can be looked at."""
    return View(0, 0, width, height, geometry.fit(width, height, width, height))


class FakeSession:
    name, sha256, provider, size, fallback = "fake", "0" * 64, "cpu", (64, 64), ""
    contract = GOOD


class Answers:
    """Stands in for a detector: finds what ``answer`` says of the pixels, in one view of the whole frame."""

    session = FakeSession()

    def __init__(self, answer: Callable[[Pixels], Rows], score_begin: float = 0.5) -> None:
        self.score_begin = self.score_continue = self.score_last_look = score_begin
        self._answer = answer

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        return [whole(width, height)]

    def part(self, view: View, x1: int, y1: int, x2: int, y2: int) -> View:
        return view

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        return [found(self._answer(pixels)) for _ in looked_at]

    def combine(self, found: Sequence[Detections], width: int, height: int) -> Detections:
        return Detections(
            np.concatenate([NO_BOXES, *(each.boxes for each in found)]),
            np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)]),
        )

    def detect(self, pixels: Pixels, search: Search = EVERYTHING) -> Detections:
        height, width = pixels.shape[:2]
        return self.combine(self.look(pixels, self.views(width, height, search)), width, height)


def member(detector: Any, kind: Kind = PLATE, **changes: Any) -> Member:
    values: dict[str, Any] = {
        "name": kind.label,
        "kind": kind,
        "score_last_look": detector.score_last_look,
        "hold_before_frames": 0,
        "hold_after_seconds": 0.0,
    }
    return Member(detector=cast(Detector, detector), **(values | changes))


def joint(first: Any, *others: Any, **changes: Any) -> Detectors:
    """``first`` finds faces, each other one plates; ``changes`` are those of all members."""
    return Detectors([member(first, FACE, **changes), *(member(each, PLATE, **changes) for each in others)])
