"""The anchors of a canvas, and offsets from them to boxes and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.graphs import Array

LEVELS = (3, 4, 5, 6, 7)
"""Level ``l`` has one place per ``2 ** l`` pixels of the canvas."""
STEP = 2 ** LEVELS[-1]
"""Sides of a canvas are multiples of it, in pixels, so that each level is half the one below."""
ANCHOR_SCALE, SCALES, RATIOS = 4.0, tuple(2 ** (step / 3) for step in range(3)), (1.0, 2.0, 0.5)
"""Sides in strides of the level; ratios are width over height."""
PER_PLACE = len(SCALES) * len(RATIOS)
BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
"""Of the offsets ``cy cx h w``: the coder of Faster R-CNN (Ren et al. 2015, arXiv:1506.01497)."""


def shapes(scale: float = ANCHOR_SCALE) -> Array:
    """Height and width of the anchors of a place, float64 ``[PER_PLACE, 2]``, in strides of the level."""
    return scale * np.array([(size / ratio**0.5, size * ratio**0.5) for ratio in RATIOS for size in SCALES])


def anchors(height: int, width: int, scale: float = ANCHOR_SCALE) -> Array:
    """The anchors of a canvas, float64 ``[N, 4]``: ``cy cx h w`` in pixels.

    ``height`` and ``width`` are its sides in pixels, multiples of ``STEP``.
    """
    found = []
    for level in LEVELS:
        stride = 2**level
        middles = [(np.arange(side // stride) + 0.5) * stride for side in (height, width)]
        centres = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        sides = stride * shapes(scale)[None]
        found.append(np.concatenate(np.broadcast_arrays(centres, sides), axis=-1).reshape(-1, 4))
    return np.concatenate(found)


def encode(boxes: Array, anchor: Array) -> Array:
    """Offsets float32 ``[N, 4]`` (``cy cx h w``) from anchors ``[N, 4]`` (the same) to boxes ``[N, 4]``.

    ``boxes`` are ``x1 y1 x2 y2`` in the anchors' unit, with sides above 0.
    """
    sides = boxes[:, [3, 2]] - boxes[:, [1, 0]]
    middles = boxes[:, [1, 0]] + sides / 2
    parts = [(middles - anchor[:, :2]) / anchor[:, 2:], np.log(sides / anchor[:, 2:])]
    return (np.concatenate(parts, axis=1) * BOX_SCALES).astype(np.float32)


def decode(offsets: Any, anchor: Array) -> Any:
    """Offsets ``[B, N, 4]`` (``cy cx h w``) from ``[N, 4]`` to boxes ``[B, N, 4]`` (``y1 x1 y2 x2``)."""
    import tensorflow as tf

    cy, cx, h, w = (tf.constant(column, tf.float32) for column in anchor.T)
    ty, tx, th, tw = (
        part / scale for part, scale in zip(tf.unstack(offsets, axis=-1), BOX_SCALES, strict=True)
    )
    y, x, half_h, half_w = ty * h + cy, tx * w + cx, tf.exp(th) * h / 2.0, tf.exp(tw) * w / 2.0
    return tf.stack([y - half_h, x - half_w, y + half_h, x + half_w], axis=-1)
