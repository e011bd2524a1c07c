"""Figures of a detector on labelled pictures, as results and reports keep them."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

FALSE_RATES = (0.1, 0.3, 1.0)
"""False boxes per picture at which recall is stated."""
SIZES = {"12-20": (12, 20), "20-40": (20, 40), "40-80": (40, 80), "80+": (80, np.inf)}
"""Shorter side of a face in pixels, from and below."""


class Strict(BaseModel):
    """A part of a result: keys that it does not know are an error when it is read again."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Found(Strict):
    """Faces found, of how many; ``recall`` is None where there are none."""

    found: int
    faces: int
    recall: float | None


class AtScore(Strict):
    """What boxes of ``score`` and more find. ``precision`` is None where there are none."""

    score: float
    all: Found
    precision: float | None
    false_per_picture: float
    by_size: dict[str, Found]
    masked: Found
    unmasked: Found


class AtRate(Strict):
    """Recall of the boxes above the score ``above``; None: even all boxes make fewer false ones."""

    false_per_picture: float
    recall: float | None
    above: float | None


class Point(Strict):
    """One threshold of the sweep; shares are None where nothing is there to be counted."""

    score: float
    recall: float | None
    precision: float | None
    false_per_picture: float


class Recommended(Strict):
    """``score`` is None where none can be recommended; ``reason`` says so, or how it was chosen."""

    score: float | None
    recall: float | None
    false_per_picture: float | None
    reason: str


class CocoPrecision(Strict):
    """Average precision as COCO defines it, 0..1; None where there is no such face."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
