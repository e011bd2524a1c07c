"""MobileNetV2 with the heat-map, size and offset heads of CenterFace at stride 4.

* Backbone: MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381, table 2), with ReLU in place of ReLU6.
* Neck: maps of strides 32, 16, 8 and 4 are narrowed to 24 channels and joined from the top down.
"""

from __future__ import annotations

from typing import Any

import keras

from convert.training.layers import Double, convolve, depthwise, relu

STRIDE = 4
CHANNELS = 24
BLOCKS = ((6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and first stride of each stage after the first."""


def make_network() -> Any:
    """A Keras model from float32 ``[B, H, W, 3]`` (RGB, 0..255, sides multiples of 32) to a dict of maps.

    ``heat`` is ``[B, H/4, W/4, 1]``, logits; ``size`` ``[.., 2]``, the logarithm of height and width in
    cells; ``offset`` ``[.., 2]``, row and column of the middle in the cell, so that the middle is
    ``(cell + offset + 0.5) * 4`` pixels.
    """
    picture = keras.Input((None, None, 3))
    maps = _backbone(picture)
    x = relu(convolve(maps[-1], CHANNELS))
    for stage in (3, 1, 0):
        x = relu(Double(CHANNELS)(x))
        x = keras.layers.Add()([x, relu(convolve(maps[stage], CHANNELS))])
    x = relu(convolve(x, CHANNELS, 3))
    heads = {name: convolve(x, n, name=name) for name, n in (("heat", 1), ("size", 2), ("offset", 2))}
    return keras.Model(picture, heads, name="centre")


def _backbone(picture: Any) -> list[Any]:
    """The last map of each stage of ``BLOCKS``."""
    x = relu(convolve(picture, 32, 3, 2))
    x = convolve(relu(depthwise(x)), 16)
    maps = []
    for expansion, channels, blocks, stride in BLOCKS:
        for number in range(blocks):
            y = relu(convolve(x, expansion * x.shape[-1]))
            y = convolve(relu(depthwise(y, 1 if number else stride)), channels)
            x = keras.layers.Add()([x, y]) if number else y
        maps.append(x)
    return maps
