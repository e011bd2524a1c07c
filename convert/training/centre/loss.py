"""What ``centre`` is trained towards.

* Heat map: the focal loss of CornerNet (Law and Deng 2018, arXiv:1808.01244, section 3.2), with a Gaussian
  around each object's peak. The peak stays where the published network puts it in the object's box: moving
  it to the middle of the label costs faces elsewhere. Gaussians are at least one cell wide.
* Where the published network sees more than ``SURE`` and nobody labelled anything, nothing is punished.
* Distillation (Hinton, Vinyals and Dean 2015, arXiv:1503.02531): outside of labelled hard objects, the heat
  map stays near the published network's.
* A run that begins with no weights has no such network: peaks are in the middle, and nothing is distilled.
* Size and offset: the smooth absolute difference to the labelled box, around each peak.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from convert.graphs import Array
from convert.training.centre.network import STRIDE
from convert.training.recipe import Maps
from convert.training.samples import Kind

SURE = 0.3
WIDTH, NARROWEST = 0.09, 1.0
"""Standard deviation of a Gaussian: this share of the object's side, at least this many cells."""
AROUND = 0.6
"""Size and offset are learnt in cells from this height of the Gaussian on."""
PEAK_ADVANTAGE = 0.02
"""How much higher the published network's peak must be than elsewhere in the box to decide its place."""
DISTILLED, SIZE, OFFSET = 0.5, 1.0, 1.0
"""Weights of the parts."""


def targets(boxes: Array, kinds: Array) -> dict[str, Array]:
    """Everything is computed beside the network's maps, because it depends on the teacher's."""
    return {"boxes": boxes, "kinds": kinds}


def loss(maps: Maps, targets: Maps, teacher: Maps) -> dict[str, Any]:
    """The parts of the loss, float32 scalars; see ``Recipe.loss``. Each is a mean over the objects."""
    boxes, kinds = targets["boxes"] / STRIDE, targets["kinds"]
    heat = tf.sigmoid(maps["heat"][..., 0])
    before = tf.sigmoid(teacher["heat"][..., 0]) if teacher else tf.zeros_like(heat)
    wanted = (kinds == Kind.PLAIN) | (kinds == Kind.HARD)
    inside = _inside(boxes, tf.shape(heat)[1], tf.shape(heat)[2])
    peak = _peaks(boxes, inside, before)
    hill = _hills(boxes, peak, wanted, tf.shape(heat)[1], tf.shape(heat)[2])
    height = tf.reduce_max(hill, axis=1)
    count = tf.maximum(tf.reduce_sum(tf.cast(wanted, tf.float32)), 1.0)
    labelled, hard, ignored = (
        tf.reduce_any(inside & chosen[..., None, None], axis=1)
        for chosen in (wanted, kinds == Kind.HARD, kinds == Kind.IGNORED)
    )
    judged = tf.cast(labelled | ~(ignored | (before > SURE)), tf.float32)
    size, offset = _boxes(maps, boxes, hill)
    parts = {
        "heat": tf.reduce_sum(_focal(maps["heat"][..., 0], heat, height, judged)) / count,
        "size": SIZE * size / count,
        "offset": OFFSET * offset / count,
    }
    if teacher:
        distilled = tf.reduce_sum(_distilled(maps, teacher, tf.cast(~hard, tf.float32)))
        parts["distilled"] = DISTILLED * distilled / count
    return parts


def _inside(boxes: Any, height: Any, width: Any) -> Any:
    """Which cells' middles lie in which boxes (in cells, ``[B, M, 4]``): bool ``[B, M, h, w]``."""
    rows, columns = (tf.range(n, dtype=tf.float32) + 0.5 for n in (height, width))
    x1, y1, x2, y2 = (boxes[:, :, i, None] for i in range(4))
    return ((columns >= x1) & (columns <= x2))[:, :, None, :] & ((rows >= y1) & (rows <= y2))[..., None]


def _peaks(boxes: Any, inside: Any, before: Any) -> Any:
    """The cell of each object's peak, float32 ``[B, M, 2]`` (row, column)."""
    height, width = tf.shape(before)[1], tf.shape(before)[2]
    middle = (boxes[..., :2] + boxes[..., 2:])[..., ::-1] / 2
    limits = tf.cast(tf.stack([height, width]) - 1, tf.float32)
    middle = tf.clip_by_value(tf.floor(middle), 0.0, limits)
    seen = tf.where(inside, before[:, None], 0.0)
    flat = tf.reshape(seen, [tf.shape(seen)[0], tf.shape(seen)[1], -1])
    best = tf.argmax(flat, axis=2, output_type=tf.int32)
    found = tf.cast(tf.stack([best // width, best % width], axis=-1), tf.float32)
    clear = tf.reduce_max(flat, axis=2) > PEAK_ADVANTAGE
    return tf.where(clear[..., None], found, middle)


def _hills(boxes: Any, peak: Any, wanted: Any, height: Any, width: Any) -> Any:
    """A Gaussian of height 1 on each wanted object's peak, float32 ``[B, M, h, w]``."""
    side = tf.sqrt(tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1))
    spread = tf.maximum(WIDTH * side, NARROWEST)[..., None]
    rows, columns = (tf.range(n, dtype=tf.float32) for n in (height, width))
    down = tf.exp(-((rows - peak[..., :1]) ** 2) / (2 * spread**2))
    across = tf.exp(-((columns - peak[..., 1:]) ** 2) / (2 * spread**2))
    hill = down[..., None] * across[:, :, None, :]
    return tf.where(wanted[..., None, None], hill, 0.0)


def _focal(logits: Any, heat: Any, height: Any, judged: Any) -> Any:
    right, wrong = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
    is_peak = height >= 1.0 - 1e-6
    found = -((1 - heat) ** 2) * right
    absent = -((1 - height) ** 4) * heat**2 * wrong * judged
    return tf.where(is_peak, found, absent)


def _distilled(maps: Maps, teacher: Maps, where: Any) -> Any:
    """The divergence of the heat maps, most of it where either sees something."""
    ours, theirs = maps["heat"][..., 0], teacher["heat"][..., 0]
    heat, before = tf.sigmoid(ours), tf.sigmoid(theirs)
    cross = -(before * tf.math.log_sigmoid(ours) + (1 - before) * tf.math.log_sigmoid(-ours))
    least = -(before * tf.math.log_sigmoid(theirs) + (1 - before) * tf.math.log_sigmoid(-theirs))
    return (cross - least) * where * tf.maximum(before, tf.stop_gradient(heat))


def _boxes(maps: Maps, boxes: Any, hill: Any) -> tuple[Any, Any]:
    """Smooth absolute differences of size and offset around each peak, summed over objects."""
    owner = tf.argmax(hill, axis=1, output_type=tf.int32)
    height = tf.reduce_max(hill, axis=1)
    weight = tf.where(height >= AROUND, height, 0.0)
    own = tf.gather(boxes, owner, batch_dims=1)
    share = weight / tf.maximum(_per_object(weight, owner, tf.shape(boxes)[1]), 1e-6)
    sides = tf.maximum(own[..., 2:] - own[..., :2], 1e-3)[..., ::-1]
    middle = ((own[..., :2] + own[..., 2:]) / 2)[..., ::-1]
    rows, columns = tf.shape(height)[1], tf.shape(height)[2]
    grid = tf.stack(tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij"), axis=-1)
    wanted_offset = middle - tf.cast(grid, tf.float32) - 0.5
    size = _smooth(maps["size"] - tf.math.log(sides))
    offset = _smooth(maps["offset"] - wanted_offset)
    return tf.reduce_sum(size * share), tf.reduce_sum(offset * share)


def _per_object(weight: Any, owner: Any, objects: Any) -> Any:
    """For each cell, the summed weight of all cells of the same object."""
    batch = tf.shape(weight)[0]
    numbers = owner + tf.range(batch)[:, None, None] * objects
    total = tf.math.unsorted_segment_sum(tf.reshape(weight, [-1]), tf.reshape(numbers, [-1]), batch * objects)
    return tf.gather(total, numbers)


def _smooth(difference: Any) -> Any:
    """Huber's loss (1964) from 0.1 on, summed over the last axis."""
    size = tf.abs(difference)
    return tf.reduce_sum(tf.where(size < 0.1, size**2 / 0.2, size - 0.05), axis=-1)
