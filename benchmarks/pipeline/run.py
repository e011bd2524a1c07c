"""The whole appliance on a clip, and beside deface: ``python -m benchmarks pipeline [CLIP]``.

``--scenes NAME`` takes scenes of the camera's size in place of a clip (benchmarks/pipeline/shown.py), of a
fixed camera and of one that drifts; a clip is enlarged to it, and so are its faces.

Every run is a process of its own (benchmarks/pipeline/_runner.py): capture, detector, hold, blur, last look,
and the durable store on a real disk, with the defaults of the configuration except for what a row names.
No frame is skipped: the clip is read as fast as the rest can follow. Rows take turns, round by round.

*Outside the detector* is the CPU time of the whole process, minus that of looking at views (scaling to the
canvas, inference), the last look included. Decoding, JPEG and finding out what has changed are in it. It is
measured with one detector thread, because then the time of a look is the calling thread's own.

``edge blur`` takes the same clip as a file and writes a video, as deface does.

deface has an environment of its own. It gets the same clip and carries the same weights: once with its
defaults (detection at the size of the picture) and once with ``--scale``, at 640x360.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import clips as footage
from benchmarks import common
from benchmarks.leak.reference import ClipReference
from benchmarks.machine import wait_for_quiet, watched
from benchmarks.pipeline.appliance import SIZES, run_appliance
from benchmarks.pipeline.compare import Way, compared_of, fps_of, ways_of
from benchmarks.pipeline.result import (
    COMPARED_SIZE,
    SCENES_SIZE,
    Compared,
    PipelineResult,
    Row,
    Run,
    targets,
)
from benchmarks.pipeline.shown import THE_CLIP, Writer, writers_of
from convert.training.datasets import DataSet

CAMERAS = (1, 2, 4, 8)
FACES = (0, 1, 10, 100)


def measure(
    clip: Path | None,
    *,
    command: str,
    dataset: DataSet | None = None,
    rounds: int = 3,
    frames: int = 40,
    compared: int | None = None,
    cameras: Sequence[int] = CAMERAS,
    sizes: Sequence[str] = tuple(SIZES),
    faces: Sequence[int] = FACES,
    deface: Path | None = Path("build/deface-venv"),
    folder: Path = Path("build"),
    wait: bool = False,
) -> PipelineResult:
    """Measure everything; ``frames`` per camera for the rows, ``compared`` of the clip for the comparison
    (None: all).

    ``deface`` is where its environment is or will be made, None to leave it out. Images go to a folder below
    ``folder``, which is removed. ``wait``: first for the load average to fall. ``dataset``: make scenes of it
    and show them in place of the clip. Raises DatasetError for a set of which none can be made, SystemExit
    (2) when the clip is no video, or deface cannot be installed.
    """
    python = None if deface is None else common.environment(deface, common.DEFACE)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="pipeline-") as name:
        draft = Path(name)
        writers = writers_of(clip, dataset)
        rows = _rows(writers, draft, frames, cameras, sizes, faces)
        comparisons = [
            _comparison(number, write, draft, python, compared, SIZES[size_of(writers)])
            for number, write in enumerate(writers.values())
        ]
        ways = [way for comparison in comparisons for way in comparison.ways]
        if wait:
            wait_for_quiet()
        with watched() as watch:
            for number in range(rounds):
                for place, (_, run) in enumerate(_turned(rows, number)):
                    _say(f"round {number + 1} of {rounds}: row {place + 1} of {len(rows)}")
                    run()
                for way in _turned(ways, number):
                    _say(f"round {number + 1} of {rounds}: {way.name}")
                    way.taken.append(way.run())
        stem = "" if clip is None else clip.stem
        measured = [comparison.measured(stem, against=python is not None) for comparison in comparisons]
        made = [make() for make, _ in rows]
    return PipelineResult(
        command=command,
        machine=watch.machine,
        clip=dataset.name if dataset else "the camera of edge demo" if clip is None else clip.name,
        scenes=dataset is not None,
        reference=comparisons[0].reference is not None,
        rounds=rounds,
        rows=made,
        compared=measured[0],
        drifting=tuple(way for others in measured[1:] for way in others),
        deface=next((way.taken[0].packages for way in ways if way.taken[0].packages), {}),
        targets=targets(made, measured[0], size_of(writers)),
    )


_Measured = tuple[Callable[[], Row], Callable[[], None]]


def _turned(items: Sequence[Any], number: int) -> list[Any]:
    """Each round begins with another one, so that what the machine does meanwhile hits all alike."""
    turn = number % max(1, len(items))
    return [*items[turn:], *items[:turn]]


@dataclass(eq=False)
class _Comparison:
    """Ways to anonymize one clip of ``size``, and the faces in it."""

    ways: list[Way]
    reference: ClipReference | None
    size: tuple[int, int]

    def measured(self, stem: str, *, against: bool) -> list[Compared]:
        """Their figures; ``against``: the first way is deface."""
        base = None
        if against and self.ways:
            base = statistics.median(fps_of(t.frames, t.seconds) for t in self.ways[0].taken)
        return [compared_of(way, base, stem, self.reference, self.size) for way in self.ways]


def _comparison(
    number: int, write: Writer, draft: Path, python: Path | None, frames: int | None, size: tuple[int, int]
) -> _Comparison:
    file = draft / f"compared-{number}.mp4"
    reference = write(file, *size, frames)
    return _Comparison(ways_of(file, size, draft, python), reference, size)


def size_of(writers: Mapping[str, Writer]) -> str:
    """The size at which ways are compared and several cameras run."""
    return COMPARED_SIZE if THE_CLIP in writers else SCENES_SIZE


def _rows(
    writers: Mapping[str, Writer],
    draft: Path,
    frames: int,
    cameras: Sequence[int],
    sizes: Sequence[str],
    faces: Sequence[int],
) -> list[_Measured]:
    """Make the clips that the rows need; each row is how to run it once more and how to sum it up."""
    (shown, write), *others = writers.items()
    main_size = size_of(writers)
    scaled = {}
    for size in dict.fromkeys([main_size, *sizes]):
        scaled[size] = draft / f"clip-{size}.mp4"
        write(scaled[size], *SIZES[size], frames)
    walls = {count: draft / f"wall-{count}.mp4" for count in faces}
    for count, file in walls.items():
        footage.write_wall(file, *SIZES["1080p"], count, frames)
    wanted: list[_Wanted] = [_Wanted(scaled[main_size], count, main_size, shown) for count in cameras]
    wanted += [_Wanted(scaled[size], 1, size, shown) for size in sizes if size != main_size]
    for number, (name, other) in enumerate(others):
        file = draft / f"other-{number}.mp4"
        other(file, *SIZES[main_size], frames)
        wanted.append(_Wanted(file, 1, main_size, name))
    wanted += [_Wanted(walls[count], 1, "1080p", f"{count} faces", count, 1) for count in faces]
    wanted += [_Wanted(walls[0], 1, "1080p", "0 faces", 0, 1, "covered")] if 0 in walls else []
    return [_row(draft, row) for row in wanted]


class _Wanted(NamedTuple):
    """A row: ``shown`` is what its clip shows, in words; ``faces`` None: nobody counted them."""

    file: Path
    cameras: int
    size: str
    shown: str
    faces: int | None = None
    threads: int = 0
    last_look: str = "always"


def _row(draft: Path, wanted: _Wanted) -> _Measured:
    file, cameras, size, shown, faces, threads, last_look = wanted
    runs: list[Run] = []
    settings = {"detector": {"threads": threads}, "privacy": {"last_look": last_look}}

    def run() -> None:
        runs.append(run_appliance([file] * cameras, draft, settings)[0])

    def make() -> Row:
        fps = [fps_of(run.frames, run.seconds) for run in runs]
        outside = [(run.cpu_seconds - run.detector_cpu_seconds) / run.frames * 1e3 for run in runs]
        return Row(
            name=f"{cameras} x {size}, {shown}"
            + (f", last_look = {last_look}" if last_look != "always" else ""),
            cameras=cameras,
            size=size,
            faces=faces,
            threads=threads,
            runs=runs,
            fps=round(statistics.median(fps), 2),
            fps_min=round(min(fps), 2),
            fps_max=round(max(fps), 2),
            cpu_ms=round(statistics.median(run.cpu_seconds / run.frames * 1e3 for run in runs), 2),
            outside_ms=round(statistics.median(outside), 2) if threads == 1 else None,
            bare_ms=round(statistics.median(run.bare_cpu_seconds for run in runs) * 1e3, 2),
        )

    return make, run


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
