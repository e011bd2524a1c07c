"""``python -m benchmarks report``: one page of the last results, each with its command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks import common
from benchmarks.accuracy import result as accuracy
from benchmarks.accuracy.result import AccuracyResult
from benchmarks.choices import result as choices
from benchmarks.choices.result import ChoicesResult
from benchmarks.machine import Result
from benchmarks.pipeline import result as pipeline
from benchmarks.pipeline.result import PipelineResult
from benchmarks.scenes import page as scenes
from benchmarks.scenes.result import ScenesResult
from benchmarks.speed import result as speed
from benchmarks.speed.result import SpeedResult

HEAD = """# Benchmarks

This page is the output of `python -m benchmarks report`: the last result of each command, kept as JSON in
[benchmarks/results](../benchmarks/results). Ratios compare rows that took turns in one run; other machines
give other times. A result taken on a busy machine is marked so and does not count.

The shipped detector is `face` since 2026-11-30 13:00 UTC. Results taken before are of the one before it,
CenterFace as published, unless a row names another.

Of the results at 4000x3000, 8000x6000 and 3840x2160 only what is left of faces, memory and the share changed
count: other work ran beside them, of which the last one's machine line knows nothing.

Recall at camera resolution is what the scenes show. *Accuracy* enlarges pictures of about 400 pixels: that
compares detectors, and says nothing about the faces that a camera sees.

Other measurements, each with a command of its own: [measurements.md](measurements.md).
"""
KINDS: tuple[tuple[str, str, type[Result], Callable[[Any], str], Callable[[Any, Path], None]], ...] = (
    (
        "scenes_*.json",
        "Faces left at camera resolution",
        ScenesResult,
        scenes.as_markdown,
        scenes.plot,
    ),
    ("choices_*.json", "Settings on scenes", ChoicesResult, choices.as_markdown, choices.plot),
    ("speed_*.json", "Image in, boxes out", SpeedResult, speed.as_markdown, speed.plot),
    ("accuracy_*.json", "Accuracy", AccuracyResult, accuracy.as_markdown, accuracy.plot),
    (
        "pipeline*.json",
        "The whole appliance",
        PipelineResult,
        pipeline.as_markdown,
        pipeline.plot,
    ),
)
"""File pattern, title, form, tables, plot."""


def write(results: Path, out: Path) -> list[str]:
    """Write the page and the plots beside it; returns the names of the results on it.

    Raises SystemExit (2) when there are none, or one is not of its form.
    """
    found = [
        (file, title, _read(file, form), as_markdown, plot)
        for pattern, title, form, as_markdown, plot in KINDS
        for file in sorted(results.glob(pattern))
    ]
    if not found:
        raise common.give_up(
            f"{results}: no results; run python -m benchmarks scenes, speed, accuracy or pipeline"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for file, title, result, as_markdown, plot in found:
        picture = out.parent / f"{file.stem}.png"
        plot(result, picture)
        head = f"## {title}: {file.stem}\n\n`{result.command}`"
        parts.append(f"{head}\n\n{as_markdown(result)}\n\n![{title}]({picture.name})\n")
    draft = out.with_name(f".{out.name}.draft")
    draft.write_text("\n".join(parts), encoding="utf-8")
    os.replace(draft, out)
    return [file.stem for file, *_ in found]


def _read(file: Path, form: type[Result]) -> Result:
    try:
        return form.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise common.give_up(
            f"{file}: not a result of this version ({error.error_count()} errors)"
        ) from error
