"""The network: backbone, BiFPN and heads, as the Object Detection API exports them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from convert.training.efficientdet import lite
from convert.training.efficientdet.anchors import PER_PLACE, STEP

FUSION_EPSILON = 1e-4
LITE0 = "EfficientNetLite0"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, RGB in 0..1."""
LITE0_NORMALISATION = (127 / 255,) * 3, (128 / 255,) * 3
"""Mean and deviation that EfficientNet-Lite was trained with, RGB in 0..1."""
MOMENTUM = 0.95
"""Of the statistics of a normalisation: what a step leaves of the old ones. The paper has 0.99, for batches
of 128 and hundreds of thousands of steps; a short one would end before they fit the weights."""
PRIOR = 0.01
"""Score of an untrained network (Lin et al. 2017, section 4.1)."""
FROZEN = ("stem", "block1", "block2", "conv_stem", "bn0", "blocks.0.", "blocks.1.", "blocks.2.")
"""How the layers before level 3 begin: edges and textures, which a backbone with weights has learnt."""


@dataclass(frozen=True)
class Variant:
    """One row of table 1: ``size`` is the side of the canvas in pixels; ``depth`` counts layers of a head.

    ``backbone`` is a name of ``keras.applications``, or ``LITE0``.
    """

    backbone: str
    size: int
    channels: int
    layers: int
    depth: int = 3

    @property
    def normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation that the backbone expects, RGB in 0..1."""
        return LITE0_NORMALISATION if self.backbone == LITE0 else (MEAN, STD)


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
    """Batch normalisation as one operator.

    Keras 3 writes products and sums instead, which the exporter's graphs do not have, and which are slower.
    When it is frozen (``trainable`` is False), it keeps its statistics in training too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "momentum": MOMENTUM})

    def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
        gamma, beta, mean, variance = (
            tf.cast(weight, tf.float32)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if not training or not self.trainable:
            y, *_ = tf.compat.v1.nn.fused_batch_norm(
                x, gamma, beta, mean, variance, epsilon=self.epsilon, is_training=False
            )
            return y
        y, new_mean, new_variance = tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        for weight, old, new in (
            (self.moving_mean, mean, new_mean),
            (self.moving_variance, variance, new_variance),
        ):
            weight.assign(old * self.momentum + new * (1 - self.momentum))
        return y


class Fusion(tf.keras.layers.Layer):  # type: ignore[misc]
    """Fast normalised fusion (EfficientDet, section 3.3): ``sum(w_i x_i) / (sum(w_i) + epsilon)``.

    Takes maps of one shape, float ``[B, H, W, C]``, and returns such a map. The sum is written as a product
    of matrices, as the API writes it.
    """

    def build(self, shapes: Sequence[Any]) -> None:
        self.kernel = self.add_weight(shape=(len(shapes), 1), initializer="ones", name="fusion")

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
        if height is None or width is None:
            height, width = tf.unstack(tf.shape(x)[1:3])
        rows = tf.reshape(tf.stack([x, x], axis=3), [-1, height, 1, width * 2, channels])
        return tf.reshape(tf.concat([rows, rows], axis=2), [-1, height * 2, width * 2, channels])

    def compute_output_spec(self, x: Any) -> Any:
        sides = [None if side is None else 2 * side for side in x.shape[1:3]]
        return tf.keras.KerasTensor((x.shape[0], *sides, x.shape[3]), x.dtype)


class Normalise(tf.keras.layers.Layer):  # type: ignore[misc]
    """From 0..255 to what the backbone was trained on, float ``[B, H, W, 3]`` RGB."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.mean, self.deviation = mean, deviation

    def call(self, x: Any) -> Any:
        mean, deviation = (tf.constant(values, x.dtype) for values in (self.mean, self.deviation))
        return (x / 255.0 - mean) / deviation


# ------------------------------------------------------------------------------------------------ network


def _backbone(name: str, size: int | None) -> Any:
    """A Keras model from normalised pictures to the maps of levels 3, 4 and 5."""
    if name == LITE0:
        return lite.make_backbone(size, size, FusedBatchNorm)
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
    bias = float(np.log(PRIOR / (1 - PRIOR))) if name == "classes" else 0.0
    predict = layers.SeparableConv2D(
        PER_PLACE * columns,
        3,
        padding="same",
        pointwise_initializer=tf.keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=tf.keras.initializers.Constant(bias),
        name=name,
    )
    rows = []
    for x in levels:
        for convolution in tower:
            x = layers.Activation(_swish)(FusedBatchNorm()(convolution(x)))
        rows.append(layers.Reshape((-1, columns))(predict(x)))
    return layers.Concatenate(axis=1)(rows)


def make_network(variant: Variant, size: int | None, classes: int) -> Any:
    """A Keras model, its weights as Keras makes them.

    From normalised canvases, float32 ``[B, size, size, 3]`` RGB, to logits ``[B, N, classes]`` and offsets
    ``[B, N, 4]`` (``cy cx h w``), one row per anchor. Where ``size`` is None, a canvas may have any sides
    that are multiples of 128 pixels.
    """
    picture = tf.keras.Input((size, size, 3))
    levels = _neck(_backbone(variant.backbone, size)(picture), variant.channels, variant.layers)
    heads = [
        _head(levels, variant.channels, variant.depth, columns, name)
        for columns, name in ((classes, "classes"), (4, "boxes"))
    ]
    return tf.keras.Model(picture, heads, name="network")


def make_trainable(variant: Variant, *, pretrained: bool) -> Any:
    """The network for training: from float32 ``[B, H, W, 3]`` (RGB, 0..255) to ``classes`` and ``boxes``.

    Sides are multiples of 128 pixels. When the backbone comes with weights (``pretrained``), its
    normalisation keeps its statistics, which those of a few canvases are worse than, and what lies before
    level 3 its weights, which also saves time. Drop-connect is left out: it is for hundreds of epochs.
    """
    network = make_network(variant, None, 1)
    if pretrained:
        for layer in network.get_layer("backbone").layers:
            if layer.name.startswith(FROZEN) or isinstance(layer, FusedBatchNorm):
                layer.trainable = False
    picture = tf.keras.Input((None, None, 3))
    classes, boxes = network(Normalise(*variant.normalisation)(picture))
    return tf.keras.Model(picture, {"classes": classes, "boxes": boxes})


def core(model: Any) -> Any:
    """The network inside what ``make_trainable`` gave: what ``make_network`` makes, without sides."""
    return model.get_layer("network")


def check(variant: str, size: int | None, classes: int) -> tuple[Variant, int]:
    """The variant of that name, and the side of its canvas in pixels (``size``, or the paper's for None).

    Raises ValueError for an unknown variant, and a size or number of classes that cannot be.
    """
    chosen = VARIANTS.get(variant)
    if chosen is None:
        raise ValueError(f"unknown variant {variant!r}: one of {', '.join(VARIANTS)}")
    side = chosen.size if size is None else size
    if side < STEP or side % STEP:
        raise ValueError(
            f"size {side}: a multiple of {STEP} pixels, so that each level is half the one below"
        )
    if classes < 1:
        raise ValueError(f"classes {classes}: at least 1")
    return chosen, side
