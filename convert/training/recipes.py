"""The kinds of network by name."""

from __future__ import annotations

from pathlib import Path

from convert.errors import ConvertError
from convert.training.centre.recipe import RECIPE as CENTRE
from convert.training.efficientdet import recipe as efficientdet
from convert.training.recipe import Recipe
from convert.training.run_folder import RunFolder
from convert.training.tiny.recipe import RECIPE as TINY

RECIPES: dict[str, Recipe] = {CENTRE.name: CENTRE, TINY.name: TINY, **efficientdet.RECIPES}


def recipe_of(model: str, weights: str) -> Recipe:
    """The recipe for ``--model`` and ``--weights``: the backbone of an EfficientDet depends on both.

    Raises ConvertError.
    """
    if Path(weights).is_dir():
        name = RunFolder(Path(weights)).read_asked().model
        if name != model and not name.startswith(f"{model}-"):
            raise ConvertError(f"--weights {weights}: a run of {name}, which does not fit --model {model}")
        return RECIPES[name]
    return efficientdet.named(model, weights) if model in efficientdet.MODELS else RECIPES[model]
