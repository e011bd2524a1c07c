"""What a tool left of a face, judged by its output's pixels alone, whatever it claims to have covered.

A face counts as left when the middle of its box looks as it did (within ``SAME_LEVELS`` grey levels on
average), or when its edges are still there: the gradients of the box correlate with those of the original by
more than ``SAME_EDGES``, and at least ``EDGE_ENERGY`` of their energy is left.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge import boxes as geometry
from edge.boxes import Floats
from edge.frames import Pixels

SAME_LEVELS = 6.0
SAME_EDGES = 0.8
EDGE_ENERGY = 0.5
HEAD_MARGIN = 0.5
"""A change within a labelled box, grown by this share of its sides, is not beside the head."""
CHANGED_LEVELS = 16
"""Difference of any channel from which on a pixel counts as changed; coding alone seldom gives as much."""

_Grey = npt.NDArray[np.float32]


def faces_left(original: Pixels, output: Pixels, boxes: Floats) -> list[bool]:
    """For each box (float32 ``[N, 4]``, pixels) whether the face in it is left.

    Both pictures are uint8 ``[H, W, 3]`` BGR and of one size.
    """
    first, second = (
        np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.float32) for pixels in (original, output)
    )
    return [
        _is_left(first, second, box) for box in geometry.to_pixels(boxes, *original.shape[1::-1]).tolist()
    ]


def _is_left(first: _Grey, second: _Grey, box: list[int]) -> bool:
    x1, y1, x2, y2 = box
    quarter_x, quarter_y = (x2 - x1) // 4, (y2 - y1) // 4
    middle = np.s_[y1 + quarter_y : y2 - quarter_y, x1 + quarter_x : x2 - quarter_x]
    if float(np.abs(first[middle] - second[middle]).mean()) <= SAME_LEVELS:
        return True
    before, after = (_gradients(grey[y1:y2, x1:x2]) for grey in (first, second))
    energy_before, energy_after = float((before**2).sum()), float((after**2).sum())
    if energy_after < EDGE_ENERGY * energy_before:
        return False
    correlation = float((before * after).sum()) / max(1e-6, (energy_before * energy_after) ** 0.5)
    return bool(correlation > SAME_EDGES)


def _gradients(grey: _Grey) -> _Grey:
    return np.stack([cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)])


def changed_beside(original: Pixels, output: Pixels, boxes: Floats) -> float:
    """Share of the picture that was changed beside the labelled heads ``boxes`` (float32 ``[N, 4]``)."""
    changed = cv2.absdiff(original, output).max(axis=2) > CHANGED_LEVELS
    grown = geometry.grow(boxes, HEAD_MARGIN, HEAD_MARGIN, HEAD_MARGIN)
    for x1, y1, x2, y2 in geometry.to_pixels(grown, *original.shape[1::-1]).tolist():
        changed[y1:y2, x1:x2] = False
    return float(changed.mean())
