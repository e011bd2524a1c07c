"""A detector whose faces a test paints, with the views and parts of a real one."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from edge.boxes import NO_BOXES
from edge.detection.detector import Detections, Detector
from edge.detection.views import Canvas, FreeCanvas, View
from edge.frames import Pixels
from tests import models

FACE = (40, 40, 240)
"""The colour (BGR) of a painted face."""


class Painted(Detector):
    """Finds each patch that is as red as ``FACE``, cut where the view cuts it; keeps the views it looked at.

    Without a ``canvas`` it takes canvases of any size, as a shipped detector does on the CPU.
    """

    def __init__(self, canvas: Canvas | None = None, score_begin: float = 0.5) -> None:
        size = None if canvas is None else (canvas.width, canvas.height)
        session: Any = SimpleNamespace(contract=models.GOOD, provider="cpu", size=size, name="painted")
        self.session = session
        self.score_begin = self.score_continue = self.score_last_look = score_begin
        self._canvas = FreeCanvas(32) if canvas is None else canvas
        self.looked_at: list[View] = []

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        self.looked_at += looked_at
        return [_found(pixels, view) for view in looked_at]


def _found(pixels: Pixels, view: View) -> Detections:
    inside = pixels[view.y1 : view.y2, view.x1 : view.x2]
    red = (inside[:, :, 2] > FACE[2] - 30) & (inside[:, :, 1] < FACE[1] + 30)
    _, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
    if len(stats) == 1:
        return Detections(NO_BOXES, np.zeros(0, np.float32))
    x, y, width, height = stats[1:, :4].T
    corner = np.array([view.x1, view.y1, view.x1, view.y1])
    boxes = np.stack([x, y, x + width, y + height], axis=1) + corner
    boxes = boxes[np.maximum(width, height) >= view.least]
    return Detections(boxes.astype(np.float32), np.full(len(boxes), 0.9, np.float32))


def paint(pixels: Pixels, x: int, y: int, side: int = 24, colour: tuple[int, int, int] = FACE) -> Pixels:
    """A copy of the pixels with a square of this colour."""
    copy = np.array(pixels)
    copy[y : y + side, x : x + side] = colour
    return copy
