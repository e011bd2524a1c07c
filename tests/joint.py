"""Detectors whose answers a test decides, several of them as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from edge.boxes import Floats
from edge.detection.detector import Detections, Detector
from edge.detection.joint import Detectors, Member
from edge.detection.kinds import FACE, Kind
from edge.frames import Pixels
from tests.models import GOOD
from tests.one_view import OneView

PLATE = Kind("plate", "box")
Rows = Sequence[Sequence[float]]


def found(rows: Rows) -> Detections:
    """Detections of one detector: rows of x1, y1, x2, y2, score, best first."""
    table: Floats = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4])


class FakeSession:
    name, sha256, provider, size, fallback = "fake", "0" * 64, "cpu", (64, 64), ""
    contract = GOOD


class Answers(OneView):
    """Stands in for a detector: finds what ``answer`` says of the pixels."""

    session = FakeSession()

    def __init__(self, answer: Callable[[Pixels], Rows], score_begin: float = 0.5) -> None:
        self.score_begin = self.score_continue = self.score_last_look = score_begin
        self._answer = answer

    def find(self, pixels: Pixels) -> Detections:
        return found(self._answer(pixels))


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
