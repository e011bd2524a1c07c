"""What an export puts around the network: the signature of the Object Detection API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from convert.training.efficientdet.anchors import ANCHOR_SCALE, anchors, decode
from convert.training.efficientdet.network import Variant

MAX_BOXES, NMS_IOU, MIN_SCORE = 100, 0.5, 1e-8


def make_canvas(picture: Any, size: int, variant: Variant) -> tuple[Any, Any]:
    """An RGB picture ``[H, W, 3]`` to a normalised canvas and the share that the picture fills (y, x)."""
    mean, deviation = (tf.constant(values) for values in variant.normalisation)
    x = (tf.cast(picture, tf.float32) / 255.0 - mean) / deviation
    sides = tf.cast(tf.shape(x)[:2], tf.float32)
    inner = tf.cast(tf.round(sides * (size / tf.reduce_max(sides))), tf.int32)
    x = tf.image.pad_to_bounding_box(tf.image.resize(x, inner), 0, 0, size, size)
    return x, tf.cast(inner, tf.float32) / size


def signed(network: Any, variant: Variant, size: int, scale: float = ANCHOR_SCALE) -> tf.Module:
    """A module with the Object Detection API's signature around a network of ``make_network``.

    ``size`` is the side of its canvas in pixels, ``scale`` that of its anchors in strides. The module's
    ``network`` is the Keras model. Its ``detect`` takes one picture, ``input_tensor`` uint8 ``[1, H, W, 3]``
    RGB, and returns, all float32:

    * ``raw_detection_boxes`` ``[1, N, 4]``: ``y1 x1 y2 x2`` in shares of the canvas, one box per anchor;
    * ``raw_detection_scores`` ``[1, N, classes]``, 0..1, without a background;
    * ``detection_boxes`` ``[1, 100, 4]``: ``y1 x1 y2 x2`` in shares of the picture, 0..1, best first, zeros
      behind the last; ``detection_scores`` and ``detection_classes`` (from 1) ``[1, 100]``;
    * ``detection_anchor_indices`` ``[1, 100]``: each box's row among the raw ones;
      ``detection_multiclass_scores`` ``[1, 100, classes]``: that row's scores;
    * ``num_detections`` ``[1]``.
    """
    places = anchors(size, size, scale) / size

    def detect(input_tensor: Any) -> dict[str, Any]:
        shapes = (tf.TensorSpec([size, size, 3]), tf.TensorSpec([2]))
        canvas, filled = tf.map_fn(
            lambda picture: make_canvas(picture, size, variant), input_tensor, fn_output_signature=shapes
        )
        logits, offsets = network(canvas, training=False)
        scores, boxes = tf.sigmoid(logits), decode(offsets, places)
        raw = {"raw_detection_boxes": tf.identity(boxes), "raw_detection_scores": tf.identity(scores)}
        return {**raw, **_suppress(boxes[0], scores[0], filled[0])}

    module = tf.Module()
    module.network = network
    picture = tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")
    module.detect = tf.function(detect, input_signature=[picture], autograph=False)
    return module


def save(module: tf.Module, folder: Path) -> None:
    """Save what ``signed`` gives as a SavedModel in ``folder``; its ``serving_default`` is ``detect``."""
    # Of the Keras model only what a restored function needs: all of it takes three times as long to save.
    kept = tf.Module()
    kept.detect, kept.weights = module.detect, [weight.value for weight in module.network.weights]
    tf.saved_model.save(kept, str(folder), signatures=kept.detect)


def _suppress(boxes: Any, scores: Any, filled: Any) -> dict[str, Any]:
    """The best of ``boxes`` ``[N, 4]`` by ``scores`` ``[N, classes]``: per class, then of all classes."""
    kept, kept_scores, kept_classes = [], [], []
    for place in range(scores.shape[1]):
        chosen, best = tf.image.non_max_suppression_with_scores(
            boxes, scores[:, place], MAX_BOXES, iou_threshold=NMS_IOU, score_threshold=MIN_SCORE
        )
        kept.append(chosen)
        kept_scores.append(best)
        kept_classes.append(tf.fill(tf.shape(chosen), place + 1.0))
    index, score, number = (tf.concat(parts, axis=0) for parts in (kept, kept_scores, kept_classes))
    window = tf.tile(filled, [2])
    box = tf.clip_by_value(tf.gather(boxes, index), 0.0, window)
    seen = tf.reduce_all(box[:, 2:] > box[:, :2], axis=1)
    # The order is by score, and what the padding shows comes last, without a score.
    score = tf.where(seen, score, 0.0)
    order = tf.argsort(score, direction="DESCENDING", stable=True)[:MAX_BOXES]
    count = tf.minimum(tf.reduce_sum(tf.cast(seen, tf.int32)), MAX_BOXES)
    order = order[:count]

    def fill(values: Any) -> Any:
        rows = tf.gather(values, order)
        padded = tf.pad(rows, [[0, MAX_BOXES - count], *[[0, 0]] * (rows.shape.rank - 1)])
        return tf.ensure_shape(padded, [MAX_BOXES, *rows.shape[1:]])[None]

    return {
        "detection_boxes": fill(box / window),
        "detection_scores": fill(score),
        "detection_classes": fill(number),
        "detection_anchor_indices": fill(tf.cast(index, tf.float32)),
        "detection_multiclass_scores": fill(tf.gather(scores, index)),
        "num_detections": tf.cast(count, tf.float32)[None],
    }
