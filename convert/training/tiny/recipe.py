"""``tiny`` as the loop of training sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.graphs import Array
from convert.training import published
from convert.training.recipe import Recipe
from convert.training.saved_model import write_saved_model
from convert.training.tiny.loss import loss, targets
from convert.training.tiny.network import HEADS, STRIDES, make_network

PUBLISHED = {"class": ("258", "260", "262"), "box": ("264", "266", "268"), "object": ("270", "272", "274")}
"""The maps in ``face_detection_yunet_2023mar.onnx``, whose tensors have no other names, by stride."""


def start(network: Any, file: Path) -> float:
    """Weights of the published YuNet, which takes blue first; see ``published.load``."""
    names = {
        f"{head}_{stride}": tensor
        for head, _ in HEADS
        for stride, tensor in zip(STRIDES, PUBLISHED[head], strict=True)
    }
    return published.load(network, file, names, bgr=True)


def decode(maps: Mapping[str, Array]) -> tuple[Array, Array]:
    """See ``Recipe.decode``."""
    read_maps = dict(maps)
    for stride in STRIDES:
        both = [1 / (1 + np.exp(-np.clip(maps[f"{head}_{stride}"], -40, 40))) for head in ("class", "object")]
        read_maps[f"score_{stride}"] = np.sqrt(both[0] * both[1])
    return read(read_maps)


def read(maps: Mapping[str, Array]) -> tuple[Array, Array]:
    """The boxes and scores of all places of maps ``score_S``, 0..1, and ``box_S``, for each stride ``S``."""
    boxes, scores = [], []
    for stride in STRIDES:
        box = maps[f"box_{stride}"]
        batch, rows, columns = box.shape[:3]
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
        middle = (grid + box[..., :2]) * stride
        half = np.exp(np.minimum(box[..., 2:], 12)) * stride / 2
        boxes.append(np.concatenate([middle - half, middle + half], axis=-1).reshape(batch, -1, 4))
        scores.append(maps[f"score_{stride}"].reshape(batch, -1))
    return np.concatenate(boxes, 1).astype(np.float32), np.concatenate(scores, 1).astype(np.float32)


RECIPE = Recipe(
    name="tiny",
    side=320,
    batch=16,
    epochs=300,
    rate=1e-3,
    make_network=make_network,
    targets=targets,
    loss=loss,
    decode=decode,
    export=write_saved_model,
    start=start,
    has_teacher=True,
    completes=True,
)
