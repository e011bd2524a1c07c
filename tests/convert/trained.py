"""Networks of ``edge-train`` with random weights that find a few things on any picture, as SavedModels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
import keras

from convert.sample import sample_picture
from convert.training.centre import network as centre
from convert.training.saved_model import write_saved_model
from convert.training.tiny import network as tiny

SHARE = 0.002
"""Of the cells, so many score 0.5 or more on the sample picture."""
STATED = {"score_begin": 0.25, "score_continue": 0.2, "score_last_look": 0.4, "score_reason": "made up"}
STATED_MORE = {**STATED, "nms_iou": 0.4, "smallest_face": 12, "licence": "Apache-2.0"}
_MAKERS = {"centre": centre.make_network, "tiny": tiny.make_network}


def network(name: str) -> Any:
    """A Keras network whose maps have a useful range on the sample picture."""
    keras.utils.set_random_seed(1)
    made = _MAKERS[name]()
    canvas = sample_picture()[None].astype(np.float32)
    for layer in made.layers:  # the variance of values is kept from layer to layer
        if len(layer.weights) == 2:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * np.sqrt(2), bias])
    maps = {key: np.asarray(value) for key, value in made(canvas).items()}
    for key, value in maps.items():
        kind = key.split("_")[0]
        spread, middle = {"heat": (2, 0), "class": (2, 0), "object": (0.1, 5)}.get(kind, (0.3, 1))
        kernel, bias = made.get_layer(key).get_weights()
        factor = spread / value.std()
        top = np.quantile(value * factor, 1 - SHARE) if kind in ("heat", "class") else value.mean() * factor
        made.get_layer(key).set_weights([kernel * factor, bias * factor + middle - top])
    return made


def trained(name: str, folder: Path) -> Path:
    """The SavedModel of ``network(name)`` in ``folder``; it states ``STATED_MORE`` and finds plates."""
    write_saved_model(network(name), folder, "plate", STATED_MORE)
    return folder
