"""What ``edge-train`` asks of its child process, and what it gets back: plain values, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from convert.training.figure_forms import Point

Progress = Callable[[str], None]


class Model(str, Enum):
    """The kinds of network."""

    CENTRE = "centre"
    TINY = "tiny"
    D0 = "efficientdet-d0"
    D1 = "efficientdet-d1"
    D2 = "efficientdet-d2"


@dataclass(frozen=True)
class FitRequest:
    """Train ``model`` on the set in the folder ``data`` and keep the run in ``out``.

    ``weights`` is ``none``, ``imagenet``, a published file, or the folder of a run. ``complete``: what finds
    objects that nobody labelled, as ``open_model`` takes it; None: the published file itself. ``epochs``
    None: as many as the model has by default. ``minutes`` None: no limit. ``rate`` None: the model's own.
    ``threads`` None: all cores.
    """

    data: Path
    model: str
    out: Path
    weights: str
    complete: Path | None = None
    epochs: int | None = None
    minutes: float | None = None
    rate: float | None = None
    seed: int = 0
    resume: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class FitResult:
    """Figures at the end of a run, as ``result.json`` has them, and how long it took; ``notes`` say what of
    the set was left out."""

    folder: Path
    figures: dict[str, float]
    seconds: float
    steps: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluateRequest:
    """Judge ``model`` (a run, a SavedModel, its zip, or a detector) on the set in the folder ``data``.

    ``split`` None: ``test`` or ``eval`` where the set has one, otherwise all. ``misses``: a picture to write,
    of what it misses most.
    """

    model: Path
    data: Path
    split: str | None = None
    misses: Path | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """``figures`` by name (average precision, recall at fixed false boxes); ``points`` by threshold."""

    data: str
    split: str
    pictures: int
    objects: int
    figures: dict[str, float]
    points: list[Point]

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "points": [point.model_dump() for point in self.points]}


@dataclass(frozen=True)
class ExportRequest:
    """Write the SavedModel of ``run`` into the new folder ``out``.

    ``blend`` is the share of the weights that the run began with, 0 to below 1: a mean of old and new weights
    keeps more of what the published network found (Wortsman et al. 2022, arXiv:2109.01903). ``stated``: a
    JSON file of thresholds and figures for the detector's metadata.
    """

    run: Path
    out: Path
    blend: float = 0.0
    stated: Path | None = None


@dataclass(frozen=True)
class ExportResult:
    """The SavedModel as a folder and as a zip."""

    folder: Path
    zip: Path
