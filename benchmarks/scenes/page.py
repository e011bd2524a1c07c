"""Tables and plot of a result of ``python -m benchmarks scenes``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.scenes.result import FALSE_RATES, PROMISED_SIDE, SIDES, Look, Point, Row, ScenesResult

BINS: list[tuple[int, int | None]] = list(zip_longest(SIDES, SIDES[1:]))
LABELS = [f"{low} px and more" if high is None else f"{low}-{high} px" for low, high in BINS]


def as_markdown(result: ScenesResult) -> str:
    """The conditions and the tables."""
    width, height = result.size
    scenes = f"{result.stills} stills"
    if result.clips:
        scenes += f" and {result.clips} clips of {result.frames} frames"
    if result.fixed:
        scenes += f", {result.fixed} clips of {result.fixed_frames} frames of a fixed camera"
    conditions = (
        f"{result.dataset}, {result.split}: {scenes}, {width}x{height}, every face as large as in its "
        "picture."
    )
    if result.completed is not None:
        done = result.completed
        conditions += (
            f" Labels completed by eye: {done.added} faces added, {done.ignored} places ignored, in "
            f"{done.pictures} pictures (benchmarks/labels/{done.file})."
        )
    parts = [conditions, result.machine.line()]
    if result.looks:
        parts += [_looks(result), _curves(result)]
    if result.rows:
        parts.append(_tools(result))
    if result.machine.busy:
        parts.append(
            f"**BUSY**: {'; '.join(result.machine.busy)}. Times and frames per second do not count; what is "
            "left of faces does not depend on them."
        )
    return "\n\n".join(part for part in parts if part)


def _looks(result: ScenesResult) -> str:
    header = ["one look", "canvas", "score", f"missed, {PROMISED_SIDE} px and more", "masked", "unmasked"]
    header += [*LABELS, "false boxes per scene", "AP75", "ms"]
    rows = []
    for look in result.looks:
        first = [look.name, "x".join(map(str, look.canvas))]
        last = ["-" if look.ap75 is None else f"{look.ap75:.2f}", f"{look.milliseconds:.0f}"]
        rows += [[*first, f"{point.score:g}", *_missed(point), *last] for point in look.points]
        rows += [
            [*first, f"{score:g}", f"overflows below {look.lowest:g}", *["-"] * (len(header) - 6), *last]
            for score in look.overflowing
        ]
        if look is not result.looks[0]:
            point = look.at_reference.point
            rows.append([*first, f"{point.score:.3f}, equal false", *_missed(point), *last])
    return common.table(header, rows)


def _missed(point: Point) -> list[str]:
    missed, faces = point.share_missed(PROMISED_SIDE, None)
    cells = [f"**{percent(missed, faces)}** ({missed} of {faces})"]
    cells += [percent(*point.share_missed(PROMISED_SIDE, None, masked)) for masked in (True, False)]
    cells += [percent(*point.share_missed(*each)) for each in BINS]
    return [*cells, f"{point.false_per_scene:.1f}"]


def _curves(result: ScenesResult) -> str:
    """Missed at equal numbers of false boxes; in brackets where even fewer are made at every score."""
    title = f"missed, {PROMISED_SIDE} px and more, at false boxes per scene"
    header = [title, *(f"{rate:g}" for rate in FALSE_RATES)]
    rows = []
    for look in result.looks:
        cells = []
        for each in look.curve:
            share = percent(*each.point.share_missed(PROMISED_SIDE, None))
            cells.append(share if each.reached else f"({share})")
        rows.append([_label(look), *cells])
    return common.table(header, rows)


def _label(look: Look) -> str:
    return f"{look.name}, {look.canvas[0]}x{look.canvas[1]}"


def _tools(result: ScenesResult) -> str:
    header = ["what", f"left, {PROMISED_SIDE} px and more", "masked", "unmasked", *LABELS]
    header += ["changed beside heads", "frames written", "frames per second"]
    further = _further(result.rows)
    header += list(further)
    rows = []
    for row in result.rows:
        left, faces = row.share_left(PROMISED_SIDE, None)
        cells = [row.name, f"**{percent(left, faces)}** ({left} of {faces})"]
        cells += [percent(*row.share_left(PROMISED_SIDE, None, masked)) for masked in (True, False)]
        cells += [percent(*row.share_left(*each)) for each in BINS]
        cells += [f"{row.changed_beside:.1%}", f"{row.written} of {row.frames}", f"{row.fps:.2f}"]
        rows.append([*cells, *(cell_of(row) for cell_of in further.values())])
    return common.table(header, rows)


def _further(rows: Sequence[Row]) -> dict[str, Callable[[Row], str]]:
    """Columns, with what they show of a row, that only newer results have."""
    columns: dict[str, Callable[[Row], str]] = {}
    if any(row.cpu_seconds is not None for row in rows):
        columns["CPU seconds per frame"] = _cpu
    if any(row.megabytes is not None for row in rows):
        columns["peak MB"] = _megabytes
    if any(row.parts is not None for row in rows):
        columns["parts per frame looked at / only swept / kept"] = _parts
    return columns


def _cpu(row: Row) -> str:
    return "-" if row.cpu_seconds is None else f"{row.cpu_seconds / row.frames:.3f}"


def _megabytes(row: Row) -> str:
    return "-" if row.megabytes is None else f"{row.megabytes:,.0f}"


def _parts(row: Row) -> str:
    parts = row.parts
    return "-" if parts is None else f"{parts.looked:.2f} / {parts.swept:.2f} / {parts.kept:.2f}"


def percent(left: int, faces: int) -> str:
    """The share of faces left or missed; a dash where there were none."""
    return f"{left / faces:.1%}" if faces else "-"


def plot(result: ScenesResult, file: Path) -> None:
    """Share of faces missed by one look, and left by tools, by size: a line per row, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    missed = [
        (
            f"{_label(look)}, from {look.points[0].score:g}",
            [look.points[0].share_missed(*each) for each in BINS],
        )
        for look in result.looks
        if look.points
    ]
    left = [(row.name, [row.share_left(*each) for each in BINS]) for row in result.rows if row.faces]
    panels = [(lines, what) for lines, what in ((missed, "missed by one look"), (left, "left")) if lines]
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(8 if len(panels) == 1 else 13, 4.5), constrained_layout=True, squeeze=False
    )
    for axis, (lines, what) in zip(axes[0], panels, strict=True):
        _draw(axis, lines, what)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _draw(axis: Any, lines: list[tuple[str, list[tuple[int, int]]]], what: str) -> None:
    for name, counted in lines:
        axis.plot(
            range(len(BINS)), [part / max(1, whole) * 100 for part, whole in counted], marker="o", label=name
        )
    axis.set_xticks(range(len(BINS)), [f"{low}+" if high is None else f"{low}-{high}" for low, high in BINS])
    axis.set_xlabel("shorter side of the face, pixels of the frame")
    axis.set_ylabel(f"faces {what}, percent")
    axis.set_yscale("symlog", linthresh=1)
    axis.set_ylim(0, 100)
    axis.grid(color="0.92")
    axis.legend(fontsize=8)
