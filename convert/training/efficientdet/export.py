"""A trained network as a SavedModel with the Object Detection API's signature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.training.efficientdet.network import Variant, core, make_network
from convert.training.efficientdet.signature import save, signed
from convert.training.saved_model import write_facts


def write_saved_model(
    model: Any,
    folder: Path,
    label: str,
    stated: Mapping[str, Any],
    *,
    variant: Variant,
    scale: float,
    side: int | None = None,
) -> None:
    """Save ``model``, which ``make_trainable`` gave, in ``folder``, with its label map.

    ``side`` is that of the canvas, a multiple of 128 pixels (None: the variant's), ``scale`` that of the
    anchors. The signature is the Object Detection API's (``signature.signed``). Raises ConvertError for a
    value of ``stated`` that is off.
    """
    size = variant.size if side is None else side
    network = make_network(variant, size, 1)
    network.set_weights(core(model).get_weights())
    save(signed(network, variant, size, scale), folder)
    write_facts(folder, label, stated)
