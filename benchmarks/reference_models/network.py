"""The network: backbone, BiFPN and heads, as the Object Detection API exports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

LEVELS = (3, 4, 5, 6, 7)
"""Level ``l`` has one place per ``2 ** l`` pixels of the canvas."""
ANCHOR_SCALE, SCALES, RATIOS = 4.0, tuple(2 ** (step / 3) for step in range(3)), (1.0, 2.0, 0.5)
"""Sides in strides of the level; ratios are width over height."""
PER_PLACE = len(SCALES) * len(RATIOS)
FUSION_EPSILON = 1e-4


@dataclass(frozen=True)
class Variant:
    """One row of table 1: ``size`` is the side of the canvas in pixels; ``depth`` counts layers of a head."""

    backbone: str
    size: int
    channels: int
    layers: int
    depth: int = 3


VARIANTS = {
    "D0": Variant("EfficientNetB0", 512, 64, 3),
    "D1": Variant("EfficientNetB1", 640, 88, 4),
    "D2": Variant("EfficientNetB2", 768, 112, 5),
}


# ------------------------------------------------------------------------------------------------- layers


def _swish(x: Any) -> Any:
    """Without the gradient of its own that TensorFlow's has: saving it takes three times as long."""
    return x * tf.sigmoid(x)


class FusedBatchNorm(tf.keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation as one operator at inference.

    Keras 3 writes products and sums instead, which the exporter's graphs do not have and which would make
    the baseline slower than it is. In training mode its statistics become those of the batch.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "momentum": 0.0})

    def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
        if training:
            return super().call(x, training=True)
        statistics = self.gamma, self.beta, self.moving_mean, self.moving_variance
        y, *_ = tf.compat.v1.nn.fused_batch_norm(x, *statistics, epsilon=self.epsilon, is_training=False)
        return y


class Fusion(tf.keras.layers.Layer):  # type: ignore[misc]
    """Fast normalised fusion (EfficientDet, section 3.3): ``sum(w_i x_i) / (sum(w_i) + epsilon)``.

    Takes maps of one shape, float ``[B, H, W, C]``, and returns such a map. The sum is written as a product
    of matrices, as the API writes it.
    """

    def build(self, shapes: Sequence[Any]) -> None:
        self.kernel = self.add_weight(shape=(len(shapes), 1), name="fusion")

    def shares(self) -> Any:
        """The normalised weights, float ``[inputs, 1]``."""
        weights = tf.nn.relu(self.kernel)
        return weights / (tf.reduce_sum(weights) + FUSION_EPSILON)

    def call(self, maps: Sequence[Any]) -> Any:
        return tf.squeeze(tf.linalg.matmul(tf.stack(maps, axis=-1), self.shares()), axis=-1)


class Double(tf.keras.layers.Layer):  # type: ignore[misc]
    """Nearest-neighbour upsampling by 2, float ``[B, H, W, C]``, by stacking as the API writes it."""

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        rows = tf.reshape(tf.stack([x, x], axis=3), [-1, height, 1, width * 2, channels])
        return tf.reshape(tf.concat([rows, rows], axis=2), [-1, height * 2, width * 2, channels])


# ------------------------------------------------------------------------------------------------ network


def _backbone(name: str, size: int) -> Any:
    """A Keras model from normalised pictures to the maps of levels 3, 4 and 5."""
    layers = tf.keras.layers
    make = getattr(tf.keras.applications, name)

    def as_exported(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, (layers.ZeroPadding2D, layers.Dropout)):
            return layers.Identity(name=layer.name)
        if isinstance(layer, layers.BatchNormalization):
            return FusedBatchNorm(**config)
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            config["padding"] = "same"  # as much as Keras pads by a layer of its own, without copying the map
        if config.get("activation") == "silu":
            config["activation"] = _swish
        return layer.from_config(config)

    whole = make(include_top=False, weights=None, input_shape=(size, size, 3))
    whole = tf.keras.models.clone_model(whole, clone_function=as_exported)
    # From behind Keras's own normalisation: an export normalises while it scales the picture.
    taps = [
        whole.get_layer(layer).input for layer in ("block4a_expand_conv", "block6a_expand_conv", "top_conv")
    ]
    return tf.keras.Model(whole.get_layer("stem_conv").input, taps, name="backbone")


def _neck(maps: Sequence[Any], channels: int, repeats: int) -> list[Any]:
    """BiFPN: the maps of levels 3, 4 and 5 to five maps of ``channels`` channels."""
    layers = tf.keras.layers

    def narrow(x: Any) -> Any:
        """As the API has it, a map that two nodes of the first layer read is narrowed for each of them."""
        return x if x.shape[-1] == channels else FusedBatchNorm()(layers.Conv2D(channels, 1)(x))

    def halve(x: Any) -> Any:
        return layers.MaxPooling2D(3, 2, "same")(x)

    def node(*inputs: Any) -> Any:
        x = layers.Activation(_swish)(Fusion()(list(inputs)))
        return FusedBatchNorm()(layers.SeparableConv2D(channels, 3, padding="same")(x))

    sixth = halve(narrow(maps[2]))
    levels = [*maps, sixth, halve(sixth)]
    for _ in range(repeats):
        down = levels[4:]
        for x in reversed(levels[:4]):
            down.insert(0, node(narrow(x), Double()(down[0])))
        up = down[:1]
        for x, passing in zip(levels[1:4], down[1:4], strict=True):
            up.append(node(narrow(x), passing, halve(up[-1])))
        levels = [*up, node(levels[4], halve(up[-1]))]
    return levels


def _head(levels: Sequence[Any], channels: int, depth: int, columns: int, name: str) -> Any:
    """One row of ``columns`` numbers per anchor. Levels share convolutions, not their normalisation."""
    layers = tf.keras.layers
    tower = [layers.SeparableConv2D(channels, 3, padding="same") for _ in range(depth)]
    predict = layers.SeparableConv2D(PER_PLACE * columns, 3, padding="same", name=name)
    rows = []
    for x in levels:
        for convolution in tower:
            x = layers.Activation(_swish)(FusedBatchNorm()(convolution(x)))
        rows.append(layers.Reshape((-1, columns))(predict(x)))
    return layers.Concatenate(axis=1)(rows)


def make_network(variant: Variant, size: int, classes: int) -> Any:
    """A Keras model, its weights as Keras makes them.

    From normalised canvases, float32 ``[B, size, size, 3]`` RGB, to logits ``[B, N, classes]`` and offsets
    ``[B, N, 4]`` (``cy cx h w``), one row per anchor.
    """
    picture = tf.keras.Input((size, size, 3))
    levels = _neck(_backbone(variant.backbone, size)(picture), variant.channels, variant.layers)
    heads = [
        _head(levels, variant.channels, variant.depth, columns, name)
        for columns, name in ((classes, "classes"), (4, "boxes"))
    ]
    return tf.keras.Model(picture, heads)
