"""EfficientNet-Lite0: B0 without squeeze and excitation, and with ReLU6 in place of swish.

Its widths and blocks are those of B0 (Tan and Le 2019, arXiv:1905.11946, table 1).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from convert.errors import ConvertError
from convert.graphs import Array
from convert.training.efficientdet.torch_file import read_arrays

STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
          (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip
"""Expansion, channels, blocks, first stride and kernel of each."""
TAPS = (2, 4, 6)
"""Stages whose maps are those of levels 3, 4 and 5."""
STEM = 32


def make_backbone(height: int | None, width: int | None, norm: Callable[..., Any]) -> Any:
    """A Keras model from normalised pictures to the maps of levels 3, 4 and 5.

    ``norm`` makes a batch normalisation. Layers are named as the arrays of the published file
    are, without the underscore in front.
    """
    layers = keras.layers

    def relu6(x: Any) -> Any:
        return layers.ReLU(6.0)(x)

    picture = keras.Input((height, width, 3))
    x = layers.Conv2D(STEM, 3, 2, "same", use_bias=False, name="conv_stem")(picture)
    x = relu6(norm(name="bn0")(x))
    maps, number = [], 0
    for expansion, channels, blocks, first, kernel in STAGES:
        for place in range(blocks):
            name, y = f"blocks.{number}.", x
            if expansion > 1:
                y = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")(y)
                y = relu6(norm(name=f"{name}_bn0")(y))
            stride = 1 if place else first
            y = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv")(
                y
            )
            y = relu6(norm(name=f"{name}_bn1")(y))
            y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(y)
            y = norm(name=f"{name}_bn2")(y)
            x = layers.Add()([x, y]) if place else y
            number += 1
        maps.append(x)
    return keras.Model(picture, [maps[stage] for stage in TAPS], name="backbone")


def load(backbone: Any, file: Path) -> dict[str, Array]:
    """Put the weights of the published ``file`` into ``backbone``; return its arrays by name.

    Raises ConvertError for a file of another network.
    """
    arrays = read_arrays(file)
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(_weights(layer, arrays, file))
    return arrays


def _weights(layer: Any, arrays: dict[str, Array], file: Path) -> list[Array]:
    convolution = "conv" in layer.name
    parts = ("weight",) if convolution else ("weight", "bias", "running_mean", "running_var")
    names = [f"_{layer.name}.{part}" for part in parts]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ConvertError(f"--weights {file}: there is no {missing[0]} in it; expected EfficientNet-Lite0")
    found = [arrays[name] for name in names]
    if convolution and found[0].ndim == 4:
        # [out, in, kh, kw] to [kh, kw, in, out]; depth-wise ones have one channel in
        found = [found[0].transpose((2, 3, 0, 1) if "depthwise" in layer.name else (2, 3, 1, 0))]
    for name, value, weight in zip(names, found, layer.weights, strict=True):
        if value.shape != tuple(weight.shape):
            raise ConvertError(
                f"--weights {file}: {name} is {list(value.shape)}, expected {list(weight.shape)}: "
                "it is a file of another network"
            )
    return found
