"""Motion masking: cover all that moves, when the detector can only run coarsely."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from edge.boxes import NO_BOXES, Floats
from edge.frames import Pixels

CELL = 16
"""Side of the cells that are compared, in pixels."""
CHANGES = np.array([8, 8, 8, 6], np.uint8)
"""Smallest change of a cell's mean blue, green, red and brightness that counts as motion, of 255. A face may
be as bright as the wall behind it, but is unlikely to have its colour. Sensor noise of 20 levels per pixel is
20 / 16 = 1.25 levels in the mean of 16x16 pixels, and less in the brightness."""
GAP = 7
"""Changes fewer cells apart than this belong together: only the edges of a smooth object change."""
MEMORY = 5
"""Number of earlier frames to compare with; somebody who walks slowly differs from the oldest of them."""


class Motion:
    """The moving parts of one camera's picture."""

    def __init__(self) -> None:
        self._earlier: deque[Pixels] = deque(maxlen=MEMORY)

    def forget(self) -> None:
        """Forget the earlier frames: what is too old says nothing about motion."""
        self._earlier.clear()

    def boxes(self, pixels: Pixels) -> Floats | None:
        """Compare uint8 ``[H, W, 3]`` BGR with earlier frames.

        Returns boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) around all that changed, or None when there
        is no earlier frame of this size.
        """
        height, width = pixels.shape[:2]
        size = (-(-width // CELL), -(-height // CELL))
        colours = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        now = np.dstack([colours, cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY)]).astype(np.uint8)
        if self._earlier and self._earlier[-1].shape != now.shape:
            self._earlier.clear()
        earlier = list(self._earlier)
        self._earlier.append(now)
        if not earlier:
            return None
        change = np.max([cv2.absdiff(now, before) for before in earlier], axis=0)
        moving = (change >= CHANGES).any(axis=2).astype(np.uint8)
        moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((GAP, GAP), np.uint8))
        moving = cv2.dilate(moving, np.ones((3, 3), np.uint8))
        count, _, stats, _ = cv2.connectedComponentsWithStats(moving)
        if count == 1:
            return NO_BOXES
        left, top, columns, rows = stats[1:, :4].astype(np.float32).T
        scale = np.array([width / size[0], height / size[1]] * 2, np.float32)
        return (np.stack([left, top, left + columns, top + rows], axis=1) * scale).astype(np.float32)
