"""Weights for the network, what an export puts around it, and the SavedModel."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.reference_models.network import (
    ANCHOR_SCALE,
    LEVELS,
    PER_PLACE,
    RATIOS,
    SCALES,
    VARIANTS,
    Variant,
    make_network,
)
from convert.graphs import Array
from convert.sample import sample_pictures

BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
"""Of the offsets ``cy cx h w``: the coder of Faster R-CNN (Ren et al. 2015, arXiv:1506.01497)."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, RGB in 0..1."""
MAX_BOXES, NMS_IOU, MIN_SCORE = 100, 0.5, 1e-8
PRIOR, HIGH_SCORE, HIGH_ANCHORS = 0.01, 0.3, 40
"""The score of a middling anchor; and a score that on average this many anchors of a picture exceed, as those
around one or two faces do in a trained model: the time of suppression depends on it."""
SETTLING_PICTURES = 4
"""Keras keeps every layer's maps of all of them in memory: gigabytes in D2."""


# ------------------------------------------------------------------------------------------------ weights


def _draw(network: Any, rng: np.random.Generator) -> None:
    """Random weights that do not make a chaotic function of the picture, as independent ones would.

    The rounding of a canvas to bytes must hardly change the scores: kernels are smooth, and normalised
    values lie where swish is almost a straight line.
    """
    for weight in network.weights:
        shape = tuple(weight.shape)
        if weight.name == "gamma":
            weight.assign(np.full(shape, 0.4))
        elif weight.name == "beta":
            weight.assign(np.full(shape, 0.5))
        elif weight.name == "fusion":
            weight.assign(rng.uniform(0.5, 1.5, shape))
        elif len(shape) == 4:
            line = np.hanning(shape[0] + 2)[1:-1]
            window = np.outer(line, line)[:, :, None, None]
            fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
            weight.assign(rng.normal(0, fan_in**-0.5, shape) * window)


def _settle(network: Any, canvases: Any) -> None:
    """Give every layer the range that it has after training, by what it makes of these canvases."""
    logits, offsets = network(canvases, training=True)  # sets the statistics of every normalisation
    prior, high = (float(np.log(score / (1 - score))) for score in (PRIOR, HIGH_SCORE))
    highest = np.quantile(_standard(logits)[0], 1 - HIGH_ANCHORS / logits.shape[1])
    for name, rows, spread, middle in (
        ("classes", logits, (high - prior) / highest, prior),
        ("boxes", offsets, 1.0, 0.0),
    ):
        _, mean, deviation = _standard(rows)
        _, pointwise, bias = network.get_layer(name).weights
        gain = spread / deviation
        pointwise.assign(pointwise * gain)
        bias.assign(middle - gain * mean)


def _standard(rows: Any) -> tuple[Array, Array, Array]:
    """A head's rows by its channels, standardised; mean and deviation of each channel."""
    values = np.reshape(rows, (-1, PER_PLACE * rows.shape[2]))
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return (values - mean) / deviation, mean, deviation


# --------------------------------------------------------------------------------------- around the network


def _canvas(picture: Any, size: int) -> tuple[Any, Any]:
    """An RGB picture ``[H, W, 3]`` to a normalised canvas and the share that the picture fills (y, x)."""
    x = (tf.cast(picture, tf.float32) / 255.0 - tf.constant(MEAN)) / tf.constant(STD)
    sides = tf.cast(tf.shape(x)[:2], tf.float32)
    inner = tf.cast(tf.round(sides * (size / tf.reduce_max(sides))), tf.int32)
    x = tf.image.pad_to_bounding_box(tf.image.resize(x, inner), 0, 0, size, size)
    return x, tf.cast(inner, tf.float32) / size


def anchors(size: int) -> Array:
    """The anchors of a canvas of ``size`` pixels a side, float64 ``[N, 4]``: ``cy cx h w`` in its shares."""
    shapes = np.array([(scale / ratio**0.5, scale * ratio**0.5) for ratio in RATIOS for scale in SCALES])
    found = []
    for level in LEVELS:
        stride = 2**level
        middle = (np.arange(size // stride) + 0.5) * stride
        centres = np.stack(np.meshgrid(middle, middle, indexing="ij"), axis=-1).reshape(-1, 1, 2)
        sides = ANCHOR_SCALE * stride * shapes[None]
        found.append(np.concatenate(np.broadcast_arrays(centres, sides), axis=-1).reshape(-1, 4))
    return np.concatenate(found) / size


def _decode(offsets: Any, anchor: Array) -> Any:
    """Offsets ``[B, N, 4]`` (``cy cx h w``) from ``[N, 4]`` to boxes ``[B, N, 4]`` (``y1 x1 y2 x2``)."""
    cy, cx, h, w = (tf.constant(column, tf.float32) for column in anchor.T)
    ty, tx, th, tw = (
        part / scale for part, scale in zip(tf.unstack(offsets, axis=-1), BOX_SCALES, strict=True)
    )
    y, x, half_h, half_w = ty * h + cy, tx * w + cx, tf.exp(th) * h / 2.0, tf.exp(tw) * w / 2.0
    return tf.stack([y - half_h, x - half_w, y + half_h, x + half_w], axis=-1)


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


# ------------------------------------------------------------------------------------------------- module


def build(variant: str, size: int | None = None, classes: int = 1, seed: int = 0) -> tf.Module:
    """An EfficientDet with random weights; ``variant`` is ``D0``, ``D1`` or ``D2``.

    ``size`` is the side of its canvas in pixels, a multiple of 128 (None: the paper's). The same seed gives
    the same weights. The module's ``network`` is the Keras model, from normalised canvases, float32
    ``[B, size, size, 3]`` RGB, to logits ``[B, N, classes]`` and offsets ``[B, N, 4]``. Its ``detect`` takes
    one picture, ``input_tensor`` uint8 ``[1, H, W, 3]`` RGB, and returns, all float32:

    * ``raw_detection_boxes`` ``[1, N, 4]``: ``y1 x1 y2 x2`` in shares of the canvas, one box per anchor;
    * ``raw_detection_scores`` ``[1, N, classes]``, 0..1, without a background;
    * ``detection_boxes`` ``[1, 100, 4]``: ``y1 x1 y2 x2`` in shares of the picture, 0..1, best first, zeros
      behind the last; ``detection_scores`` and ``detection_classes`` (from 1) ``[1, 100]``;
    * ``detection_anchor_indices`` ``[1, 100]``: each box's row among the raw ones;
      ``detection_multiclass_scores`` ``[1, 100, classes]``: that row's scores;
    * ``num_detections`` ``[1]``.

    Raises ValueError for an unknown variant, and a size or number of classes that cannot be.
    """
    chosen, side = _check(variant, size, classes)
    network = make_network(chosen, side, classes)
    _draw(network, np.random.default_rng(seed))
    shown = itertools.islice(sample_pictures(side, side), SETTLING_PICTURES)
    _settle(network, tf.stack([_canvas(picture, side)[0] for _, picture in shown]))
    places = anchors(side)

    def detect(input_tensor: Any) -> dict[str, Any]:
        shapes = (tf.TensorSpec([side, side, 3]), tf.TensorSpec([2]))
        canvas, filled = tf.map_fn(
            lambda picture: _canvas(picture, side), input_tensor, fn_output_signature=shapes
        )
        logits, offsets = network(canvas, training=False)
        scores, boxes = tf.sigmoid(logits), _decode(offsets, places)
        raw = {"raw_detection_boxes": tf.identity(boxes), "raw_detection_scores": tf.identity(scores)}
        return {**raw, **_suppress(boxes[0], scores[0], filled[0])}

    module = tf.Module()
    module.network = network
    picture = tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")
    module.detect = tf.function(detect, input_signature=[picture], autograph=False)
    return module


def export(variant: str, folder: Path, size: int | None = None, classes: int = 1, seed: int = 0) -> Path:
    """Save what ``build`` gives as a SavedModel in ``folder``, which must not exist; return the folder.

    Its signature ``serving_default`` is ``detect``. Raises ValueError as ``build`` does, FileExistsError.
    """
    _check(variant, size, classes)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; name a new folder, or remove it")
    module = build(variant, size, classes, seed)
    # Of the Keras model only what a restored function needs: all of it takes three times as long to save.
    kept = tf.Module()
    kept.detect, kept.weights = module.detect, [weight.value for weight in module.network.weights]
    tf.saved_model.save(kept, str(folder), signatures=kept.detect)
    return folder


def _check(variant: str, size: int | None, classes: int) -> tuple[Variant, int]:
    chosen = VARIANTS.get(variant)
    if chosen is None:
        raise ValueError(f"unknown variant {variant!r}: one of {', '.join(VARIANTS)}")
    side, step = chosen.size if size is None else size, 2 ** LEVELS[-1]
    if side < step or side % step:
        raise ValueError(
            f"size {side}: a multiple of {step} pixels, so that each level is half the one below"
        )
    if classes < 1:
        raise ValueError(f"classes {classes}: at least 1")
    return chosen, side
