"""Result of ``python -m benchmarks pipeline``: its form, targets, tables and plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.machine import Result, Strict
from edge.config.privacy import SMALLEST_FACE

COMPARED_SIZE, SCENES_SIZE = "720p", "1080p"
"""Size at which ways are compared, and several cameras run, on a given clip and on scenes."""
DETECTOR_SIZE = "640x360"
"""The size to which deface scales frames in its faster row."""
DEFACE_FULL, DEFACE_SCALED = "deface, defaults", f"deface --scale {DETECTOR_SIZE}"
EDGE, EDGE_NO_LAST_LOOK = "edge run, defaults", "edge run, privacy.last_look = off"
EDGE_BLUR, EDGE_BLUR_COARSE = "edge blur, defaults", f"edge blur --smallest-face {SMALLEST_FACE}"
"""Like deface, ``edge blur`` writes a video; it takes the last look at each frame. The second looks for the
faces that ``edge run`` looks for."""
FASTER_THAN_DEFACE = 5.0
OUTSIDE_MS = 15.0
TWO_CAMERAS = 2.0


class Run(Strict):
    """One run of the appliance. Times in ``stages`` are median and 95th percentile in milliseconds, per frame
    (*encode*, *write*: per image; *detection*: per frame detected on; *inference*: per view). ``views``: the
    number that went through the detector. ``bare_cpu_seconds``: decoding and JPEG alone, per frame."""

    frames: int
    images: int
    regions: int
    dropped: dict[str, int]
    seconds: float
    cpu_seconds: float
    detector_cpu_seconds: float
    views: int
    bare_cpu_seconds: float
    stages: dict[str, tuple[float, float] | None]
    rss_megabytes: float


class Row(Strict):
    """One setting, and its runs; ``faces`` is None for the given clip, whose faces nobody has counted.

    ``outside_ms``: CPU time per frame outside the detector; None where the detector has several threads.
    ``bare_ms``: what decoding the same clip and JPEG take alone.
    """

    name: str
    cameras: int
    size: str
    faces: int | None
    threads: int
    runs: list[Run]
    fps: float
    fps_min: float
    fps_max: float
    cpu_ms: float
    outside_ms: float | None
    bare_ms: float


class Leak(Strict):
    """Face-frames of the reference of 20 pixels or more in the original clip, and those of them that are left
    uncovered."""

    face_frames: int
    uncovered: int


class Compared(Strict):
    """One way to anonymize the same clip. ``times_deface`` is against deface with its defaults."""

    name: str
    writes: str
    frames: int
    fps: float
    fps_min: float
    fps_max: float
    cpu_ms: float
    rss_megabytes: float
    times_deface: float
    leak: Leak | None


class Target(Strict):
    """A target, and what was measured."""

    text: str
    value: str
    met: bool


class PipelineResult(Result):
    """What the command measured. ``scenes``: on scenes of the labelled set ``clip``; then ``compared`` is on
    a fixed camera and ``drifting`` on one that drifts."""

    clip: str
    scenes: bool = False
    reference: bool
    rounds: int
    rows: list[Row]
    compared: list[Compared]
    drifting: tuple[Compared, ...] = ()
    deface: dict[str, str]
    targets: list[Target]


def targets(rows: Sequence[Row], compared: Sequence[Compared], size: str = COMPARED_SIZE) -> list[Target]:
    """The targets of the CPU path, as far as these rows tell whether they are met; ``size`` is that at which
    several cameras ran."""
    found = []
    ways = {way.name: way for way in compared}
    full, scaled = ways.get(DEFACE_FULL), ways.get(DEFACE_SCALED)
    for name in (EDGE, EDGE_NO_LAST_LOOK):
        if name in ways and full is not None and scaled is not None:
            found += [_against_full(ways[name], full), _faster(ways[name], scaled)]
    for name in (EDGE_BLUR, EDGE_BLUR_COARSE):
        if name in ways and full is not None:  # neither scales the picture down much
            found.append(_faster(ways[name], full))
    for row in rows:
        if row.faces == 10 and row.outside_ms is not None:
            text = f"{OUTSIDE_MS:g} ms or less outside the detector per {row.size} frame with 10 faces"
            value = f"{row.outside_ms:.1f} ms; decoding and JPEG alone {row.bare_ms:.1f} ms"
            found.append(Target(text=text, value=value, met=row.outside_ms <= OUTSIDE_MS))
    by_cameras = {row.cameras: row for row in rows if row.faces is None and row.size == size}
    if 1 in by_cameras and 2 in by_cameras:
        ratio = 2 * by_cameras[1].fps / by_cameras[2].fps
        text = "two cameras take no more than twice the time of one"
        found.append(Target(text=text, value=f"{ratio:.2f} times the time", met=ratio <= TWO_CAMERAS))
    return found


def _against_full(way: Compared, full: Compared) -> Target:
    leaks, no_more = "faces left unknown", True
    if way.leak is not None and full.leak is not None:
        leaks = f"uncovered {way.leak.uncovered} against {full.leak.uncovered}"
        no_more = way.leak.uncovered <= full.leak.uncovered
    text = (
        f"{way.name}: {FASTER_THAN_DEFACE:g} times the frames per second of {full.name}, no more faces left"
    )
    met = way.times_deface >= FASTER_THAN_DEFACE and no_more
    return Target(text=text, value=f"{way.times_deface:.2f} times, {leaks}", met=met)


def _faster(way: Compared, other: Compared) -> Target:
    ratio = way.fps / other.fps
    return Target(text=f"{way.name}: faster than {other.name}", value=f"{ratio:.2f} times", met=ratio > 1)


def as_markdown(result: PipelineResult) -> str:
    """The tables."""
    stages = ("decode", "detection", "inference", "hold", "blur", "encode", "write")
    header = ["row", "detector threads", "frames/s", "min to max", "CPU ms/frame", "outside detector, CPU ms"]
    header += ["decoding and JPEG alone", "dropped", "MB"]
    lines: list[list[object]] = []
    timed: list[list[object]] = []
    for row in result.rows:
        middle = sorted(row.runs, key=lambda run: run.seconds)[len(row.runs) // 2]
        dropped = sum(sum(run.dropped.values()) for run in row.runs)
        outside = "-" if row.outside_ms is None else row.outside_ms
        spread = f"{row.fps_min} to {row.fps_max}"
        memory = round(max(run.rss_megabytes for run in row.runs))
        threads = row.threads or f"all ({result.machine.cores})"
        lines.append([row.name, threads, row.fps, spread, row.cpu_ms, outside, row.bare_ms, dropped, memory])
        cells = [middle.stages.get(stage) for stage in stages]
        timed.append([row.name, *("-" if cell is None else f"{cell[0]} / {cell[1]}" for cell in cells)])
    parts = [common.table(header, lines), "", "Milliseconds per stage, p50 / p95, of the median run:", ""]
    parts += [common.table(["row", *stages], timed)]
    for ways, what in ((result.compared, title_of(result)), (result.drifting, "A camera that drifts")):
        if ways:
            versions = ", ".join(f"{name} {version}" for name, version in result.deface.items())
            parts += ["", f"{what}, {ways[0].frames} frames ({versions}):", "", _ways(ways)]
    if result.targets:
        lines = [[t.text, t.value, "met" if t.met else "**missed**"] for t in result.targets]
        parts += ["", common.table(["target", "measured", ""], lines)]
    return "\n".join([*parts, "", result.machine.line(), *filter(None, [result.machine.verdict()])])


def title_of(result: PipelineResult) -> str:
    """What the ways of ``compared`` were given."""
    if result.scenes:
        return f"Scenes of {result.clip} at {SCENES_SIZE}, a fixed camera"
    return f"{result.clip} at {COMPARED_SIZE}"


def _ways(ways: Sequence[Compared]) -> str:
    header = ["way", "writes", "frames/s", "min to max", "times deface", "CPU ms/frame", "MB"]
    header += ["face-frames", "uncovered"]
    lines = []
    for way in ways:
        left: list[object] = ["-", "-"]
        if way.leak is not None:
            share = way.leak.uncovered / max(1, way.leak.face_frames)
            left = [way.leak.face_frames, f"{way.leak.uncovered} ({share:.2%})"]
        spread = f"{way.fps_min} to {way.fps_max}"
        ratio = way.times_deface or "-"
        lines.append([way.name, way.writes, way.fps, spread, ratio, way.cpu_ms, way.rss_megabytes, *left])
    return common.table(header, lines)


def plot(result: PipelineResult, file: Path) -> None:
    """Frames per second of each row, and of each way of the comparison."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure: Any
    figure, axes = pyplot.subplots(2, 1, figsize=(8, 7), layout="constrained")
    _bars(axes[0], result.rows)
    _bars(axes[1], result.compared)
    axes[0].set_title("the whole appliance" + (" - BUSY MACHINE" if result.machine.busy else ""), fontsize=10)
    axes[1].set_title(title_of(result), fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _bars(axis: Any, entries: Sequence[Row | Compared]) -> None:
    names = [entry.name for entry in entries][::-1]
    middle = [entry.fps for entry in entries][::-1]
    low = [entry.fps - entry.fps_min for entry in entries][::-1]
    high = [entry.fps_max - entry.fps for entry in entries][::-1]
    colours = ["0.6" if name.startswith("deface") else "tab:blue" for name in names]
    axis.barh(names, middle, xerr=[low, high], color=colours, error_kw={"elinewidth": 1})
    for place, (value, more) in enumerate(zip(middle, high, strict=True)):
        axis.text(value + more, place, f"  {value:.1f}", va="center", fontsize=8)
    axis.set_xlabel("frames per second (median, min to max)")
    axis.spines[["top", "right"]].set_visible(False)
