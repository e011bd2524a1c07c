"""Boxes that a detector cannot learn from: clipped, or dropped."""

from __future__ import annotations

import math

from convert.training.datasets import Box

MIN_SIDE = 1.0
"""Pixels; a box that is narrower or lower has no object in it."""
MIN_INSIDE = 0.5
"""Share of a box that must lie in the picture. With less in it, the object is cut off beyond recognition, or
the box belongs to another picture."""
ROUNDING = 0.5
"""Pixels by which a box may reach beyond the picture without a word: tools round."""

NOT_A_NUMBER = "boxes dropped because they are no numbers"
NO_AREA = "boxes dropped because they have no area"
OUTSIDE = "boxes dropped because less than half of them is in the picture"
CLIPPED = "boxes clipped to the picture"


def correct(box: Box, width: int, height: int) -> tuple[Box | None, str]:
    """The part of a box (``x1 y1 x2 y2``, pixels) that is in the picture, or None; and what was done to it.

    >>> correct((-2.0, 5.0, 10.0, 20.0), 100, 80)
    ((0, 5.0, 10.0, 20.0), 'boxes clipped to the picture')
    """
    if not all(map(math.isfinite, box)):
        return None, NOT_A_NUMBER
    x1, y1, x2, y2 = box
    if x2 - x1 < MIN_SIDE or y2 - y1 < MIN_SIDE:
        return None, NO_AREA
    clipped = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
    across, down = clipped[2] - clipped[0], clipped[3] - clipped[1]
    if across <= 0 or down <= 0 or across * down < MIN_INSIDE * (x2 - x1) * (y2 - y1):
        return None, OUTSIDE
    if across < MIN_SIDE or down < MIN_SIDE:
        return None, NO_AREA
    beyond = max(abs(new - old) for new, old in zip(clipped, box, strict=True))
    return clipped, CLIPPED if beyond > ROUNDING else ""


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return across * down / (sum(areas) - across * down)
