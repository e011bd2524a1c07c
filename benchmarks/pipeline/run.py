"""The whole appliance on a clip, and beside deface: ``python -m benchmarks pipeline [CLIP]``.

Every run is a process of its own (benchmarks/pipeline/_runner.py): capture, detector, hold, blur, last look,
and the durable store on a real disk, with the defaults of the configuration except for what a row names.
No frame is skipped: the clip is read as fast as the rest can follow. Rows take turns, round by round.

*Outside the detector* is the CPU time of the whole process, minus that of looking at views (scaling to the
canvas, inference), the last look included. Decoding, JPEG and finding out what has changed are in it. It is
measured with one detector thread, because then the time of a look is the calling thread's own.

``edge blur`` takes the same clip as a file and writes a video, as deface does.

deface has an environment of its own. It gets the same clip and carries the same weights: once with its
defaults (detection at the size of the picture) and once with ``--scale``, at half of that.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import clips as footage
from benchmarks import common
from benchmarks.machine import wait_for_quiet, watched
from benchmarks.pipeline.appliance import SIZES, prepare, run_appliance
from benchmarks.pipeline.compare import compared_of, fps_of, reference_of, ways_of
from benchmarks.pipeline.result import (
    COMPARED_SIZE,
    PipelineResult,
    Row,
    Run,
    targets,
)

CAMERAS = (1, 2, 4, 8)
FACES = (0, 1, 10, 100)


def measure(
    clip: Path | None,
    *,
    command: str,
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
    ``folder``, which is removed. ``wait``: first for the load average to fall. Raises SystemExit (2) when the
    clip is no video, or deface cannot be installed.
    """
    python = None if deface is None else common.environment(deface, common.DEFACE)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="pipeline-") as name:
        draft = Path(name)
        rows = _rows(clip, draft, frames, cameras, sizes, faces)
        ways = ways_of(clip, draft, python, compared)
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
        reference = reference_of(clip)
        size = SIZES[COMPARED_SIZE]
        base = statistics.median(fps_of(t.frames, t.seconds) for t in ways[0].taken) if python else None
        ways_measured = [compared_of(way, base, clip, reference, size) for way in ways]
        made = [make() for make, _ in rows]
    return PipelineResult(
        command=command,
        machine=watch.machine,
        clip="the camera of edge demo" if clip is None else clip.name,
        reference=reference is not None,
        rounds=rounds,
        rows=made,
        compared=ways_measured,
        deface=next((way.taken[0].packages for way in ways if way.taken[0].packages), {}),
        targets=targets(made, ways_measured),
    )


_Measured = tuple[Callable[[], Row], Callable[[], None]]


def _turned(items: Sequence[Any], number: int) -> list[Any]:
    """Each round begins with another one, so that what the machine does meanwhile hits all alike."""
    turn = number % max(1, len(items))
    return [*items[turn:], *items[:turn]]


def _rows(
    clip: Path | None,
    draft: Path,
    frames: int,
    cameras: Sequence[int],
    sizes: Sequence[str],
    faces: Sequence[int],
) -> list[_Measured]:
    """Make the clips that the rows need; each row is how to run it once more and how to sum it up."""
    scaled = {}
    for size in dict.fromkeys([COMPARED_SIZE, *sizes]):
        scaled[size] = draft / f"clip-{size}.mp4"
        prepare(clip, scaled[size], *SIZES[size], frames)
    walls = {count: draft / f"wall-{count}.mp4" for count in faces}
    for count, file in walls.items():
        footage.write_wall(file, *SIZES["1080p"], count, frames)
    wanted: list[tuple[Path, int, str, int | None, int, str]] = []
    wanted += [(scaled[COMPARED_SIZE], count, COMPARED_SIZE, None, 0, "always") for count in cameras]
    wanted += [(scaled[size], 1, size, None, 0, "always") for size in sizes if size != COMPARED_SIZE]
    wanted += [(walls[count], 1, "1080p", count, 1, "always") for count in faces]
    wanted += [(walls[0], 1, "1080p", 0, 1, "covered")] if 0 in walls else []
    return [_row(draft, *row) for row in wanted]


def _row(
    draft: Path, file: Path, cameras: int, size: str, faces: int | None, threads: int, last_look: str
) -> _Measured:
    runs: list[Run] = []
    settings = {"detector": {"threads": threads}, "privacy": {"last_look": last_look}}

    def run() -> None:
        runs.append(run_appliance([file] * cameras, draft, settings)[0])

    def make() -> Row:
        shown = "the clip" if faces is None else f"{faces} faces"
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
