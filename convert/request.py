"""What the command asks of its child process: plain values that can be pickled, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from convert.options import DetectorOptions, ModelOptions

Progress = Callable[[str], None]
"""Is called with the name of each stage as it begins."""


def no_progress(stage: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class BuildRequest:
    """Convert ``saved_model`` (a folder or a zip) and publish in the folder ``out``.

    ``draft`` is an empty folder on the same disk as ``out``, for what is not published yet; without it
    the build makes one.
    """

    saved_model: Path
    out: Path
    model: ModelOptions = field(default_factory=ModelOptions)
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    draft: Path | None = None


@dataclass(frozen=True)
class InspectRequest:
    """Describe ``path``: a SavedModel, its zip, or an ONNX file."""

    path: Path
    model: ModelOptions = field(default_factory=ModelOptions)


@dataclass(frozen=True)
class VerifyRequest:
    """Compare ``detector`` with ``saved_model`` on the pictures of the folder ``images``.

    ``anchors`` is the anchor file of the build, if it had one.
    """

    detector: Path
    saved_model: Path
    images: Path
    anchors: Path | None = None
