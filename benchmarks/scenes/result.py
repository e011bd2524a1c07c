"""Result of ``python -m benchmarks scenes``: its form, table and plot."""

from __future__ import annotations

from pathlib import Path

from benchmarks import common
from benchmarks.machine import Result, Strict

SIDES = (12, 20, 30, 40, 80)
"""Lower bounds of the size classes: shorter side of a face, in pixels of the frame."""
PROMISED_SIDE = 20


class Count(Strict):
    """Face-frames with a shorter side of ``low`` pixels or more and, unless ``high`` is None, less than
    ``high``; ``masked`` is None where the labels do not say. ``left`` of them can still be seen."""

    low: int
    high: int | None
    masked: bool | None
    faces: int
    left: int


class Row(Strict):
    """One tool: ``frames`` it was given, ``written`` by it; ``changed_beside`` is the mean share of
    the picture that it changed beside labelled heads."""

    name: str
    frames: int
    written: int
    faces: list[Count]
    changed_beside: float
    seconds: float
    fps: float

    def share_left(self, low: int, high: int | None, masked: bool | None = None) -> tuple[int, int]:
        """Face-frames left, and all of them, from ``low`` to below ``high`` pixels (None: and larger);
        ``masked`` None: of both kinds."""
        chosen = [
            count
            for count in self.faces
            if count.low >= low and (high is None or count.low < high) and masked in (None, count.masked)
        ]
        return sum(count.left for count in chosen), sum(count.faces for count in chosen)


class ScenesResult(Result):
    """``stills`` and ``clips`` are the numbers of scenes of each kind, ``frames`` the length of a clip."""

    dataset: str
    split: str
    size: tuple[int, int]
    stills: int
    clips: int
    frames: int
    rows: list[Row]


def as_markdown(result: ScenesResult) -> str:
    """The conditions and the table."""
    header = ["what", f"left, {PROMISED_SIDE} px and more", "masked", "unmasked"]
    bins = list(zip(SIDES, [*SIDES[1:], None], strict=True))
    header += [f"{low} px and more" if high is None else f"{low}-{high} px" for low, high in bins]
    header += ["changed beside heads", "frames written", "frames per second"]
    rows = []
    for row in result.rows:
        left, faces = row.share_left(PROMISED_SIDE, None)
        cells = [row.name, f"**{percent(left, faces)}** ({left} of {faces})"]
        cells += [percent(*row.share_left(PROMISED_SIDE, None, masked)) for masked in (True, False)]
        cells += [percent(*row.share_left(low, high)) for low, high in bins]
        cells += [f"{row.changed_beside:.1%}", f"{row.written} of {row.frames}", f"{row.fps:.2f}"]
        rows.append(cells)
    width, height = result.size
    parts = [
        f"{result.dataset}, {result.split}: {result.stills} stills and {result.clips} clips of "
        f"{result.frames} frames, {width}x{height}, every face as large as in its picture.",
        result.machine.line(),
        common.table(header, rows),
        result.machine.verdict(),
    ]
    return "\n\n".join(part for part in parts if part)


def percent(left: int, faces: int) -> str:
    """The share of faces left; a dash where there were none."""
    return f"{left / faces:.1%}" if faces else "-"


def plot(result: ScenesResult, file: Path) -> None:
    """Share of faces left by their size, a line per row, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4.5), constrained_layout=True)
    bins = list(zip(SIDES, [*SIDES[1:], None], strict=True))
    for row in result.rows:
        shares = [left / max(1, faces) * 100 for left, faces in (row.share_left(*each) for each in bins)]
        axis.plot(range(len(bins)), shares, marker="o", label=row.name)
    axis.set_xticks(range(len(bins)), [f"{low}+" if high is None else f"{low}-{high}" for low, high in bins])
    axis.set_xlabel("shorter side of the face, pixels of the frame")
    axis.set_ylabel("faces left, percent")
    axis.set_yscale("symlog", linthresh=1)
    axis.set_ylim(0, 100)
    axis.grid(color="0.92")
    axis.legend(fontsize=8)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
