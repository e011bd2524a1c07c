"""What is gained where the camera hangs still: ``python -m benchmarks fixed-camera``.

The appliance looks only where something has changed (edge/detection/gate.py). On each clip it runs once with
its defaults and once with ``privacy.sweep_seconds = 0``, which looks at all of every frame, each in a process
of its own (benchmarks/pipeline/_runner.py). They take turns, so that both meet the same machine; the clock
runs from the first frame to the last image. Clips are those of the test data, enlarged to the camera's size,
and heads that walk before a still background (benchmarks/scenes/walkers.py).

What is left of each face is judged as in ``benchmarks scenes``, on the pixels that were stored. Faces of the
clips are those of the reference of ``leak-rate`` (benchmarks/leak/reference.py), those of the walkers are
labelled.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import clips as footage
from benchmarks import common
from benchmarks.leak import reference
from benchmarks.leak.judged import NO_FACE, Judged
from benchmarks.leak.reference import ClipReference
from benchmarks.leak.run import REFERENCE
from benchmarks.machine import Result, Strict, wait_for_quiet, watched
from benchmarks.pipeline.appliance import run_appliance
from benchmarks.pipeline.result import Run
from benchmarks.scenes import walkers
from benchmarks.scenes.labels import complete
from benchmarks.scenes.result import PROMISED_SIDE, Count
from benchmarks.scenes.run import part_of
from benchmarks.scenes.tools import Settings, Truth, judged, outputs_of, stored_images
from benchmarks.scenes.walkers import FixedScene, quieter
from convert.training.datasets import DataSet, LabelledObject
from edge.boxes import Floats

BAR = 3.0
"""How many times as many frames per second the gate must allow."""
EVERYTHING: Settings = {"privacy": {"sweep_seconds": 0}}


class Way(Strict):
    """One run on one clip, and what it left of the faces that were in the images it stored."""

    run: Run
    faces: list[Count]

    @property
    def left(self) -> tuple[int, int]:
        """Face-frames of ``PROMISED_SIDE`` pixels and more that are left, and all of them."""
        chosen = [count for count in self.faces if count.low >= PROMISED_SIDE]
        return sum(count.left for count in chosen), sum(count.faces for count in chosen)


class Row(Strict):
    """One clip: with the gate, and with all of every frame looked at."""

    name: str
    gate: Way
    everything: Way


class FixedCameraResult(Result):
    """Frames of ``size`` (width, height in pixels); ``bar``: how many times as fast the gate must be."""

    size: tuple[int, int]
    bar: float
    rows: list[Row]


def measure(
    clips: Sequence[Path],
    dataset: DataSet | None,
    *,
    command: str,
    size: tuple[int, int] = (1920, 1080),
    frames: int | None = None,
    scenes: int = walkers.MOST_SCENES,
    scene_frames: int = 40,
    folder: Path = Path("build"),
    wait: bool = False,
) -> FixedCameraResult:
    """Measure on at most the first ``frames`` frames of each clip, and on ``scenes`` scenes of ``dataset``
    with ``scene_frames`` frames each (those of ``benchmarks scenes``), once with all heads and once with few.

    Raises DatasetError, and SystemExit (2) when a run fails, or a clip is not that of the reference.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if wait:
        wait_for_quiet()
    with tempfile.TemporaryDirectory(dir=folder, prefix="fixed-") as name, watched() as watch:
        draft = Path(name)
        works = [*_enlarged(clips, draft, size, frames)]
        if dataset is not None and scenes:
            chosen, _ = complete(part_of(dataset, "eval"))
            made = walkers.fixed_scenes(chosen.pictures, size, scene_frames, scenes)
            works += _walking(made, draft, scene_frames)
        rows = [_row(clip, truth, draft) for clip, truth in works]
    return FixedCameraResult(command=command, machine=watch.machine, size=size, bar=BAR, rows=rows)


def _enlarged(
    clips: Sequence[Path], draft: Path, size: tuple[int, int], frames: int | None
) -> Iterator[tuple[Path, Truth]]:
    """The clips at the camera's size, with the faces of the reference."""
    known = reference.load(REFERENCE)[1] if clips else {}
    for clip in clips:
        found = known.get(clip.stem)
        if found is None or found.sha256 != reference.sha256_of(clip):
            raise common.give_up(f"{clip}: its faces are not in {REFERENCE.name}, which is of another file")
        target = draft / f"{clip.stem}.mp4"
        footage.write_scaled(clip, target, *size, frames)
        yield target, _truth_of(found, size, NO_FACE.get(clip.stem, ()))


def _truth_of(clip: ClipReference, size: tuple[int, int], no_face: Sequence[Judged] = ()) -> Truth:
    """The faces of the reference, without what a person judged to be none."""
    scale = np.array([size[0] / clip.width, size[1] / clip.height] * 2, np.float32)

    def truth(number: int) -> tuple[Floats, list[LabelledObject]]:
        wrong = {track for track, first, last, _ in no_face if first <= number <= last}
        found = [box for track, box, _ in clip.at(number) if track.name not in wrong]
        own = np.array(found, np.float32).reshape(-1, 4)
        boxes = (own * scale).astype(np.float32)
        return boxes, [LabelledObject((x1, y1, x2, y2)) for x1, y1, x2, y2 in boxes.tolist()]

    return truth


def _walking(scenes: Sequence[FixedScene], draft: Path, frames: int) -> Iterator[tuple[Path, Truth]]:
    for number, scene in enumerate(scenes):
        for kind, each in (("walkers", scene), ("few-walkers", quieter(scene))):
            target = draft / f"{kind}-{number}.mp4"
            walkers.write_clip(each, target, frames)
            yield target, each.boxes_in


def _row(clip: Path, truth: Truth, draft: Path) -> Row:
    print(clip.stem, file=sys.stderr, flush=True)
    gate, everything = (_way(clip, truth, draft, settings) for settings in ({}, EVERYTHING))
    return Row(name=clip.stem, gate=gate, everything=everything)


def _way(clip: Path, truth: Truth, draft: Path, settings: Settings) -> Way:
    run, store = run_appliance([clip], draft, settings)
    (stored,) = stored_images(store).values()
    return Way(run=run, faces=judged(outputs_of(clip, truth, stored))[0])


def as_markdown(result: FixedCameraResult) -> str:
    """The table; its last lines are the sums over clips and over walkers."""
    header = ["clip", "images", f"faces left, {PROMISED_SIDE} px and more", "frames per second", "times"]
    header += ["CPU seconds per frame", "times", "views per frame"]
    groups = {
        kind: [row for row in result.rows if kind == _kind(row)]
        for kind in dict.fromkeys(map(_kind, result.rows))
    }
    lines = [_line(row.name, [row]) for row in result.rows]
    lines += [_line(f"**all {kind}**", rows) for kind, rows in groups.items()]
    note = f"With the gate / with all of every frame. Bar: {result.bar:g} times the frames per second."
    return "\n\n".join([common.table(header, lines), note, result.machine.line()])


def _kind(row: Row) -> str:
    return next((kind for kind in ("few-walkers", "walkers") if row.name.startswith(kind)), "clips")


def _line(name: str, rows: Sequence[Row]) -> list[str]:
    ways = [[row.gate for row in rows], [row.everything for row in rows]]
    frames = [sum(way.run.frames for way in side) for side in ways]
    images = [sum(way.run.images for way in side) for side in ways]
    left = [[sum(way.left[part] for way in side) for part in (0, 1)] for side in ways]
    rates = [n / sum(way.run.seconds for way in side) for n, side in zip(frames, ways, strict=True)]
    cpu = [sum(way.run.cpu_seconds for way in side) / n for n, side in zip(frames, ways, strict=True)]
    views = [sum(way.run.views for way in side) / n for n, side in zip(frames, ways, strict=True)]
    return [
        name,
        " / ".join(map(str, images)),
        " / ".join(f"{some} of {all_}" for some, all_ in left),
        " / ".join(f"{rate:.2f}" for rate in rates),
        f"{rates[0] / rates[1]:.2f}",
        " / ".join(f"{seconds:.3f}" for seconds in cpu),
        f"{cpu[1] / cpu[0]:.2f}",
        " / ".join(f"{number:.1f}" for number in views),
    ]
