"""The networks ``centre`` and ``tiny`` as SavedModels: bytes in, maps out, any batch, height and width.

Outputs are those by which ``convert.maps`` recognises the family.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from convert.stated import STATED, Stated
from convert.training.tiny.network import STRIDES

LABELS = "label_map.pbtxt"


def write_saved_model(network: Any, folder: Path, label: str, stated: Mapping[str, Any]) -> None:
    """Save a network of ``convert.training.centre`` or ``.tiny`` in ``folder``.

    The signature ``serving_default`` takes ``image``, uint8 ``[B, H, W, 3]`` RGB, with sides that are
    multiples of 32. ``label`` is the name of the class; ``stated`` are the values of
    ``convert.stated.Stated`` that were measured. Raises ConvertError for a value that is off.
    """
    serve = _SERVES[network.name]

    def call(image: Any) -> dict[str, Any]:
        return serve(network(tf.cast(image, tf.float32)))

    module = tf.Module()
    module.network = network
    module.call = tf.function(
        call, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")]
    )
    tf.saved_model.save(module, str(folder), signatures=module.call.get_concrete_function())
    write_facts(folder, label, stated)


def write_facts(folder: Path, label: str, stated: Mapping[str, Any]) -> None:
    """Write beside a graph what it finds, and what was measured of it. Raises ConvertError."""
    checked = Stated.parse(stated, "the measured values")
    # json.dumps escapes as a text of this form does
    item = f"item {{\n  id: 1\n  name: {json.dumps(label)}\n}}\n"
    (folder / LABELS).write_text(item, encoding="utf-8")
    if stated:
        (folder / STATED).parent.mkdir(exist_ok=True)
        (folder / STATED).write_text(json.dumps(checked.given(), indent=2) + "\n", encoding="utf-8")


def _serve_centre(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {**outputs, "heat": tf.sigmoid(outputs["heat"])}


def _serve_tiny(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The score of a cell is the geometric mean of class and object, as in the published network."""
    served = {}
    for stride in STRIDES:
        product = tf.sigmoid(outputs[f"class_{stride}"]) * tf.sigmoid(outputs[f"object_{stride}"])
        served[f"score_{stride}"] = tf.sqrt(product)
        served[f"box_{stride}"] = outputs[f"box_{stride}"]
    return served


_SERVES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "centre": _serve_centre,
    "tiny": _serve_tiny,
}
