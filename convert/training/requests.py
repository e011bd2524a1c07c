"""What ``edge-train`` asks of its child process, and what it gets back: plain values, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str], None]
MODELS = ("centre", "tiny", "efficientdet-d0", "efficientdet-d1", "efficientdet-d2")


@dataclass(frozen=True)
class FitRequest:
    """Train ``model`` on the set in the folder ``data`` and keep the run in ``out``.

    ``weights`` is ``none``, ``imagenet``, a published file, or the folder of a run. ``epochs`` None: as many
    as the model has by default. ``minutes`` None: no limit. ``rate`` None: the model's own.
    ``threads`` None: all cores.
    """

    data: Path
    model: str
    out: Path
    weights: str
    epochs: int | None = None
    minutes: float | None = None
    rate: float | None = None
    seed: int = 0
    resume: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class FitResult:
    """Figures at the end of a run, as ``result.json`` has them, and how long it took."""

    folder: Path
    figures: dict[str, float]
    seconds: float
    steps: int
