"""What the numbers of decoded boxes themselves show of their order.

A network decodes its cells row by row. From one box to the next x therefore changes much more often than y,
whatever the picture shows. And of corners the second one lies below and right of the first, while a size
seldom exceeds the place of its centre.
"""

from __future__ import annotations

import numpy as np

from convert.graphs import Array

ORDERED = 0.99
"""Boxes are corners if at least this share of them has its second corner below and right of the first."""
_CENTRES = 0.9
"""They are not corners if fewer than this share has."""
_CLEARLY = 3.0


def ordered_share(boxes: Array) -> float:
    """Share of the boxes ``[N, 4]`` of which the third and fourth number exceed the first and second."""
    return float((boxes[:, 2:] >= boxes[:, :2]).all(axis=1).mean())


def formats_that_fit(boxes: Array) -> tuple[str, ...]:
    """The formats that the values of ``[N, 4]`` do not contradict."""
    share = ordered_share(boxes)
    formats = {"yxyx", "xyxy", "cxcywh", "cycxhw"}
    if share >= ORDERED:
        formats -= {"cxcywh", "cycxhw"}
    elif share < _CENTRES:
        formats -= {"yxyx", "xyxy"}
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 if share >= ORDERED else boxes[:, :2]
    first, second = np.abs(np.diff(middle.astype(np.float64), axis=0)).sum(axis=0)
    if first > _CLEARLY * second:
        formats -= {"yxyx", "cycxhw"}
    elif second > _CLEARLY * first:
        formats -= {"xyxy", "cxcywh"}
    return tuple(sorted(formats))
