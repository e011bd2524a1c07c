"""Result of ``python -m benchmarks scenes``: its form."""

from __future__ import annotations

from benchmarks.machine import Result, Strict
from benchmarks.scenes.labels import Completed
from convert.training.datasets import LabelledObject

SIDES = (12, 20, 30, 40, 80)
"""Lower bounds of the size classes: shorter side of a face, in pixels of the frame."""
PROMISED_SIDE = 20
FALSE_RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""False boxes per scene of the points of a curve."""


def counts(face: LabelledObject) -> bool:
    """Whether it matters that a face is found."""
    return not face.ignore and face.side >= SIDES[0]


def size_class(side: float) -> tuple[int, int | None]:
    """Bounds of the class of a face with this shorter side, which is at least ``SIDES[0]`` pixels."""
    low = max(bound for bound in SIDES if bound <= side)
    return low, next((bound for bound in SIDES if bound > low), None)


class Count(Strict):
    """Face-frames with a shorter side of ``low`` pixels or more and, unless ``high`` is None, less than
    ``high``; ``masked`` is None where the labels do not say. ``left`` of them can still be seen."""

    low: int
    high: int | None
    masked: bool | None
    faces: int
    left: int


class Parts(Strict):
    """Parts of a frame, on average: those that ``edge run`` ``looked`` at, those of them that were only
    ``swept``, and those that it ``kept`` because nothing had changed in them."""

    looked: float
    kept: float
    swept: float


class Row(Strict):
    """One tool: ``frames`` it was given, ``written`` by it; ``changed_beside`` is the mean share of
    the picture that it changed beside labelled heads. ``cpu_seconds`` are those of its process, start
    included, and ``megabytes`` its peak memory; None in results that were taken before they were measured.
    ``parts``: None but for ``edge run``."""

    name: str
    frames: int
    written: int
    faces: list[Count]
    changed_beside: float
    seconds: float
    fps: float
    cpu_seconds: float | None = None
    megabytes: float | None = None
    parts: Parts | None = None

    def share_left(self, low: int, high: int | None, masked: bool | None = None) -> tuple[int, int]:
        """Face-frames left, and all of them, from ``low`` to below ``high`` pixels (None: and larger);
        ``masked`` None: of both kinds."""
        chosen = [
            count
            for count in self.faces
            if count.low >= low and (high is None or count.low < high) and masked in (None, count.masked)
        ]
        return sum(count.left for count in chosen), sum(count.faces for count in chosen)


class Missed(Strict):
    """Faces with a shorter side of ``low`` pixels or more and, unless ``high`` is None, less than ``high``;
    ``masked`` is None where the labels do not say. ``missed`` of them have no box."""

    low: int
    high: int | None
    masked: bool | None
    faces: int
    missed: int


class Point(Strict):
    """One look by the boxes of ``score`` and more."""

    score: float
    false_per_scene: float
    faces: list[Missed]

    def share_missed(self, low: int, high: int | None, masked: bool | None = None) -> tuple[int, int]:
        """As ``Row.share_left``."""
        chosen = [
            count
            for count in self.faces
            if count.low >= low and (high is None or count.low < high) and masked in (None, count.masked)
        ]
        return sum(count.missed for count in chosen), sum(count.faces for count in chosen)


class AtRate(Strict):
    """The point at which a detector makes as many false boxes per scene as ``rate`` allows. ``reached`` says
    whether it makes so many at any score that was tried."""

    rate: float
    reached: bool
    point: Point


class Look(Strict):
    """One detector that looks at each scene once, on a canvas of this width and height in pixels.

    ``milliseconds``: median of its run. ``lowest``: the score from which on no scene had more boxes than it
    returns; ``overflowing`` are wanted scores below that. ``ap75``: COCO's average precision at an overlap of
    0.75. ``at_reference``: at as many false boxes as the first look of the result makes at its first point.
    """

    name: str
    sha256: str
    canvas: tuple[int, int]
    milliseconds: float
    lowest: float
    ap75: float | None
    points: list[Point]
    overflowing: list[float]
    at_reference: AtRate
    curve: list[AtRate]


class ScenesResult(Result):
    """``stills`` and ``clips`` are the numbers of scenes of each kind, ``frames`` the length of a clip.
    ``fixed`` is the number of scenes of a fixed camera, ``fixed_frames`` the length of their clips.

    ``completed``: what was added to the set's labels. ``looks`` are of the stills; the first one is the
    reference.
    """

    dataset: str
    split: str
    size: tuple[int, int]
    stills: int
    clips: int
    frames: int
    fixed: int = 0
    fixed_frames: int = 0
    completed: Completed | None = None
    looks: tuple[Look, ...] = ()
    rows: list[Row]
