"""Random weights for the network, and the SavedModel."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from convert.graphs import Array
from convert.sample import sample_pictures
from convert.training.efficientdet.anchors import PER_PLACE
from convert.training.efficientdet.network import FusedBatchNorm, check, make_network
from convert.training.efficientdet.signature import make_canvas, save, signed

PRIOR, HIGH_SCORE, HIGH_ANCHORS = 0.01, 0.3, 40
"""The score of a middling anchor; and a score that on average this many anchors of a picture exceed, as those
around one or two faces do in a trained model: the time of suppression depends on it."""
SETTLING_PICTURES = 4
"""Keras keeps every layer's maps of all of them in memory: gigabytes in D2."""


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
        elif weight.name == "bias":  # of the heads, which _settle sets
            weight.assign(np.zeros(shape))
        elif weight.name == "fusion":
            weight.assign(rng.uniform(0.5, 1.5, shape))
        elif len(shape) == 4:
            line = np.hanning(shape[0] + 2)[1:-1]
            window = np.outer(line, line)[:, :, None, None]
            fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
            weight.assign(rng.normal(0, fan_in**-0.5, shape) * window)


def _settle(network: Any, canvases: Any) -> None:
    """Give every layer the range that it has after training, by what it makes of these canvases."""
    for layer in network._flatten_layers():
        if isinstance(layer, FusedBatchNorm):
            layer.momentum = 0.0
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


def build(variant: str, size: int | None = None, classes: int = 1, seed: int = 0) -> tf.Module:
    """An EfficientDet with random weights; ``variant`` is ``D0``, ``D1`` or ``D2``.

    ``size`` is the side of its canvas in pixels, a multiple of 128 (None: the paper's). The same seed gives
    the same weights. The module is that of ``signature.signed``. Raises ValueError for an unknown variant,
    and a size or number of classes that cannot be.
    """
    chosen, side = check(variant, size, classes)
    network = make_network(chosen, side, classes)
    _draw(network, np.random.default_rng(seed))
    shown = itertools.islice(sample_pictures(side, side), SETTLING_PICTURES)
    _settle(network, tf.stack([make_canvas(picture, side, chosen)[0] for _, picture in shown]))
    return signed(network, chosen, side)


def export(variant: str, folder: Path, size: int | None = None, classes: int = 1, seed: int = 0) -> Path:
    """Save what ``build`` gives as a SavedModel in ``folder``, which must not exist; return the folder.

    Raises ValueError as ``build`` does, FileExistsError.
    """
    check(variant, size, classes)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; name a new folder, or remove it")
    save(build(variant, size, classes, seed), folder)
    return folder
