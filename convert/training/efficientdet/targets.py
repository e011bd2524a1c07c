"""Which anchor is to find which box.

As RetinaNet has it (Lin et al. 2017, arXiv:1708.02002, section 4.1): an anchor belongs to the box that it
covers best, from an intersection over union of 0.5 on; below 0.4 it is background, between the two it is
neither. The best anchor of each box always belongs to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from convert.graphs import Array
from convert.training.efficientdet.anchors import LEVELS, PER_PLACE, anchors, encode, shapes
from edge.boxes import Floats

Bools = npt.NDArray[np.bool_]

POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
COVERED = 0.5
"""An anchor of which an ignored box covers this share is not background."""
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class _Kinds:
    """Anchors by kind, a kind being a shape at a level; each array has one entry for each."""

    stride: Array
    count: Array  # places in a row
    first: Array  # row of the kind's first anchor
    height: Array
    width: Array
    reach: int
    """How many places away from its middle a box can have an anchor that is not background."""


def assign(boxes: Sequence[Floats], ignored: Sequence[Bools], side: int, scale: float) -> dict[str, Array]:
    """What each anchor of each canvas is to learn.

    ``boxes`` of a canvas are float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), ``ignored`` bool ``[N]``; the
    canvas has ``side`` pixels a side, its anchors ``scale`` strides. Returns ``state`` int8 ``[B, A]``, which
    is POSITIVE, NEGATIVE or IGNORED, and ``offsets`` float32 ``[B, A, 4]``, zero where there is no box.
    Raises ValueError for a box without area.
    """
    pairs = [_match(*picture, side, scale) for picture in zip(boxes, ignored, strict=True)]
    states, offsets = zip(*pairs, strict=True)
    return {"state": np.stack(states), "offsets": np.stack(offsets)}


def _match(boxes: Floats, ignored: Bools, side: int, scale: float) -> tuple[Array, Array]:
    places, kinds = _grid(side, scale)
    state, offsets = np.zeros(len(places), np.int8), np.zeros((len(places), 4), np.float32)
    if not len(boxes):
        return state, offsets
    if not (boxes[:, 2:] > boxes[:, :2]).all():
        flat = boxes[~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)][0]
        raise ValueError(f"a box without area, {flat.tolist()}: leave out what a crop cuts away")
    owner = np.full(len(places), -1)
    anchor, box, iou = _near(boxes, kinds)
    order = np.argsort(iou, kind="stable")  # of several boxes the last written stays: the best
    anchor, box, iou = anchor[order], box[order], iou[order]
    state[anchor] = np.where(iou >= POSITIVE_IOU, POSITIVE, IGNORED)
    owner[anchor] = box
    best, best_iou = _best(boxes, kinds)
    for number in sorted(range(len(boxes)), key=lambda number: (not ignored[number], best_iou[number])):
        owner[best[number]], state[best[number]] = number, POSITIVE
    state[(owner >= 0) & ignored[owner]] = IGNORED
    for hidden in boxes[ignored]:
        state[(state == NEGATIVE) & (_share(places, hidden) >= COVERED)] = IGNORED
    (found,) = np.nonzero(state == POSITIVE)
    offsets[found] = encode(boxes[owner[found]].astype(np.float64), places[found])
    return state, offsets


@lru_cache(maxsize=4)
def _grid(side: int, scale: float) -> tuple[Array, _Kinds]:
    strides = 2 ** np.array(LEVELS)
    counts = side // strides
    starts = np.concatenate([[0], np.cumsum(counts**2 * PER_PLACE)[:-1]])
    stride, count, start = (np.repeat(values, PER_PLACE) for values in (strides, counts, starts))
    sides = np.tile(shapes(scale), (len(LEVELS), 1))
    first = start + np.tile(np.arange(PER_PLACE), len(LEVELS))
    # Sides `a` of an anchor and `b` of a box that overlap by `o` have an IoU of at most `o / max(a, b)`, and
    # of at most `min(a, b) / max(a, b)`. So their middles are at most this share of `a` apart.
    share = max(1 - NEGATIVE_IOU, 0.5 / NEGATIVE_IOU - 0.5)
    reach = int(np.ceil(sides.max() * share + 0.5))
    return anchors(side, side, scale), _Kinds(
        stride, count, first, sides[:, 0] * stride, sides[:, 1] * stride, reach
    )


def _nearest(boxes: Array, kinds: _Kinds) -> Array:
    """Row and column of each kind's place that is nearest to the middle of a box, int ``[N, K, 2]``."""
    middles = (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2
    places = np.floor(middles[:, None] / kinds.stride[:, None]).astype(np.int64)
    return np.clip(places, 0, kinds.count[:, None] - 1)


def _iou(boxes: Array, kinds: _Kinds, kind: Array, places: Array) -> Array:
    """Of boxes ``[..., 4]`` and the anchors of ``kind`` at ``places`` ``[..., 2]``."""
    stride, height, width = (values[kind] for values in (kinds.stride, kinds.height, kinds.width))
    y, x = ((places[..., axis] + 0.5) * stride for axis in (0, 1))
    high = np.minimum(boxes[..., 3], y + height / 2) - np.maximum(boxes[..., 1], y - height / 2)
    wide = np.minimum(boxes[..., 2], x + width / 2) - np.maximum(boxes[..., 0], x - width / 2)
    both = np.maximum(high, 0) * np.maximum(wide, 0)
    area = (boxes[..., 3] - boxes[..., 1]) * (boxes[..., 2] - boxes[..., 0])
    return np.asarray(both / (area + height * width - both))


def _rows(kinds: _Kinds, kind: Array, places: Array) -> Array:
    """The anchors' rows among all."""
    return np.asarray(kinds.first[kind] + (places[..., 0] * kinds.count[kind] + places[..., 1]) * PER_PLACE)


def _best(boxes: Array, kinds: _Kinds) -> tuple[Array, Array]:
    """Row and IoU of the best anchor of each box; of a kind's anchors the nearest is the best."""
    every = np.broadcast_to(np.arange(len(kinds.stride)), (len(boxes), len(kinds.stride)))
    places = _nearest(boxes, kinds)
    iou = _iou(boxes[:, None], kinds, every, places)
    row, best = np.arange(len(boxes)), iou.argmax(axis=1)
    return _rows(kinds, best, places[row, best]), iou[row, best]


def _near(boxes: Array, kinds: _Kinds) -> tuple[Array, Array, Array]:
    """Anchors that are not background: row, number of the box, IoU, each ``[M]``."""
    height, width = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    both = np.minimum(height[:, None], kinds.height) * np.minimum(width[:, None], kinds.width)
    most = both / ((height * width)[:, None] + kinds.height * kinds.width - both)
    box, kind = np.nonzero(most >= NEGATIVE_IOU)
    steps = np.arange(-kinds.reach, kinds.reach + 1)
    window = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 2)
    places = _nearest(boxes, kinds)[box, kind][:, None] + window
    iou = _iou(boxes[box][:, None], kinds, kind[:, None], places)
    inside = ((places >= 0) & (places < kinds.count[kind][:, None, None])).all(axis=-1)
    pair, step = np.nonzero(inside & (iou >= NEGATIVE_IOU))
    return _rows(kinds, kind[pair], places[pair, step]), box[pair], iou[pair, step]


def _share(places: Array, box: Array) -> Array:
    """The share of each anchor ``[A, 4]`` (``cy cx h w``) that a box covers, ``[A]``."""
    low, high = places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2
    sides = np.minimum(high, box[[3, 2]]) - np.maximum(low, box[[1, 0]])
    return np.asarray(np.maximum(sides, 0).prod(axis=1) / places[:, 2:].prod(axis=1))
