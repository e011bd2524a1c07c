"""SavedModels that answer with chosen boxes, maps or class numbers, or have several signatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import tensorflow as tf

from convert.sample import sample_pictures
from tests.saved_models import Network, anchors

SIDE = 64
LOOPED = 100
"""How many boxes go through a loop that suppresses them."""
Answer = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def suppressed(boxes: tf.Tensor, scores: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
    """As the RetinaNet of Keras' examples ends."""
    found = tf.image.combined_non_max_suppression(
        tf.expand_dims(boxes, axis=2), scores, 100, 100, 0.45, 0.05, clip_boxes=False
    )
    return dict(zip(("boxes", "scores", "classes", "valid_detections"), found, strict=True))


def chosen(boxes: tf.Tensor, scores: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
    kept = tf.image.non_max_suppression(boxes[0], scores[0, :, 0], 100)
    return {"boxes": tf.gather(boxes[0], kept)[None], "scores": tf.gather(scores[0], kept)[None]}


def looped(boxes: tf.Tensor, scores: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
    """As KerasHub's RetinaNet ends when its predictions are decoded: the best scores mask and sort the boxes,
    and a loop suppresses them, whatever their class."""
    best = tf.reduce_max(scores, axis=2)
    strong = tf.cast(best > 0.3, tf.float32)
    order = tf.argsort(best * strong, direction="DESCENDING")[:, :LOOPED]
    sorted_boxes = tf.gather(boxes * strong[..., None], order, batch_dims=1)
    alive = tf.cast(tf.gather(best, order, batch_dims=1) > 0.3, tf.float32)

    def step(place: Any, alive: Any, limit: Any) -> tuple[Any, Any, Any]:
        one = sorted_boxes[:, place : place + 1]
        low, high = (
            tf.maximum(one[..., :2], sorted_boxes[..., :2]),
            tf.minimum(one[..., 2:], sorted_boxes[..., 2:]),
        )
        common = tf.reduce_prod(tf.maximum(high - low, 0), axis=2)
        area, others = (tf.reduce_prod(b[..., 2:] - b[..., :2], axis=2) for b in (one, sorted_boxes))
        covered = tf.cast(common / (area + others - common + 1e-9) >= limit, tf.float32)
        later = tf.cast(tf.range(LOOPED) > place, tf.float32)
        return place + 1, alive * (1 - covered * later * alive[:, place : place + 1]), limit

    _, alive, _ = tf.while_loop(lambda place, *_: place < LOOPED, step, [0, alive, 0.4])
    alive = tf.reshape(alive, [-1, LOOPED])
    kept = tf.math.top_k(alive, LOOPED).indices
    chosen = tf.gather(order, kept, batch_dims=1)
    valid = tf.gather(alive, kept, batch_dims=1)
    labels = tf.argmax(tf.gather(scores, chosen, batch_dims=1), axis=2)
    return {
        "boxes": tf.gather(boxes, chosen, batch_dims=1) * valid[..., None] + valid[..., None] - 1,
        "confidence": tf.gather(best, chosen, batch_dims=1) * valid + valid - 1,
        "labels": tf.where(valid > 0, tf.cast(labels, tf.int32), -1),
        "num_detections": tf.cast(tf.reduce_sum(valid, axis=1), tf.int32),
    }


def looped_by_class(boxes: tf.Tensor, scores: tf.Tensor, image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Two loops, each with a maximum over one class."""
    first, second = (looped(boxes, scores[..., place : place + 1], image) for place in (0, 1))
    return {"boxes": tf.concat([first["boxes"], second["boxes"]], axis=1)}


def offsets(boxes: tf.Tensor, scores: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
    """Named as the raw heads of KerasHub's RetinaNet."""
    return {"bbox_regression": boxes, "cls_logits": scores}


def preselected(boxes: tf.Tensor, scores: tf.Tensor, image: tf.Tensor) -> dict[str, tf.Tensor]:
    """The best boxes are chosen before the suppression."""
    best = tf.math.top_k(scores[0, :, 0], 50).indices
    kept = tf.image.non_max_suppression(tf.gather(boxes[0], best), tf.gather(scores[0, :, 0], best), 20)
    return {"boxes": tf.gather(boxes[0], tf.gather(best, kept))[None]}


def rows(boxes: tf.Tensor, scores: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
    best = tf.math.top_k(scores[0, :, 0], 100)
    picked = tf.gather(boxes[0], best.indices)
    zeros = tf.zeros([100, 1])
    return {"detections": tf.concat([zeros, picked, best.values[:, None], zeros], axis=1)[None]}


def maps(_: tf.Tensor, __: tf.Tensor, image: tf.Tensor) -> dict[str, tf.Tensor]:
    cells = tf.nn.avg_pool2d(image, 4, 4, "SAME")
    return {"heatmap": cells[..., :1], "wh": cells[..., :2], "reg": cells[..., 1:]}


def numbered(boxes: tf.Tensor, scores: tf.Tensor, _: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "boxes": boxes,
        "scores": tf.reduce_max(scores, axis=2),
        "classes": tf.cast(tf.argmax(scores, axis=2), tf.float32),
    }


def save(folder: Path, answer: Answer, signatures: tuple[str, ...] = ("serving_default",)) -> Path:
    """A network of two classes on 64x64 pixels, float input in 0..1, boxes yxyx in shares."""
    network = Network(None, 2, seed=1)
    canvases = [tf.image.resize(picture, [SIDE, SIDE]).numpy() for _, picture in sample_pictures(SIDE, SIDE)]
    network.scale_heads((np.stack(canvases) / 255 - 0.45) / 0.225)
    cxcywh = tf.constant(anchors(SIDE, SIDE), tf.float32)

    def detect(image: tf.Tensor) -> dict[str, Any]:
        logits, offsets = network((image - 0.45) / 0.225)
        middle = offsets[..., 1::-1] / 10.0 * cxcywh[:, 2:] + cxcywh[:, :2]
        half = tf.exp(offsets[..., 3:1:-1] / 5.0) * cxcywh[:, 2:] / 2.0
        boxes = tf.gather(tf.concat([middle - half, middle + half], axis=2), [1, 0, 3, 2], axis=2)
        return answer(boxes, tf.sigmoid(logits), image)

    module = tf.Module()
    module.network = network
    spec = tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="image")
    module.function = tf.function(detect, input_signature=[spec])
    named = {name: module.function.get_concrete_function() for name in signatures}
    tf.saved_model.save(module, str(folder), signatures=named)
    return folder
