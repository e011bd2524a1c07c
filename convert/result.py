"""What a build answers: plain values that can be pickled, without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convert.parity import Parity


@dataclass(frozen=True)
class PassStep:
    """One pass: the numbers of nodes before and after it, whether it changed anything, and seconds."""

    name: str
    before: int
    after: int
    modified: bool
    seconds: float


@dataclass(frozen=True)
class BuiltDetector:
    """One detector file.

    ``steps`` is what each pass did, ``operators`` counts the nodes of the graph by operator, and ``notes``
    are sentences about what the passes found.
    """

    path: Path
    target: str
    precision: str
    sha256: str
    steps: tuple[PassStep, ...]
    operators: dict[str, int]
    notes: tuple[str, ...]
    parity: Parity


@dataclass(frozen=True)
class BuildResult:
    """The detectors of a build, the seconds of each stage, and the number of nodes before the passes."""

    detectors: tuple[BuiltDetector, ...]
    seconds: dict[str, float]
    exported_nodes: int


@dataclass(frozen=True)
class Fact:
    """One line of ``edge-convert inspect``."""

    name: str
    text: str
