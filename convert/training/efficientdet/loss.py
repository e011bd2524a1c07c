"""What the network is punished for, and the boxes that its heads stand for."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from convert.training.efficientdet.anchors import BOX_SCALES, anchors, decode
from convert.training.efficientdet.targets import IGNORED, POSITIVE
from convert.training.recipe import Maps

ALPHA, GAMMA = 0.25, 1.5
"""Of the focal loss, as EfficientDet has them (section 5.1)."""
DELTA, BOX_WEIGHT = 0.1, 50.0
"""Of Huber's loss: offsets beyond it count linearly; and how much boxes count beside classes."""
CANDIDATES, MOST, SUPPRESSION_IOU = 1000, 300, 0.5


def loss(outputs: Maps, targets: Maps, teacher: Maps | None = None) -> dict[str, Any]:
    """The parts ``classes`` and ``boxes``, each over the number of anchors that have a box (at least one).

    ``outputs`` are those of the network: ``classes`` ``[B, A, 1]``, logits, and ``boxes`` ``[B, A, 4]``.
    ``targets`` are those of ``targets.assign``. There is no ``teacher``: no network with these anchors is
    published.
    """
    del teacher
    state = targets["state"]
    positive = tf.cast(state == POSITIVE, tf.float32)
    known = tf.cast(state != IGNORED, tf.float32)
    count = tf.maximum(tf.reduce_sum(positive), 1.0)
    classes = focal(tf.cast(outputs["classes"][..., 0], tf.float32), positive)
    error = (tf.cast(outputs["boxes"], tf.float32) - targets["offsets"]) / tf.constant(BOX_SCALES)
    boxes = tf.reduce_mean(huber(error), axis=-1)
    return {
        "classes": tf.reduce_sum(classes * known) / count,
        "boxes": BOX_WEIGHT * tf.reduce_sum(boxes * positive) / count,
    }


def focal(logits: Any, labels: Any) -> Any:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002, eq. 5) of logits and labels 0 or 1 of one shape."""
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    scores = tf.sigmoid(logits)
    miss = labels * (1 - scores) + (1 - labels) * scores
    weight = labels * ALPHA + (1 - labels) * (1 - ALPHA)
    # A root of 0 has no gradient.
    return weight * tf.maximum(miss, 1e-8) ** GAMMA * entropy


def huber(error: Any) -> Any:
    """Huber's loss: half of the square up to DELTA, a straight line beyond."""
    size = tf.abs(error)
    return tf.where(size <= DELTA, 0.5 * error**2, DELTA * (size - 0.5 * DELTA))


def read(outputs: Maps, sides: tuple[int, int], scale: float) -> tuple[Any, Any]:
    """The network's boxes ``[B, 300, 4]`` (``x1 y1 x2 y2``, pixels) and scores ``[B, 300]``, best first.

    ``sides`` are the canvas's height and width in pixels, ``scale`` that of its anchors. Overlapping boxes
    are suppressed; behind the last there are zeros.
    """
    scores = tf.sigmoid(tf.cast(outputs["classes"][..., 0], tf.float32))
    boxes = decode(tf.cast(outputs["boxes"], tf.float32), anchors(*sides, scale))
    scores, rows = tf.math.top_k(scores, min(CANDIDATES, scores.shape[1]))
    boxes = tf.gather(boxes, rows, batch_dims=1)
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        scores[..., None],
        MOST,
        MOST,
        iou_threshold=SUPPRESSION_IOU,
        score_threshold=0.0,
        clip_boxes=False,
    )
    return tf.gather(kept.nmsed_boxes, [1, 0, 3, 2], axis=-1), kept.nmsed_scores
