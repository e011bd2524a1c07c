"""Layers that the networks share.

The networks have no normalisation: in the published files it is folded into the convolutions, and training
goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf


def convolve(x: Any, filters: int, kernel: int = 1, stride: int = 1, name: str | None = None) -> Any:
    """A convolution, padded by half of its kernel on every side.

    Keras's own padding "same" puts nothing at the left and the top where ``stride`` is 2, and the published
    networks do.
    """
    return keras.layers.Conv2D(filters, kernel, stride, name=name)(_padded(x, kernel))


def depthwise(x: Any, stride: int = 1, name: str | None = None) -> Any:
    """A convolution of 3x3 pixels for each channel by itself, padded on every side."""
    return keras.layers.DepthwiseConv2D(3, stride, name=name)(_padded(x, 3))


def relu(x: Any) -> Any:
    return keras.layers.ReLU()(x)


class Double(keras.layers.Layer):  # type: ignore[misc]
    """A transposed convolution of 2x2 pixels and stride 2: ``[B, H, W, C]`` to ``[B, 2H, 2W, filters]``.

    Written as a convolution of one pixel, whose channels are laid out side by side: the same function, which
    leaves height and width free in ONNX. ``kernel`` is ``[C, 2, 2, filters]``, ``bias`` ``[filters]``.
    """

    def __init__(self, filters: int, **options: Any) -> None:
        super().__init__(**options)
        self.filters = filters

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 2, 2, self.filters), name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        flat = tf.reshape(self.kernel, [1, 1, self.kernel.shape[0], 4 * self.filters])
        return tf.nn.depth_to_space(tf.nn.conv2d(x, flat, 1, "VALID"), 2) + self.bias


def floats(maps: Mapping[str, Any]) -> dict[str, Any]:
    """Maps that a network computed in half precision, as float32."""
    return {name: tf.cast(value, tf.float32) for name, value in maps.items()}


def _padded(x: Any, kernel: int) -> Any:
    return keras.layers.ZeroPadding2D(kernel // 2)(x) if kernel > 1 else x
