"""Parity: the SavedModel in TensorFlow and the detector find the same faces in the same bytes.

There are two comparisons for each picture. *Same canvas*: TensorFlow's network gets the canvas that the box
paints, and its raw outputs are decoded in NumPy. Any difference comes from the conversion, so the limits are
tight. *Whole path*: TensorFlow gets the picture and does all of its own work, from resizing to suppression;
the detector runs through ``edge.detection``, as it does on camera frames. There the canvases differ by the
rounding to bytes, and where two candidates are nearly equal, suppression may keep the other one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MIN_SCORE = 0.3
"""The detector must find TensorFlow's boxes from this score on."""
MIN_BOXES = 50
"""At least this many of TensorFlow's boxes must have been compared, over all pictures."""
FLOOR = 0.25
"""The lowest score of the detector's boxes that are compared: one just above ``MIN_SCORE`` in TensorFlow may
be just below it here."""


@dataclass(frozen=True)
class Limits:
    """The limits that a build must keep.

    At least the share ``recall`` of TensorFlow's boxes must have a box of the detector that overlaps it by
    ``iou`` and whose score differs by no more than ``score_difference``.
    """

    iou: float
    recall: float
    score_difference: float


CANVAS_LIMITS = {
    # Suppression of two candidates whose overlap is the limit to six digits may go either way.
    "fp32": Limits(iou=0.9, recall=0.995, score_difference=0.005),
    "fp16": Limits(iou=0.9, recall=0.97, score_difference=0.05),
    "int8": Limits(iou=0.75, recall=0.9, score_difference=0.25),
}
PATH_LIMITS = {
    "fp32": Limits(iou=0.9, recall=0.9, score_difference=0.1),
    "fp16": Limits(iou=0.9, recall=0.9, score_difference=0.12),
    "int8": Limits(iou=0.75, recall=0.9, score_difference=0.25),
}


@dataclass(frozen=True)
class Match:
    """One of TensorFlow's boxes, and how near the detector comes to it.

    ``box`` is ``x1 y1 x2 y2``, in pixels of the picture or of the canvas. ``iou`` is that of the detector's
    nearest box, 0 when it has none near.
    """

    picture: str
    box: tuple[float, float, float, float]
    score: float
    iou: float
    score_difference: float

    def __str__(self) -> str:
        corners = ", ".join(f"{side:.1f}" for side in self.box)
        return (
            f"{self.picture}: TensorFlow's box [{corners}] with score {self.score:.3f}, nearest box of "
            f"the detector: IoU {self.iou:.3f}, score difference {self.score_difference:.3f}"
        )


@dataclass(frozen=True)
class Comparison:
    """One of the two comparisons; true when it is within its limits."""

    limits: Limits
    matches: tuple[Match, ...]

    def found(self, match: Match) -> bool:
        """Whether the detector has this box of TensorFlow's."""
        return match.iou >= self.limits.iou and match.score_difference <= self.limits.score_difference

    @property
    def recall(self) -> float:
        """The share of TensorFlow's boxes that the detector has."""
        return sum(map(self.found, self.matches)) / max(1, len(self.matches))

    @property
    def lowest_iou(self) -> float:
        """Over all of TensorFlow's boxes."""
        return min((match.iou for match in self.matches), default=0.0)

    @property
    def largest_score_difference(self) -> float:
        """Over the boxes that the detector has."""
        return max((m.score_difference for m in self.matches if self.found(m)), default=0.0)

    def __bool__(self) -> bool:
        return bool(self.matches) and self.recall >= self.limits.recall

    def worst(self) -> list[Match]:
        """All matches, worst first: those that the detector does not have lead."""
        return sorted(self.matches, key=lambda m: (self.found(m), m.iou, -m.score_difference))

    def figures(self) -> dict[str, Any]:
        """The numbers, for metadata and report."""
        return {
            "boxes": len(self.matches),
            "iou_limit": self.limits.iou,
            "recall": round(self.recall, 5),
            "recall_limit": self.limits.recall,
            "lowest_iou": round(self.lowest_iou, 5),
            "largest_score_difference": round(self.largest_score_difference, 7),
            "score_difference_limit": self.limits.score_difference,
            "ok": bool(self),
        }


@dataclass(frozen=True)
class Parity:
    """Outcome of both comparisons; true when both are within their limits."""

    precision: str
    pictures: int
    canvas: Comparison
    path: Comparison
    problems: tuple[str, ...] = ()

    def failures(self) -> list[str]:
        """Sentences that say what is outside the limits; empty when nothing is."""
        failures = list(self.problems)
        boxes = min(len(self.canvas.matches), len(self.path.matches))
        if boxes < MIN_BOXES:
            found = f"only {boxes} boxes" if boxes else "nothing"
            failures.append(
                f"not enough to judge: TensorFlow finds {found} with score {MIN_SCORE} or more on "
                f"{self.pictures} pictures, and at least {MIN_BOXES} boxes must be compared: give pictures "
                "with faces (--calibration DIR)"
            )
        for name, comparison in (("same canvas", self.canvas), ("whole path", self.path)):
            if comparison.matches and not comparison:
                missed = [match for match in comparison.worst() if not comparison.found(match)]
                failures += [f"{name}: {match}" for match in missed]
        return failures

    def __bool__(self) -> bool:
        return not self.failures()

    def figures(self) -> dict[str, Any]:
        """The numbers, for metadata and report."""
        return {
            "pictures": self.pictures,
            "min_score": MIN_SCORE,
            "same_canvas": self.canvas.figures(),
            "whole_path": self.path.figures(),
            "ok": bool(self),
        }

    def text(self) -> str:
        """The figures in one line, for people."""
        return (
            f"{self.pictures} pictures; on the same canvas {self.canvas.recall:.2%} of "
            f"{len(self.canvas.matches)} boxes at IoU {self.canvas.limits.iou}, scores within "
            f"{self.canvas.largest_score_difference:.6f}; from picture to box {self.path.recall:.2%} of "
            f"{len(self.path.matches)}, scores within {self.path.largest_score_difference:.4f}"
        )

    def details(self) -> dict[str, Any]:
        """The numbers, and the ten boxes that differ most."""
        details = self.figures()
        for name, comparison in (("same_canvas", self.canvas), ("whole_path", self.path)):
            details[name]["worst"] = [asdict(match) for match in comparison.worst()[:10]]
        return {**details, "precision": self.precision}
