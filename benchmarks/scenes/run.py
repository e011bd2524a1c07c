"""The yardstick: faces at camera resolution, ``python -m benchmarks scenes --data NAME``.

Labelled pictures are packed at their own scale into frames of a camera's size (benchmarks/scenes/packing.py),
after faces that the set does not label were added (benchmarks/scenes/labels.py).

Detectors look at each still once (benchmarks/scenes/one_look.py). Then stills go through ``edge blur`` and
deface, clips through ``edge run`` and deface, each by its own command with its defaults
(benchmarks/scenes/tools.py). There are clips of a camera that drifts, so that all of every frame changes, and
of one that hangs still (benchmarks/scenes/walkers.py), with people and without (*parked*). What is left of
each labelled face is judged on the pixels that they wrote (benchmarks/scenes/judge.py). A frame that was not
stored leaves nothing, and its faces do not count.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import common
from benchmarks.machine import wait_for_quiet, watched
from benchmarks.published_centerface import published_centerface
from benchmarks.scenes import false_boxes
from benchmarks.scenes.detectors import Wanted, open_finders
from benchmarks.scenes.labels import complete
from benchmarks.scenes.one_look import compare, look
from benchmarks.scenes.packing import Scene, pack
from benchmarks.scenes.result import Row, ScenesResult
from benchmarks.scenes.tools import (
    SMALL_CANVAS,
    Settings,
    Work,
    edge_blur,
    edge_run,
    run_deface,
    write_work,
)
from benchmarks.scenes.walkers import MOST_SCENES, FixedScene, fixed_scenes
from convert.training.datasets import DataSet, DatasetError, Split

REFERENCE = (1920, 1088), 0.2
"""Canvas and score of CenterFace as published; the others are compared at the number of false boxes that it
makes."""
DEFAULT_LOOKS = (Wanted(None, (640, 384)), Wanted(None, (1280, 736)), Wanted(None, (1920, 1088)))


def measure(
    dataset: DataSet,
    *,
    command: str,
    split: Split | None = None,
    size: tuple[int, int] = (1920, 1080),
    frames: int = 10,
    fixed_frames: int = 60,
    limit: int | None = None,
    reference: Wanted | None = None,
    detectors: Sequence[Wanted] = DEFAULT_LOOKS,
    tools: bool = True,
    scores: Sequence[tuple[float, float]] = (),
    deface: Path | None = Path("build/deface-venv"),
    sheet: Path | None = None,
    folder: Path = Path("build"),
    wait: bool = False,
) -> ScenesResult:
    """Measure every row; ``split`` None takes ``eval``, or all pictures of a set without splits.

    ``frames`` is the length of each clip, ``fixed_frames`` that of those of a fixed camera (0: there are
    none), ``limit`` the number of scenes at most. ``detectors`` look once, after ``reference`` (None:
    CenterFace as published). Without ``tools`` that is all; ``scores`` are pairs of ``score_begin`` and
    ``score_continue`` to compare with the detector's own. ``sheet`` is where crops of false boxes go.
    Raises DatasetError when the set has no such split or no picture fits, DetectorError for a detector that
    cannot be opened, SystemExit (2) when a tool fails.
    """
    if split is None and "eval" in dataset.splits:
        split = "eval"
    python = common.environment(deface, common.DEFACE) if tools and deface is not None else None
    chosen, completed = complete(part_of(dataset, split))
    stills = scenes_of(chosen, size, 0, limit)
    clips = scenes_of(chosen, size, frames, limit) if tools and frames else []
    fixed: list[FixedScene] = []
    if tools and fixed_frames:
        fixed = fixed_scenes(chosen.pictures, size, fixed_frames, limit or MOST_SCENES)
        if not fixed:
            print("no scene of a fixed camera: no face of the set can walk", file=sys.stderr)
    reference = reference or Wanted(published_centerface(python=python), *REFERENCE)
    finders = open_finders([reference, *detectors])
    folder.mkdir(parents=True, exist_ok=True)
    if wait:
        wait_for_quiet()
    with tempfile.TemporaryDirectory(dir=folder, prefix="scenes-") as name, watched() as watch:
        seen = look(stills, finders)
        looks = compare(stills, seen)
        work = write_work(stills, clips, frames, fixed, fixed_frames, Path(name)) if tools else None
        rows = _rows(work, scores, python) if work is not None else []
    if sheet is not None:
        pages, crops = false_boxes.write(sheet, stills, seen)
        print(f"{crops} false boxes:", ", ".join(map(str, pages)) or "none", file=sys.stderr)
    return ScenesResult(
        command=command,
        machine=watch.machine,
        dataset=dataset.name,
        split=split or "all",
        size=size,
        stills=len(stills),
        clips=len(clips),
        frames=frames,
        fixed=len(fixed),
        fixed_frames=fixed_frames,
        completed=completed,
        looks=tuple(looks),
        rows=rows,
    )


def part_of(dataset: DataSet, split: Split | None) -> DataSet:
    """The pictures of a split; all of them with None. Raises DatasetError where there are none."""
    pictures = tuple(picture for picture in dataset.pictures if split in (None, picture.split))
    if not pictures:
        raise DatasetError(
            f"{dataset.name}: no pictures of split {split}; it has {', '.join(dataset.splits)}"
        )
    return replace(dataset, pictures=pictures)


def scenes_of(dataset: DataSet, size: tuple[int, int], margin: int, limit: int | None) -> list[Scene]:
    """Pack the pictures of a set. Scenes are larger than ``size`` by ``margin`` pixels, for the drift of a
    clip of as many frames. Raises DatasetError."""
    width, height = size
    scenes = pack(dataset.pictures, width + margin, height + margin)[0][:limit]
    if not scenes:
        raise DatasetError(
            f"{dataset.name}: every picture is larger than {width}x{height}; give a larger --size"
        )
    return scenes


def _rows(work: Work, scores: Sequence[tuple[float, float]], deface: Path | None) -> list[Row]:
    settings: dict[str, Settings] = {
        "edge run at 640x384, scores 0.35 and 0.2": SMALL_CANVAS,
        "edge run, defaults": {},
    }
    for begin, carry_on in scores:
        detector = {"score_begin": begin, "score_continue": carry_on}
        settings[f"edge run, scores {begin} and {carry_on}"] = {"detector": detector}
    rows = [
        edge_run(name, work.folder, work.clips, each) for name, each in settings.items() if work.clips.files
    ]
    rows.append(edge_blur("edge blur, defaults", work, ()))
    rows += [edge_blur(f"edge blur --score {begin}", work, ("--score", str(begin))) for begin, _ in scores]
    if work.fixed.files:
        rows += _fixed_rows(work)
    kinds = [(work.stills, "stills"), (work.clips, "clips"), (work.fixed, "fixed camera")]
    if deface is not None:
        rows += [
            run_deface(f"deface, {kind}", deface, work.folder, footage, replace)
            for footage, what in kinds
            if footage.files
            for kind, replace in ((f"defaults, {what}", "blur"), (f"solid fill, {what}", "solid"))
        ]
    return rows


def _fixed_rows(work: Work) -> list[Row]:
    everything = {"privacy": {"sweep_seconds": 0}}
    return [
        edge_run("edge run, fixed camera", work.folder, work.fixed, {}),
        edge_run("edge run, fixed camera, all of every frame", work.folder, work.fixed, everything),
        edge_run("edge run, fixed camera, few heads", work.folder, work.quieter, {}),
        edge_run(
            "edge run, fixed camera, few heads, all of every frame", work.folder, work.quieter, everything
        ),
        edge_run("edge run, fixed camera, parked", work.folder, work.parked, {}),
    ]
