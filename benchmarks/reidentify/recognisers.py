"""The attackers of ``python -m benchmarks reidentify``: a convolutional network, and linear discriminants.

Both are trained on the first pictures that they are given and then say who is on the others.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import common
from edge.boxes import Floats

VIEW = 48
"""Side of what the network sees, in pixels: a square around the face."""
COARSE = CLOSE = 12
"""Sides of what the linear attacker sees: the same square, and the head region alone."""
COARSE_PARTS, OUTLINE_PARTS, CLOSE_PARTS = 30, 6, 60
"""Principal components that it uses of the square, of where the region is in it, and of the head."""
FLOOR = 0.1
"""Standard deviation, in levels, below which a component is rounding noise."""
BATCH = 32
"""Pictures in one step of the network's training."""

Labels = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How large the experiment is. Pictures are per person."""

    people: int
    train: int
    test: int
    epochs: int

    @property
    def known(self) -> int:
        """How many pictures the attackers know beforehand."""
        return self.people * self.train


class Network:
    """One network, which begins again from the same first weights for everything it is trained on."""

    def __init__(self, size: Size, threads: int, seed: int) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        try:
            import tensorflow as tf
        except ImportError:
            raise common.give_up("this needs TensorFlow: pip install 'edge-anonymizer[bench]'") from None
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
        self.keras = tf.keras
        self.size, self.seed = size, seed
        self.keras.utils.set_random_seed(seed)
        self.model = self._build()
        self.model.optimizer.build(self.model.trainable_variables)
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.first = [variable.numpy() for variable in self.variables]

    def _build(self) -> Any:
        layers = self.keras.layers
        blocks: list[Any] = []
        for width in (16, 32, 64):
            blocks.append(layers.Conv2D(width, 3, strides=2, padding="same", activation="relu"))
            blocks.append(layers.BatchNormalization())
        head = [layers.Flatten(), layers.Dropout(0.4), layers.Dense(self.size.people)]
        model = self.keras.Sequential([self.keras.Input((VIEW, VIEW, 4)), *blocks, *head])
        steps = self.size.epochs * math.ceil(self.size.known / BATCH)
        rate = self.keras.optimizers.schedules.CosineDecay(2e-3, steps)
        loss = self.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(self.keras.optimizers.Adam(rate), loss)
        return model

    def guess(self, views: Floats, labels: Labels) -> Labels:
        """Train on the first of ``views``, ``[N, VIEW, VIEW, 4]``, and say who is on the others."""
        for variable, value in zip(self.variables, self.first, strict=True):
            variable.assign(value)
        self.keras.utils.set_random_seed(self.seed)
        known = self.size.known
        # Each position is scaled on its own, so that what varies little counts as much as the rest.
        scaled = (views - views[:known].mean(axis=0)) / (views[:known].std(axis=0) + 2)
        self.model.fit(scaled[:known], labels[:known], batch_size=BATCH, epochs=self.size.epochs, verbose=0)
        return np.asarray(self.model.predict(scaled[known:], verbose=0).argmax(axis=1), np.int64)


def fisher(features: Doubles, labels: Labels, known: int) -> Labels:
    """Linear discriminants, trained on the first ``known`` rows of ``features``, ``[N, F]``; who the others
    are. Every person has a mean, and all share one covariance."""
    some, who = features[:known], labels[:known]
    means = np.stack([some[who == person].mean(axis=0) for person in range(who.max() + 1)])
    within = np.cov((some - means[who]).T) + 1e-3 * np.eye(features.shape[1])
    axes = np.linalg.solve(within, means.T)
    scores = features[known:] @ axes - (means.T * axes).sum(axis=0) / 2
    return np.asarray(scores.argmax(axis=1), np.int64)


def whiten(values: Floats, known: int, parts: int) -> Doubles:
    """The first ``parts`` principal components of the first ``known`` values, ``[N, ...]``, each with a
    standard deviation of about 1; returns ``[N, parts]``."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    flat -= flat[:known].mean(axis=0)
    variance, axes = np.linalg.eigh(flat[:known].T @ flat[:known] / known)
    deviation = np.sqrt(np.maximum(variance[-parts:], 0))
    return np.asarray(flat @ axes[:, -parts:] / (deviation + FLOOR), np.float64)


def linear_guess(squares: Floats, closes: Floats, labels: Labels, known: int) -> Labels:
    """What the linear attacker says of the pictures after the first ``known``."""
    cell = VIEW // COARSE
    coarse = squares.reshape(-1, COARSE, cell, COARSE, cell, 4).mean(axis=(2, 4))
    parts = [
        whiten(coarse[..., :3], known, COARSE_PARTS),
        whiten(coarse[..., 3], known, OUTLINE_PARTS),
        whiten(closes, known, CLOSE_PARTS),
    ]
    return fisher(np.concatenate(parts, axis=1), labels, known)
