"""What the child process of ``edge-convert`` does: plain values in and out, so that they can be sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert import inspect as inspection
from convert.build import Wanted
from convert.build import build as build_detectors
from convert.build import verify as verify_detector
from convert.options import ModelOptions

Progress = Callable[[str], None]


def build(
    path: Path,
    out: Path,
    options: ModelOptions,
    wanted: tuple[tuple[str, ...], str, int, Path | None],
    draft: Path | None = None,
    *,
    progress: Progress,
) -> list[tuple[str, dict[str, float], str]]:
    """Build; for each detector its path, the seconds per stage, and its parity in one line."""
    seconds, built = build_detectors(path, out, options, Wanted(*wanted), progress, draft)
    return [(str(one.path), seconds, one.parity.text()) for one in built]


def inspect(path: Path, options: ModelOptions, *, progress: Progress) -> inspection.Lines:
    """Facts about a path, as pairs."""
    progress("look at it")
    return inspection.inspect(path, options)


def verify(
    detector: Path, path: Path, images: Path, anchors: Path | None, *, progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """The figures of a comparison, and why it is not within its limits."""
    result = verify_detector(detector, path, images, anchors, progress)
    return result.figures(), result.failures()
