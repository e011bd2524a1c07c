"""Pure geometry on boxes: no pictures, no state, no I/O.

A box is ``x1 y1 x2 y2`` in pixels, left and top inclusive, right and bottom exclusive; an array of
boxes is float32 ``[N, 4]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NO_BOXES: Floats = np.zeros((0, 4), np.float32)
NO_BOXES.setflags(write=False)


def area(boxes: Floats) -> Floats:
    """Area of each box in square pixels, ``[N]``; 0 for an inverted box.

    >>> area(np.array([[0, 0, 2, 3], [5, 5, 4, 9]], np.float32)).tolist()
    [6.0, 0.0]
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)  # a quarter of the time of np.clip on few boxes
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every pair, ``[N, M]``, 0..1.

    >>> a = np.array([[0, 0, 2, 2]], np.float32)
    >>> iou(a, np.array([[0, 0, 2, 2], [1, 0, 3, 2], [9, 9, 10, 10]], np.float32)).round(2).tolist()
    [[1.0, 0.33000001311302185, 0.0]]
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    common = sides[..., 0] * sides[..., 1]
    union = area(first)[:, None] + area(second)[None, :] - common
    return np.asarray(common / np.maximum(union, 1e-9), np.float32)


def nms(boxes: Floats, scores: Floats, iou_limit: float) -> Ints:
    """Greedy non-maximum suppression: indices of the kept boxes, best score first.

    A box is dropped when its overlap (IoU) with a better one is ``iou_limit`` or more. Equal scores keep
    their order, so that the result does not depend on the sort.

    >>> b = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], np.float32)
    >>> nms(b, np.array([0.5, 0.9, 0.3], np.float32), 0.3).tolist()
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best = order[0]
        kept.append(int(best))
        overlap = iou(boxes[best : best + 1], boxes[order[1:]])[0]
        order = order[1:][overlap < iou_limit]
    return np.array(kept, np.int64)


def grow(boxes: Floats, sides: float, top: float, bottom: float) -> Floats:
    """Move each edge outward by a share of the box's own width (left, right) or height (top, bottom).

    >>> grow(np.array([[10, 10, 20, 30]], np.float32), 0.1, 0.5, 0.1).tolist()
    [[9.0, 0.0, 21.0, 32.0]]
    """
    width = boxes[:, 2] - boxes[:, 0]
    height = boxes[:, 3] - boxes[:, 1]
    return np.stack(
        [
            boxes[:, 0] - sides * width,
            boxes[:, 1] - top * height,
            boxes[:, 2] + sides * width,
            boxes[:, 3] + bottom * height,
        ],
        axis=1,
    ).astype(np.float32)


def clip(boxes: Floats, width: int, height: int) -> Floats:
    """Cut boxes to a frame of ``width`` x ``height`` pixels."""
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limits).astype(np.float32)


def to_pixels(boxes: Floats, width: int, height: int) -> Ints:
    """The pixels that each box touches, as int64 ``[M, 4]``, cut to the frame; boxes outside it are left out.

    >>> to_pixels(np.array([[0.5, -3, 2.1, 2], [50, 0, 60, 9]], np.float32), 10, 10).tolist()
    [[0, 0, 3, 2]]
    """
    clipped = clip(boxes, width, height)
    whole = np.concatenate([np.floor(clipped[:, :2]), np.ceil(clipped[:, 2:])], axis=1)
    inside = (whole[:, 2] > whole[:, 0]) & (whole[:, 3] > whole[:, 1])
    return whole[inside].astype(np.int64)


@dataclass(frozen=True)
class Letterbox:
    """How a frame lies on a detector's canvas: scaled, at the top left, with the rest padded.

    All sides are in pixels. ``inner_*`` is the scaled frame, ``width`` x ``height`` the canvas;
    ``scale_*`` is a side of the scaled frame over that of the frame itself.
    """

    scale_x: float
    scale_y: float
    inner_width: int
    inner_height: int
    width: int
    height: int

    @property
    def scale(self) -> float:
        """The smaller of the two scales, which says how small a face may be on the canvas."""
        return min(self.scale_x, self.scale_y)

    def to_frame(self, boxes: Floats) -> Floats:
        """Convert boxes on the canvas (float32 ``[N, 4]``) to boxes in the frame."""
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        return np.asarray(boxes / scale, np.float32)


def fit(frame_width: int, frame_height: int, width: int, height: int, short_side: int = 0) -> Letterbox:
    """Scale a frame to the largest size that the canvas holds, aspect kept.

    ``short_side``, if not 0, also limits the shorter side of the scaled frame, in pixels.

    >>> fit(1280, 720, 640, 384)
    Letterbox(scale_x=0.5, scale_y=0.5, inner_width=640, inner_height=360, width=640, height=384)
    """
    scale = min(width / frame_width, height / frame_height)
    if short_side:
        scale = min(scale, short_side / min(frame_width, frame_height))
    inner_width = min(width, max(1, round(frame_width * scale)))
    inner_height = min(height, max(1, round(frame_height * scale)))
    return _letterbox(frame_width, frame_height, inner_width, inner_height, width, height)


def stretch(frame_width: int, frame_height: int, width: int, height: int) -> Letterbox:
    """Scale both sides of a frame to those of the canvas, whatever the aspect.

    >>> stretch(640, 480, 320, 320)
    Letterbox(scale_x=0.5, scale_y=0.6666666666666666, inner_width=320, inner_height=320, width=320, \
height=320)
    """
    return _letterbox(frame_width, frame_height, width, height, width, height)


def _letterbox(
    frame_width: int, frame_height: int, inner_width: int, inner_height: int, width: int, height: int
) -> Letterbox:
    # The scale of each side after rounding, so that boxes return to where they were.
    return Letterbox(
        inner_width / frame_width, inner_height / frame_height, inner_width, inner_height, width, height
    )


def fit_side(frame_width: int, frame_height: int, longer_side: int, multiple: int) -> Letterbox:
    """A frame scaled to this longer side (pixels), on a canvas whose sides are rounded up to ``multiple``.

    The shorter side of the canvas is at least a third of the longer: a graph may return more boxes than a
    narrow strip has cells.

    >>> fit_side(1000, 500, 1000, 32)
    Letterbox(scale_x=1.0, scale_y=1.0, inner_width=1000, inner_height=500, width=1024, height=512)
    >>> fit_side(480, 20, 960, 32)
    Letterbox(scale_x=2.0, scale_y=2.0, inner_width=960, inner_height=40, width=960, height=320)
    """
    scale = longer_side / max(frame_width, frame_height)
    inner_width = max(1, round(frame_width * scale))
    inner_height = max(1, round(frame_height * scale))

    def canvas(side: int) -> int:
        return -(-max(side, longer_side // 3) // multiple) * multiple

    return _letterbox(
        frame_width, frame_height, inner_width, inner_height, canvas(inner_width), canvas(inner_height)
    )
