"""One network in training: a step, its running mean, and what a checkpoint keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from convert.errors import ConvertError
from convert.graphs import Array
from convert.training import checkpoint
from convert.training.batches import Batch
from convert.training.detect import NetworkDetector
from convert.training.layers import floats
from convert.training.recipe import Recipe

KEPT = 0.998
"""The running mean of the weights keeps this share of itself in each step; less in the first ones, so that
it does not remember the beginning (Polyak and Juditsky 1992)."""
CLIP = 10.0
"""Longest gradient, as one vector of all weights."""


class Trainer:
    """``network`` is trained, ``mean`` is the running mean of it, ``detector`` finds objects with that, and
    ``teacher`` is what the network was before."""

    def __init__(self, recipe: Recipe, network: Any) -> None:
        """``network`` has the weights to begin with, and is left as it is."""
        self.recipe = recipe
        self.network = self._copy(network)
        self.mean = self._copy(network)
        self.detector = NetworkDetector(self.mean, recipe)  # one for all: its graph is traced once a size
        self.teacher = self._copy(network) if recipe.has_teacher else None
        self.optimizer = keras.optimizers.AdamW(recipe.rate, weight_decay=recipe.decay, global_clipnorm=CLIP)
        self.optimizer.build(self.network.trainable_variables)
        self._step = tf.function(self._train, reduce_retracing=True)

    def step(self, batch: Batch, rate: float, number: int) -> dict[str, float]:
        """Take a step at this learning rate; returns the parts of the loss, and their sum as ``loss``.

        Raises ConvertError when the loss is no number any more.
        """
        self.optimizer.learning_rate.assign(rate)
        kept = min(KEPT, (1 + number) / (10 + number))
        targets = {name: tf.constant(value) for name, value in batch.targets.items()}
        parts = self._step(tf.constant(batch.pixels), targets, tf.constant(kept, tf.float32))
        losses = {name: float(value) for name, value in parts.items()}
        losses["loss"] = sum(losses.values())
        if not np.isfinite(losses["loss"]):
            raise ConvertError(
                f"step {number}: the loss is {losses['loss']}; begin a run with a lower --rate"
            )
        return losses

    def _train(self, pixels: Any, targets: Mapping[str, Any], kept: Any) -> dict[str, Any]:
        pictures = tf.cast(pixels, tf.float32)
        before = {} if self.teacher is None else floats(self.teacher(pictures, training=False))
        with tf.GradientTape() as tape:
            maps = floats(self.network(pictures, training=True))
            parts = self.recipe.loss(maps, targets, before)
            total = tf.add_n(list(parts.values()))
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        for mean, weight in zip(self.mean.weights, self.network.weights, strict=True):
            mean.assign(kept * mean + (1 - kept) * weight)
        return parts

    def state(self) -> dict[str, Array]:
        """Everything that ``restore`` needs."""
        return {
            **checkpoint.numbered("weight", self.network.get_weights()),
            **checkpoint.numbered("mean", self.mean.get_weights()),
            **checkpoint.numbered("optimizer", [np.asarray(v) for v in self.optimizer.variables]),
        }

    def restore(self, stored: Mapping[str, Array]) -> None:
        """Go back to a state. Raises ConvertError when it is another network's."""
        try:
            self.network.set_weights(checkpoint.in_order("weight", stored))
            self.mean.set_weights(checkpoint.in_order("mean", stored))
            values = checkpoint.in_order("optimizer", stored)
            for variable, value in zip(self.optimizer.variables, values, strict=True):
                variable.assign(value)
        except ValueError as error:
            raise ConvertError(f"the checkpoint is of another network: {error}") from error

    def _copy(self, network: Any) -> Any:
        copy = self.recipe.make_network()
        copy.set_weights(network.get_weights())
        return copy
