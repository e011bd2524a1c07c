"""A detector for tests that sees all of a frame in one view, whatever part of it is to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.boxes import NO_BOXES, fit
from edge.detection.detector import EVERYTHING, Detections
from edge.detection.views import Search, View
from edge.frames import Pixels


class OneView:
    """Stands in for a detector: ``find`` says what is found in uint8 ``[H, W, 3]`` BGR pixels."""

    def find(self, pixels: Pixels) -> Detections:
        raise NotImplementedError

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        return [View(0, 0, width, height, fit(width, height, 64, 64))]

    def part(self, view: View, x1: int, y1: int, x2: int, y2: int) -> View:
        return view

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        return [self.find(pixels) for _ in looked_at]

    def combine(self, found: Sequence[Detections], width: int, height: int) -> Detections:
        boxes = np.concatenate([NO_BOXES, *(each.boxes for each in found)])
        return Detections(boxes, np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)]))

    def detect(self, pixels: Pixels, search: Search = EVERYTHING) -> Detections:
        height, width = pixels.shape[:2]
        return self.combine(self.look(pixels, self.views(width, height, search)), width, height)
