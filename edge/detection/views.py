"""Views: on which parts of a frame the detector runs, and at which scale.

A face that is ``SMALLEST_FACE`` pixels wide in the frame must be at least ``SMALLEST_ON_CANVAS`` pixels wide
on the canvas, the size from which it is found reliably (docs/measurements.md). One view of the whole frame is
enough for that as long as the canvas is nearly as large as the frame. Larger frames get tiles as well. These
overlap by more than the smallest face that the next coarser view finds, so that no face is both cut by the
edges of tiles and too small for every other view.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

from edge import boxes as geometry
from edge.boxes import Letterbox
from edge.contract import Contract

SMALLEST_FACE = 20
"""Width in pixels of the frame from which a face must be found. People can be recognised from about there:
125 pixels per metre (IEC 62676-4) and a face 16 cm wide."""
SMALLEST_ON_CANVAS = 14
"""Width in pixels of the canvas from which a face is found reliably, as measured with CenterFace, from whose
weights ``face`` was trained."""
LONGEST_SIDE = 1920
"""Longest side of a canvas whose size neither the detector nor the configuration fixes, in pixels."""
CLOSE_UP_SIDE = 480
"""Longer side of the canvas for close-ups, which are too large for the other views, in pixels."""

_MIN_SCALE = SMALLEST_ON_CANVAS / SMALLEST_FACE
_OVERLAP_ON_CANVAS = 2 * SMALLEST_ON_CANVAS
"""Overlap of neighbouring tiles, in pixels of the next coarser canvas: twice the smallest face that is found
there, so that a face at an edge is seen with its surroundings."""


@dataclass(frozen=True)
class View:
    """The rectangle ``x1 y1 x2 y2`` of a frame (pixels) and how it lies on the detector's canvas."""

    x1: int
    y1: int
    x2: int
    y2: int
    letterbox: Letterbox


@dataclass(frozen=True)
class Canvas:
    """A canvas whose sides (pixels) the detector's file or the configuration gives."""

    width: int
    height: int
    stretched: bool
    short_side: int

    @classmethod
    def of(cls, contract: Contract, size: tuple[int, int]) -> Canvas:
        """The canvas of ``size`` (width, height), filled as the contract demands."""
        return cls(*size, contract.letterbox == "stretch", contract.letterbox_short_side)

    def letterbox(self, width: int, height: int) -> Letterbox:
        """How a view of ``width`` x ``height`` pixels lies on it."""
        if self.stretched:
            return geometry.stretch(width, height, self.width, self.height)
        return geometry.fit(width, height, self.width, self.height, self.short_side)

    @property
    def limits(self) -> tuple[int, int]:
        """Largest width and height of a scaled view."""
        if not self.short_side:
            return self.width, self.height
        if self.width < self.height:
            return min(self.width, self.short_side), self.height
        return self.width, min(self.height, self.short_side)


@dataclass(frozen=True)
class OwnSize:
    """A canvas about as large as the view, its longer side between ``shortest`` and ``LONGEST_SIDE``."""

    multiple: int
    shortest: int

    def letterbox(self, width: int, height: int) -> Letterbox:
        """How a view of ``width`` x ``height`` pixels lies on it."""
        return geometry.fit_native(width, height, self.shortest, LONGEST_SIDE, self.multiple)

    def close_up(self, width: int, height: int) -> Letterbox:
        """How such a view lies on the small canvas for close-ups."""
        return geometry.fit_native(width, height, CLOSE_UP_SIDE, CLOSE_UP_SIDE, self.multiple)

    @property
    def limits(self) -> tuple[int, int]:
        """Largest width and height of a scaled view."""
        return LONGEST_SIDE, LONGEST_SIDE


def whole(width: int, height: int, canvas: Canvas | OwnSize) -> list[View]:
    """Views of the whole frame: one, and a small one for close-ups if the frame is large."""
    letterboxes = [canvas.letterbox(width, height)]
    if isinstance(canvas, OwnSize) and max(letterboxes[0].inner_width, letterboxes[0].inner_height) >= (
        2 * CLOSE_UP_SIDE
    ):
        letterboxes.append(canvas.close_up(width, height))
    return [View(0, 0, width, height, letterbox) for letterbox in letterboxes]


def tiles(width: int, height: int, canvas: Canvas | OwnSize) -> list[View]:
    """Tiles for faces that are too small in a view of the whole frame; empty if none is too small.

    If one level of tiles would have to overlap by more than half, there are coarser ones in between.
    """
    coarse = _scale(canvas.letterbox(width, height))
    if coarse >= _MIN_SCALE:
        return []
    ratio = max(2.0, min(canvas.limits) / (2 * _OVERLAP_ON_CANVAS))
    levels = ceil(log(_MIN_SCALE / coarse) / log(ratio))
    step = (_MIN_SCALE / coarse) ** (1 / levels)
    views = []
    for _ in range(levels):
        overlap = ceil(_OVERLAP_ON_CANVAS / coarse)
        coarse *= step
        longest = [int(limit / coarse) for limit in canvas.limits]
        views += [
            View(x1, y1, x2, y2, canvas.letterbox(x2 - x1, y2 - y1))
            for y1, y2 in _spans(height, longest[1], overlap)
            for x1, x2 in _spans(width, longest[0], overlap)
        ]
    return views


def grid(
    width: int, height: int, canvas: Canvas | OwnSize, columns: int, rows: int, overlap: float
) -> list[View]:
    """The tiles of ``detector.tiles``: ``columns`` x ``rows``, with ``overlap`` as a share of their sides."""
    return [
        View(x1, y1, x2, y2, canvas.letterbox(x2 - x1, y2 - y1))
        for x1, y1, x2, y2 in geometry.tiles(width, height, columns, rows, overlap).tolist()
    ]


def _scale(letterbox: Letterbox) -> float:
    return min(letterbox.scale_x, letterbox.scale_y)


def _spans(side: int, longest: int, overlap: int) -> list[tuple[int, int]]:
    """Divide a side into as few equal spans of at most ``longest`` pixels as possible.

    Neighbours share at least ``overlap`` pixels, or half of ``longest`` if that is less.
    """
    if side <= longest:
        return [(0, side)]
    overlap = min(overlap, longest // 2)
    count = ceil((side - overlap) / (longest - overlap))
    length = ceil((side + (count - 1) * overlap) / count)
    starts = [(side - length) * number // (count - 1) for number in range(count)]
    return [(start, start + length) for start in starts]
