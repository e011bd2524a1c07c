"""The weights that a run begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.training import checkpoint
from convert.training.recipe import Recipe
from convert.training.run_folder import RunFolder, hash_of

NONE, IMAGENET = "none", "imagenet"


def named(weights: str) -> str:
    """What ``run.json`` keeps of ``--weights``: the word, or the sha256 of the file. Raises ConvertError."""
    if weights in (NONE, IMAGENET):
        return weights
    try:
        return hash_of(_file(weights))
    except OSError as error:
        raise ConvertError(f"--weights {weights}: {error.strerror or error}; name a file or a run") from error


def begin(recipe: Recipe, network: Any, weights: str) -> None:
    """Put weights into a new network: see ``--weights``. Raises ConvertError."""
    if weights == NONE:
        return
    if weights == IMAGENET:
        if recipe.imagenet is None:
            raise ConvertError(
                f"--weights imagenet: {recipe.name} has no backbone of that kind; see docs/train.md"
            )
        recipe.imagenet(network)
    elif Path(weights).is_dir():
        folder = RunFolder(Path(weights))
        model = folder.read_asked().model
        if model != recipe.name:
            raise ConvertError(f"--weights {weights}: a run of {model}, which does not fit {recipe.name}")
        network.set_weights(checkpoint.in_order("mean", checkpoint.load(folder.weights)))
    elif recipe.start is None:
        raise ConvertError(
            f"--weights {weights}: {recipe.name} begins with none, imagenet or the folder of a run"
        )
    else:
        recipe.start(network, Path(weights))


def _file(weights: str) -> Path:
    path = Path(weights)
    return RunFolder(path).weights if path.is_dir() else path
