"""Views: on which parts of a frame the detector runs, and at which scale.

The smallest face that is looked for (``Search.smallest_face``, pixels of the frame) must be as wide on the
canvas as the detector needs, which its file states (``smallest_face`` of the contract). Where a canvas cannot
take the whole frame at that scale, there are tiles. They overlap by more than the smallest face that the next
coarser level finds, so that no face is both cut by the edges of tiles and too small for every other view.
Close-ups, which are too large for the finest level, are found in a small view of the whole frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, inf, log

from edge import boxes as geometry
from edge.boxes import Letterbox
from edge.config import CameraConfig, PrivacyConfig
from edge.config.privacy import SMALLEST_FACE
from edge.contract import Contract
from edge.errors import DetectionError
from edge.reasons import Reason

SMALLEST_ON_CANVAS = 14
"""Width in pixels of the canvas from which a face is found, where the detector's file does not state it."""
LONGEST_SIDE = 1920
"""Longest side of a canvas whose size neither the detector nor the configuration fixes, in pixels."""
CLOSE_UP_SIDE = 480
"""Longer side of the canvas for close-ups, and of the smallest canvas for a whole frame, in pixels."""
PARTS_FROM, PARTS_FIRST, PARTS_RATIO = 640, 240, 2.6
"""Where only parts of a frame are looked at: longer side of a canvas from which on that is worth it, and that
of the canvas for close-ups (pixels); and how much finer than the one before each level is at most. The closer
they are, the smaller the faces that the finer one must find, and the less it must see around a change."""
AROUND = 1.25
"""How far around a change a part of a view reaches, in the largest faces that no coarser view looks for: such
a face is seen whole, with at least a quarter of its size around it."""
OVERLAP = 2.0
"""By how many of the smallest faces of the next coarser level tiles overlap: a face at an edge is seen with
its surroundings."""
MOST_VIEWS = 10_000
"""More of them in one orientation are refused. The largest picture that is read takes at most 240 on canvases
without a size of their own; one of 48 megapixels takes 3,800 for faces of 8 pixels on a canvas of 320x320."""
TURNS = (1, 2, 3)
"""Quarter turns at which faces are looked for that do not stand upright."""


@dataclass(frozen=True)
class Search:
    """What is looked for in a frame.

    ``smallest_face`` is its width in pixels of the frame. ``any_orientation``: also faces that lie or hang.
    ``in_parts``: views are such that parts in which nothing has changed can be left out.
    ``least_side``: a smaller frame is enlarged to this longer side (pixels), unless the size of the canvas is
    fixed.
    """

    smallest_face: float = SMALLEST_FACE
    any_orientation: bool = False
    in_parts: bool = False
    least_side: int = CLOSE_UP_SIDE

    @classmethod
    def of(
        cls, privacy: PrivacyConfig, camera: CameraConfig | None = None, *, continuous: bool = False
    ) -> Search:
        """What the configuration asks for in the frames of a camera (None: it has no settings of its own).

        ``continuous``: its frames follow each other, so that what has not changed can be left out.
        """
        smallest = camera.smallest_face_pixels if camera is not None else None
        turned = camera.any_orientation if camera is not None else None
        return cls(
            privacy.smallest_face_pixels if smallest is None else smallest,
            privacy.any_orientation if turned is None else turned,
            continuous and privacy.sweep_seconds > 0,
        )


def smallest_face_of(privacy: PrivacyConfig, cameras: Iterable[CameraConfig]) -> float:
    """Width in pixels of the smallest face that is looked for in the frames of any of these cameras."""
    smallest = (Search.of(privacy, camera).smallest_face for camera in cameras)
    return min(smallest, default=privacy.smallest_face_pixels)


@dataclass(frozen=True)
class View:
    """The rectangle ``x1 y1 x2 y2`` of a frame (pixels) and how it lies on the detector's canvas.

    It is turned clockwise by ``turn`` quarters first; ``letterbox`` is that of the turned rectangle. Where a
    finer view looks too, ``least`` is not 0: boxes whose longer side is less than that (pixels of the frame)
    do not count. A part of it must reach ``margin`` pixels beyond what has changed: a coarser view looks for
    faces that are not within that. ``detector`` is the number of the one that looks.
    """

    x1: int
    y1: int
    x2: int
    y2: int
    letterbox: Letterbox
    least: float = 0.0
    margin: int = 1 << 20
    turn: int = 0
    detector: int = 0


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

    def letterbox(self, width: int, height: int, scale: float) -> Letterbox:
        """How a view of ``width`` x ``height`` pixels lies on it: as large as possible."""
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

    def shown_whole(self, scale: float) -> tuple[int, int]:
        """Width and height of the largest frame (pixels) that one view shows whole at this scale."""
        width, height = self.limits
        return int(width / scale), int(height / scale)


@dataclass(frozen=True)
class FreeCanvas:
    """A canvas that may have any sides up to ``LONGEST_SIDE`` that are multiples of ``multiple``."""

    multiple: int

    def letterbox(self, width: int, height: int, scale: float) -> Letterbox:
        """How a view of ``width`` x ``height`` pixels lies on it at this scale."""
        side = max(1, round(max(width, height) * scale))
        return geometry.fit_side(width, height, side, self.multiple)

    @property
    def limits(self) -> tuple[int, int]:
        """Largest width and height of a scaled view."""
        return LONGEST_SIDE, LONGEST_SIDE

    def shown_whole(self, scale: float) -> tuple[int, int]:
        """Width and height of a frame (pixels) that one view of no great cost shows whole at this scale."""
        return int(CLOSE_UP_SIDE / scale), int(CLOSE_UP_SIDE * 3 / 5 / scale)


def views_of(
    width: int, height: int, search: Search, smallest_on_canvas: float, canvas: Canvas | FreeCanvas
) -> list[View]:
    """The views of a frame of this size (pixels) in which the faces of ``search`` are looked for.

    ``smallest_on_canvas`` is the width in pixels of the canvas from which the detector finds a face. The view
    of the whole frame comes first, then one level of tiles after the other. Raises DetectionError where there
    would be more than ``MOST_VIEWS``.
    """
    upright = _upright(width, height, search, smallest_on_canvas, canvas)
    if not search.any_orientation:
        return upright
    # A canvas of fixed size is not turned with the frame, so its tiles must be those of a frame that is.
    lying = _upright(height, width, search, smallest_on_canvas, canvas)
    return upright + [_turned(view, turn) for turn in TURNS for view in (lying if turn % 2 else upright)]


def _upright(
    width: int, height: int, search: Search, smallest: float, canvas: Canvas | FreeCanvas
) -> list[View]:
    needed = smallest / search.smallest_face
    if isinstance(canvas, FreeCanvas):
        scale = max(needed, search.least_side / max(width, height))
        return _free(width, height, scale, smallest, search, canvas)
    first = canvas.letterbox(width, height, needed)
    return _tiles(width, height, first, needed, smallest, canvas)


def _free(
    width: int, height: int, scale: float, smallest: float, search: Search, canvas: FreeCanvas
) -> list[View]:
    longer = max(width, height)
    limit, side, ratio = 2 * CLOSE_UP_SIDE, CLOSE_UP_SIDE, inf
    if search.in_parts:
        limit, side, ratio = PARTS_FROM, PARTS_FIRST, PARTS_RATIO
    if longer * scale <= limit:
        return [View(0, 0, width, height, canvas.letterbox(width, height, scale))]
    first = canvas.letterbox(width, height, side / longer)
    return _tiles(width, height, first, scale, smallest, canvas, ratio)


def _tiles(
    width: int,
    height: int,
    first: Letterbox,
    finest: float,
    smallest: float,
    canvas: Canvas | FreeCanvas,
    most: float = inf,
) -> list[View]:
    """The whole frame with ``first``, and the tiles that it takes to reach the scale ``finest``.

    ``smallest`` is the width in pixels of the canvas from which a face is found. If one level of tiles would
    have to overlap by more than half, or be more than ``most`` times as fine as the one before, there are
    coarser ones in between. Raises DetectionError.
    """
    coarse = first.scale
    if coarse >= finest:
        return [View(0, 0, width, height, first)]
    overlap_on_canvas = OVERLAP * smallest
    ratio = max(2.0, min(most, min(canvas.limits) / (2 * overlap_on_canvas)))
    levels = ceil(log(finest / coarse) / log(ratio))
    step = (finest / coarse) ** (1 / levels)
    views = [View(0, 0, width, height, first, _least(smallest, coarse, coarse * step, canvas))]
    for level in range(1, levels + 1):
        overlap, margin = ceil(overlap_on_canvas / coarse), ceil(AROUND * smallest / coarse)
        coarse *= step
        rows, columns = _grid(width, height, coarse, overlap, canvas)
        if len(views) + len(rows) * len(columns) > MOST_VIEWS:
            raise _too_many(width, height, finest, smallest, canvas)
        least = _least(smallest, coarse, coarse * step, canvas) if level < levels else 0.0
        views += [
            View(x1, y1, x2, y2, canvas.letterbox(x2 - x1, y2 - y1, coarse), least, margin)
            for y1, y2 in rows
            for x1, x2 in columns
        ]
    return views


def _grid(
    width: int, height: int, scale: float, overlap: int, canvas: Canvas | FreeCanvas
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The rows and the columns of tiles at this scale, each from and to which pixel of the frame."""
    wide, tall = (max(1, int(limit / scale)) for limit in canvas.limits)
    return _spans(height, tall, overlap), _spans(width, wide, overlap)


def _too_many(
    width: int, height: int, scale: float, smallest: float, canvas: Canvas | FreeCanvas
) -> DetectionError:
    size = "x".join(map(str, canvas.limits))
    return DetectionError(
        Reason.DETECTOR_ERROR,
        f"to find faces of {smallest / scale:g} pixels in a picture of {width}x{height}, the detector would "
        f"have to look at more than {MOST_VIEWS:,} views of {size} pixels; look for larger faces "
        "(privacy.smallest_face_pixels, --smallest-face), or use a larger canvas (detector.canvas), a "
        "detector with a larger one, or smaller pictures",
    )


def _least(smallest: float, coarse: float, fine: float, canvas: Canvas | FreeCanvas) -> float:
    """Boxes below this many pixels of the frame are left to the next level, at the scale ``fine``.

    Its tiles overlap by at least as much; on a canvas that is very small for the detector, that is less than
    the smallest face of this level.
    """
    return min(smallest / coarse, *(int(limit / fine) // 2 for limit in canvas.limits))


def part_of(view: View, x1: int, y1: int, x2: int, y2: int, canvas: FreeCanvas) -> View:
    """The part of a view within ``x1 y1 x2 y2`` (pixels of the frame), at the same scale."""
    width, height = (x2 - x1, y2 - y1) if view.turn % 2 == 0 else (y2 - y1, x2 - x1)
    letterbox = canvas.letterbox(width, height, view.letterbox.scale)
    return replace(view, x1=x1, y1=y1, x2=x2, y2=y2, letterbox=letterbox)


def _turned(view: View, turn: int) -> View:
    """A view of a frame that was turned by ``turn`` quarters, as it lies in the frame itself.

    After an odd number of quarters x and y change places. The tiles are mirrored by that, but overlap as
    before.
    """
    if turn % 2:
        view = replace(view, x1=view.y1, y1=view.x1, x2=view.y2, y2=view.x2)
    return replace(view, turn=turn)


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
