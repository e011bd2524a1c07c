"""The weights that a run begins with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.training.recipe import Recipe
from convert.training.run_folder import RunFolder, hash_of

NONE, IMAGENET = "none", "imagenet"


def named(weights: str) -> str:
    """What ``run.json`` keeps of ``--weights``: the word, or a sha256 (``hash_at``). Raises ConvertError."""
    return weights if weights in (NONE, IMAGENET) else hash_at(Path(weights), "--weights")


def hash_at(path: Path, option: str) -> str:
    """sha256 of a file, of the weights of a run, or of all files of another folder.

    Raises ConvertError, which names the option.
    """
    try:
        if not path.is_dir():
            return hash_of(path)
        folder = RunFolder(path)
        if folder.asked.is_file():
            folder.read_weights()
            return hash_of(folder.weights)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return hashlib.sha256("\n".join(map(hash_of, files)).encode()).hexdigest()
    except OSError as error:
        raise ConvertError(f"{option} {path}: {error.strerror or error}; name a file or a run") from error


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
        network.set_weights(folder.read_weights())
    elif recipe.start is None:
        raise ConvertError(
            f"--weights {weights}: {recipe.name} begins with none, imagenet or the folder of a run"
        )
    else:
        recipe.start(network, Path(weights))
