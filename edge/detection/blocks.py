"""Small blocks of a frame: which of them have changed, and what to look at because of that."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from edge.boxes import Floats, Ints
from edge.detection.joint import AnyDetector
from edge.detection.views import View
from edge.frames import Pixels

Mask = npt.NDArray[np.bool_]
"""bool ``[rows, columns]``: some of the blocks of a view."""

BLOCK_SHARE = 0.4
"""Side of a block as a share of the smallest face: at least one lies within such a face wherever it is."""
RUN_PIXELS = 300
"""What one more run of the detector costs beside its pixels, in pixels of the canvas: rectangles are joined
where that is cheaper."""
LARGEST_SIDE = 1 << 24
"""More than the side of any frame, in pixels."""
MOST_RECTANGLES = 24
"""More of them than this are joined without a look at what each costs."""


class Blocks:
    """The grid of blocks of frames in which faces of ``smallest_face`` pixels are looked for.

    ``side`` is that of a block in pixels.
    """

    def __init__(self, smallest_face: float) -> None:
        self.side = max(1, round(BLOCK_SHARE * smallest_face))

    def means(self, pixels: Pixels) -> Pixels:
        """The mean colour of each block of uint8 ``[H, W, 3]`` BGR, uint8 ``[rows, columns, 3]``."""
        height, width = pixels.shape[:2]
        columns, rows = -(-width // self.side), -(-height // self.side)
        right, below = columns * self.side - width, rows * self.side - height
        if right or below:  # or no mean would be that of the pixels of its own block alone
            pixels = cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)

    def of(self, view: View) -> tuple[slice, slice]:
        """The rows and columns of the blocks that a view touches."""
        return (
            slice(view.y1 // self.side, -(-view.y2 // self.side)),
            slice(view.x1 // self.side, -(-view.x2 // self.side)),
        )

    def nothing(self, view: View) -> Mask:
        """None of the blocks of a view."""
        rows, columns = self.of(view)
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)

    def cells(self, view: View, boxes: Floats | Ints) -> Iterable[tuple[slice, slice]]:
        """The rows and columns of a view's mask that each box touches (``[N, 4]``, pixels of the frame)."""
        corner = np.array([view.x1, view.y1, view.x1, view.y1]) // self.side
        inside = np.clip(boxes.astype(np.float64), 0, LARGEST_SIDE)  # larger ones may not fit into int64
        low, high = np.floor(inside / self.side), np.ceil(inside / self.side)
        edges = np.concatenate([low[:, :2], high[:, 2:]], axis=1).astype(np.int64) - corner
        for x1, y1, x2, y2 in np.maximum(edges, 0).tolist():
            yield slice(y1, y2), slice(x1, x2)

    def touching(self, view: View, boxes: Floats, mask: Mask) -> Mask:
        """Which boxes (float32 ``[N, 4]``, pixels of the frame) touch a block of the mask, bool ``[N]``."""
        return np.array([mask[cell].any() for cell in self.cells(view, boxes)], np.bool_)

    def seen_by(self, part: View, view: View, mask: Mask) -> Mask:
        """The blocks of a view's mask for which a part of that view reaches far enough."""
        margin = -(-view.margin // self.side)
        (top, bottom), (left, right) = (
            (
                low // self.side - least // self.side + (margin if low > least else 0),
                -(-high // self.side) - least // self.side - (margin if high < most else 0),
            )
            for low, high, least, most in (
                (part.y1, part.y2, view.y1, view.y2),
                (part.x1, part.x2, view.x1, view.x2),
            )
        )
        seen = np.zeros_like(mask)
        inner = np.s_[top : max(top, bottom), left : max(left, right)]
        seen[inner] = mask[inner]
        return seen

    def views(self, detector: AnyDetector, view: View, mask: Mask) -> list[View]:
        """What to look at, at the scale of this view, to find every face that touches a block of the mask."""
        run_blocks = RUN_PIXELS / (self.side * view.letterbox.scale) ** 2
        parts = [
            detector.part(
                view,
                max(view.x1, (column1 + view.x1 // self.side) * self.side),
                max(view.y1, (row1 + view.y1 // self.side) * self.side),
                min(view.x2, (column2 + view.x1 // self.side) * self.side),
                min(view.y2, (row2 + view.y1 // self.side) * self.side),
            )
            for column1, row1, column2, row2 in _rectangles(mask, -(-view.margin // self.side), run_blocks)
        ]
        return list(dict.fromkeys(parts))  # on a canvas of fixed size, all of them are the whole view


def _rectangles(mask: Mask, margin: int, run_blocks: float) -> list[tuple[int, int, int, int]]:
    """Few rectangles (``x1 y1 x2 y2``) around all that is marked, with a margin; none if nothing is.

    One more of them costs as much as ``run_blocks``."""
    if not mask.any():
        return []
    rows, columns = mask.shape
    if margin >= max(rows, columns):
        return [(0, 0, columns, rows)]
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(grown)
    found = [(x, y, x + width, y + height) for x, y, width, height in stats[1:, :4].tolist()]
    return _joined(found, run_blocks) if len(found) <= MOST_RECTANGLES else [_hull(*found)]


def _joined(
    rectangles: list[tuple[int, int, int, int]], run_blocks: float
) -> list[tuple[int, int, int, int]]:
    """Join those that are cheaper to look at together."""
    left = list(rectangles)
    done: list[tuple[int, int, int, int]] = []
    while left:
        first = left.pop()
        other = next((r for r in left + done if _gain(first, r) + run_blocks >= 0), None)
        if other is None:
            done.append(first)
            continue
        (left if other in left else done).remove(other)
        left.append(_hull(first, other))
    return done


def _gain(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> int:
    return _area(first) + _area(second) - _area(_hull(first, second))


def _area(rectangle: tuple[int, int, int, int]) -> int:
    x1, y1, x2, y2 = rectangle
    return (x2 - x1) * (y2 - y1)


def _hull(*rectangles: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = zip(*rectangles, strict=True)
    return min(x1), min(y1), max(x2), max(y2)
