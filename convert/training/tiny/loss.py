"""What ``tiny`` is trained towards.

Places are given to objects by SimOTA (Ge et al. 2021, "YOLOX", arXiv:2107.08430, section 2.1): each object
takes the few places that cost least, more of them the better they overlap. Boxes are trained by the overlap
that EIoU measures (Zhang et al. 2021, arXiv:2101.08158); the class head learns that overlap, the object head
which places were taken. Outside of labelled hard objects, both stay near what the published network saw
(Hinton, Vinyals and Dean 2015, arXiv:1503.02531): most sets have few plain faces, and it knows more of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from convert.graphs import Array
from convert.training.recipe import Maps
from convert.training.samples import Kind
from convert.training.tiny.network import STRIDES

NEAR = 2.5
"""A place may be taken when it lies within this many strides of the object's middle."""
MOST_TAKEN = 10
FAR = 1e5
"""Cost of a place that does not lie both in the box and near its middle."""
OVERLAP_COST = 3.0
SURE, SEEN = 0.3, 0.15
"""Above the first score of the published network nothing is punished that nobody labelled; from the second
on, its scores are kept."""
BOX, CLASS, OBJECT, DISTILLED = 5.0, 1.0, 1.0, 1.0
"""Weights of the parts."""
EPSILON = 1e-7


def targets(boxes: Array, kinds: Array) -> dict[str, Array]:
    """Everything is computed beside the network's maps, because the assignment depends on them."""
    return {"boxes": boxes, "kinds": kinds}


def loss(maps: Maps, targets: Maps, teacher: Maps) -> dict[str, Any]:
    """The parts of the loss, float32 scalars; see ``Recipe.loss``. Sums are divided by the places taken."""
    boxes, kinds = targets["boxes"], targets["kinds"]
    found, classes, objects, places = _rows(maps)
    wanted = (kinds == Kind.PLAIN) | (kinds == Kind.HARD)
    overlap = _iou(found[:, None], boxes[:, :, None])
    owner, taken = _assign(
        tf.stop_gradient(overlap),
        tf.stop_gradient(tf.sigmoid(classes) * tf.sigmoid(objects)),
        boxes,
        wanted,
        places,
    )
    weight = tf.cast(taken, tf.float32)
    count = tf.maximum(tf.reduce_sum(weight), 1.0)
    own = tf.gather(boxes, owner, batch_dims=1)
    iou, eiou = _eiou(found, own)
    labelled, hard, ignored = (
        tf.reduce_any(_within(places, boxes) & chosen[..., None], axis=1)
        for chosen in (wanted, kinds == Kind.HARD, kinds == Kind.IGNORED)
    )
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    kept: dict[str, Any] = {}
    if teacher:
        before = _rows(teacher)[1:3]
        score = tf.sqrt(tf.sigmoid(before[0]) * tf.sigmoid(before[1]))
        ignored |= (score > SURE) & ~labelled
        where = tf.cast((score > SEEN) & ~hard, tf.float32)
        apart = sum(_divergence(old, new) for old, new in zip(before, (classes, objects), strict=True))
        kept["distilled"] = DISTILLED * tf.reduce_sum(apart * where) / tf.maximum(tf.reduce_sum(where), 1.0)
    judged = tf.cast(taken | ~ignored, tf.float32)
    return {
        **kept,
        "box": BOX * tf.reduce_sum((1 - eiou) * weight) / count,
        "class": CLASS * tf.reduce_sum(entropy(tf.stop_gradient(iou), classes) * weight) / count,
        "object": OBJECT * tf.reduce_sum(entropy(weight, objects) * judged) / count,
    }


def _divergence(old: Any, new: Any) -> Any:
    """That of the scores of two logits."""
    entropy, scores = tf.nn.sigmoid_cross_entropy_with_logits, tf.sigmoid(old)
    return entropy(scores, new) - entropy(scores, old)


def _rows(maps: Maps) -> tuple[Any, Any, Any, Any]:
    """Boxes ``[B, A, 4]`` (``x1 y1 x2 y2``, pixels), class and object logits ``[B, A]``, and the places
    ``[A, 3]`` (x, y, stride; pixels)."""
    boxes, classes, objects, places = [], [], [], []
    for stride in STRIDES:
        box = maps[f"box_{stride}"]
        batch, rows, columns = (tf.shape(box)[i] for i in range(3))
        y, x = tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij")
        place = tf.cast(tf.stack([x, y], axis=-1) * stride, tf.float32)
        middle = place + box[..., :2] * stride
        half = tf.exp(tf.minimum(box[..., 2:], 6.0)) * stride / 2
        boxes.append(tf.reshape(tf.concat([middle - half, middle + half], axis=-1), [batch, -1, 4]))
        classes.append(tf.reshape(maps[f"class_{stride}"], [batch, -1]))
        objects.append(tf.reshape(maps[f"object_{stride}"], [batch, -1]))
        flat = tf.reshape(place, [-1, 2])
        places.append(tf.concat([flat, tf.fill([tf.shape(flat)[0], 1], float(stride))], axis=1))
    return tf.concat(boxes, 1), tf.concat(classes, 1), tf.concat(objects, 1), tf.concat(places, 0)


def _within(places: Any, boxes: Any) -> Any:
    """Which places lie in which boxes: bool ``[B, M, A]``."""
    low = places[:, :2] > boxes[:, :, None, :2]
    return tf.reduce_all(low & (places[:, :2] < boxes[:, :, None, 2:]), axis=-1)


def _assign(overlap: Any, scores: Any, boxes: Any, wanted: Any, places: Any) -> tuple[Any, Any]:
    """The object of each place, int32 ``[B, A]``, and whether it is taken, bool ``[B, A]``."""
    within = _within(places, boxes)
    middle = (boxes[..., :2] + boxes[..., 2:])[:, :, None] / 2
    near = tf.reduce_all(tf.abs(places[:, :2] - middle) < NEAR * places[:, 2:], axis=-1)
    possible = (within | near) & wanted[..., None]
    score = tf.clip_by_value(tf.sqrt(scores), EPSILON, 1 - EPSILON)[:, None]
    cost = -tf.math.log(score) - OVERLAP_COST * tf.math.log(overlap + EPSILON)
    cost = tf.where(within & near, cost, cost + FAR)
    cost = tf.where(possible, cost, np.float32(np.inf))
    best, _ = tf.math.top_k(tf.where(possible, overlap, 0.0), MOST_TAKEN)
    number = tf.clip_by_value(tf.cast(tf.reduce_sum(best, axis=-1), tf.int32), 1, MOST_TAKEN)
    cheapest, _ = tf.math.top_k(-cost, MOST_TAKEN)
    limit = -tf.gather(cheapest, number[..., None] - 1, batch_dims=2)
    chosen = (cost <= limit) & possible
    # A place that several objects chose goes to the one that it costs least.
    own_cost = tf.where(chosen, cost, np.float32(np.inf))
    return tf.argmin(own_cost, axis=1, output_type=tf.int32), tf.reduce_any(chosen, axis=1)


def _iou(first: Any, second: Any) -> Any:
    """Intersection over union of boxes ``x1 y1 x2 y2``, broadcast over the leading axes."""
    low, high = tf.maximum(first[..., :2], second[..., :2]), tf.minimum(first[..., 2:], second[..., 2:])
    common = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    areas = [tf.reduce_prod(tf.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1) for b in (first, second)]
    return common / (areas[0] + areas[1] - common + EPSILON)


def _eiou(first: Any, second: Any) -> tuple[Any, Any]:
    """Intersection over union, and EIoU: less the squared distances of the middles and of the sides."""
    iou = _iou(first, second)
    hull = tf.maximum(first[..., 2:], second[..., 2:]) - tf.minimum(first[..., :2], second[..., :2])
    hull = tf.maximum(hull, EPSILON)
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    sides = (first[..., 2:] - first[..., :2]) - (second[..., 2:] - second[..., :2])
    distance = tf.reduce_sum(apart**2, axis=-1) / tf.reduce_sum(hull**2, axis=-1)
    return iou, iou - distance - tf.reduce_sum((sides / hull) ** 2, axis=-1)
