"""YuNet's depth-wise network with its class, object and box heads at strides 8, 16 and 32."""

from __future__ import annotations

from typing import Any

import keras

from convert.training.layers import convolve, depthwise, relu

STRIDES = (8, 16, 32)
HEADS = (("class", 1), ("box", 4), ("object", 1))


def make_network() -> Any:
    """A Keras model from float32 ``[B, H, W, 3]`` (RGB, 0..255, sides multiples of 32) to a dict of maps.

    For each stride ``S`` of ``STRIDES``, ``[B, H/S, W/S, ..]``: ``class_S`` and ``object_S`` of one channel,
    logits; ``box_S`` of four, ``dx dy log(w) log(h)`` in cells, so that the middle of the box is
    ``(column + dx, row + dy) * S`` pixels.
    """
    picture = keras.Input((None, None, 3))
    halve = keras.layers.MaxPooling2D
    x = relu(convolve(picture, 16, 3, 2))
    x = halve()(_unit(x, 16))
    x = _unit(_unit(x, 16), 32)
    x = halve()(_unit(_unit(x, 32), 64))
    maps = [_unit(_unit(x, 64), 64)]
    for _ in STRIDES[1:]:
        maps.append(_unit(_unit(halve()(maps[-1]), 64), 64))
    top = _unit(maps[2], 64)
    joined = [top]
    for x in maps[1::-1]:
        joined.insert(0, _unit(keras.layers.Add()([keras.layers.UpSampling2D()(joined[0]), x]), 64))
    heads = {}
    for name, channels in HEADS:
        for stride, x in zip(STRIDES, joined, strict=True):
            heads[f"{name}_{stride}"] = depthwise(convolve(x, channels), name=f"{name}_{stride}")
    return keras.Model(picture, heads, name="tiny")


def _unit(x: Any, channels: int) -> Any:
    return relu(depthwise(convolve(x, channels)))
