"""Memory of each further camera: ``python -m benchmarks camera-memory``.

Peak resident memory of the whole appliance, in a process of its own (benchmarks/pipeline/_runner.py), with
one camera, two and four of 1920x1080. Once they are played at their own pace, as cameras deliver, and once as
fast as the box can follow; then all of the ten frames that may wait in hold do, for they are of a short time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common
from benchmarks.machine import Result, Strict, watched
from benchmarks.pipeline.appliance import SIZES, prepare, run_appliance

CAMERAS = (1, 2, 4)
SIZE = "1080p"
FAST_FRAMES = 20
"""Frames of each camera that are not played at their own pace: more than ever wait."""
BAR_MEGABYTES = 60


class Row(Strict):
    """``paced``: frames come at the rate of the clip, and the newest one wins. ``more``: megabytes for each
    camera beyond the first; None for one camera."""

    paced: bool
    cameras: int
    frames: int
    images: int
    megabytes: float
    more: float | None


class MemoryResult(Result):
    """Cameras of ``size``; ``bar`` is the most that a further one may take, in megabytes."""

    size: str
    bar: int
    rows: list[Row]


def measure(
    *, command: str, cameras: Sequence[int] = CAMERAS, frames: int = 150, folder: Path = Path("build")
) -> MemoryResult:
    """Measure each number of cameras; ``frames`` is the length of the clip that is played at its own pace.

    Raises SystemExit (2).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="memory-") as name, watched() as watch:
        draft = Path(name)
        clips = {True: draft / "paced.mp4", False: draft / "fast.mp4"}
        prepare(None, clips[True], *SIZES[SIZE], frames)
        prepare(None, clips[False], *SIZES[SIZE], FAST_FRAMES)
        rows: list[Row] = []
        for paced in (True, False):
            first: float | None = None
            for count in cameras:
                print(f"{count} cameras, {'paced' if paced else 'as fast as possible'}", file=sys.stderr)
                run, _ = run_appliance([clips[paced]] * count, draft, {}, paced=paced)
                more = None if first is None else (run.rss_megabytes - first) / (count - cameras[0])
                first = run.rss_megabytes if first is None else first
                rows.append(
                    Row(
                        paced=paced,
                        cameras=count,
                        frames=run.frames,
                        images=run.images,
                        megabytes=round(run.rss_megabytes, 1),
                        more=None if more is None else round(more, 1),
                    )
                )
    return MemoryResult(command=command, machine=watch.machine, size=SIZE, bar=BAR_MEGABYTES, rows=rows)


def as_markdown(result: MemoryResult) -> str:
    """The table."""
    header = [f"cameras of {result.size}", "played", "frames", "images", "peak MB", "MB per further camera"]
    rows = [
        [
            row.cameras,
            "at its own pace" if row.paced else "as fast as possible",
            row.frames,
            row.images,
            f"{row.megabytes:.0f}",
            "-" if row.more is None else f"{row.more:.0f} (bar {result.bar})",
        ]
        for row in result.rows
    ]
    return "\n\n".join([common.table(header, rows), result.machine.line()])
