"""Several small views on one canvas.

Parts of a frame are small, and each run of the detector costs something beside its pixels. Sides of a canvas
are multiples of 32 pixels, too, so a small one is padding by a quarter. Parts that share a canvas are looked
at in one run.

They are placed along a skyline, the highest first, each where it comes to lie highest on the canvas (Burke,
Kendall and Whitwell 2004, "A New Placement Heuristic for the Orthogonal Stock-Cutting Problem", has the data
structure). Between two of them lies a gap of padding, so that no face is made of parts of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np

from edge.boxes import Floats, Ints
from edge.detection.views import View

GAP = 4
"""Padding between two views, in pixels: as far apart are the places that the shipped detectors compare."""
MOST_SHARING, MOST_PIXELS = 128_000, 512_000
"""A view with a larger canvas of its own (pixels) has that for itself. As many pixels of views share one
canvas at most, which bounds the memory of a run."""
WIDEST, WIDTHS = 1.5, 4
"""The widest canvas that is tried, in sides of the square that has the views' area, and how many widths are
tried."""


@dataclass(frozen=True, eq=False)
class SharedCanvas:
    """A canvas of ``width`` x ``height`` pixels. On it lie the views of these ``numbers``, each with its left
    and top pixel at its corner: ``corners``, int64 ``[N, 2]`` (x, y)."""

    width: int
    height: int
    numbers: tuple[int, ...]
    corners: Ints

    def owners(self, views: Sequence[View], boxes: Floats) -> Ints:
        """The place among ``numbers`` of the view to which each box belongs, int64 ``[B]``: the one nearest
        to the box's middle. Boxes are float32 ``[B, 4]`` (``x1 y1 x2 y2``, pixels of the canvas)."""
        sizes = np.array([_inner(views[number]) for number in self.numbers])
        middles = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        outside = np.maximum(self.corners - middles, middles - self.corners - sizes)
        return np.asarray(np.maximum(outside, 0).sum(axis=2).argmin(axis=1), np.int64)


def share(views: Sequence[View], multiple: int) -> list[SharedCanvas]:
    """Canvases, with sides that are multiples of ``multiple`` pixels, on which these views lie.

    A view that is large, or alone, has a canvas like that of its letterbox.
    """
    alone = [number for number, view in enumerate(views) if _area(view) > MOST_SHARING]
    groups = [[number] for number in alone]
    group: list[int] = []
    for number, view in enumerate(views):
        if _area(view) > MOST_SHARING:
            continue
        if group and sum(_area(views[each]) for each in group) + _area(view) > MOST_PIXELS:
            groups.append(group)
            group = []
        group.append(number)
    return [_canvas(views, each, multiple) for each in [*groups, group] if each]


def _canvas(views: Sequence[View], numbers: Sequence[int], multiple: int) -> SharedCanvas:
    """The smallest canvas that is found for these views."""
    if len(numbers) == 1:
        own = views[numbers[0]].letterbox
        return SharedCanvas(own.width, own.height, tuple(numbers), np.zeros((1, 2), np.int64))
    sizes = [_inner(views[number]) for number in numbers]
    side = sqrt(sum((width + GAP) * (height + GAP) for width, height in sizes))
    least = max(side, max(width for width, _ in sizes))
    widths = {
        ceil(least * WIDEST ** (number / (WIDTHS - 1)) / multiple) * multiple for number in range(WIDTHS)
    }
    best: tuple[float, int, int, list[tuple[int, int]]] = (inf, 0, 0, [])
    for limit in sorted(widths):
        corners = _place(sizes, limit)
        ends = np.add(corners, sizes).max(axis=0)
        width, height = (-(-ends // multiple) * multiple).tolist()
        best = min(best, (width * height, width, height, corners))
    _, width, height, corners = best
    return SharedCanvas(width, height, tuple(numbers), np.array(corners, np.int64))


def _place(sizes: Sequence[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    """The left and top pixel of rectangles (width, height) on a canvas that is ``limit`` pixels wide."""
    corners = [(0, 0)] * len(sizes)
    skyline = [(0, limit, 0)]  # from and to which x it is how high
    for number in sorted(range(len(sizes)), key=lambda each: -sizes[each][1]):
        width, height = sizes[number]
        y, x = min(
            (max(top for x1, x2, top in skyline if x1 < left + width + GAP and x2 > left), left)
            for left, _, _ in skyline
            if left + width <= limit
        )
        corners[number] = (x, y)
        end = min(limit, x + width + GAP)
        before = [(x1, min(x2, x), top) for x1, x2, top in skyline if x1 < x]
        after = [(max(x1, end), x2, top) for x1, x2, top in skyline if x2 > end]
        skyline = [*before, (x, end, y + height + GAP), *after]
    return corners


def _inner(view: View) -> tuple[int, int]:
    return view.letterbox.inner_width, view.letterbox.inner_height


def _area(view: View) -> int:
    return view.letterbox.width * view.letterbox.height
