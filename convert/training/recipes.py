"""The kinds of network by the name of ``--model``."""

from __future__ import annotations

from convert.training.centre.recipe import RECIPE as CENTRE
from convert.training.recipe import Recipe
from convert.training.tiny.recipe import RECIPE as TINY

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (CENTRE, TINY)}
