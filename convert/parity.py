"""Parity: the SavedModel in TensorFlow and the detector see the same faces in the same bytes.

Two comparisons for each picture. *Same canvas*: TensorFlow's network gets the canvas that the box paints,
and its raw outputs are decoded in NumPy: any difference is one of the conversion, and the limits are
tight. *Whole path*: TensorFlow gets the picture and does all its own work, from resizing to suppression;
the detector runs through ``edge.detection``, as camera frames do. There the canvases differ by the rounding
to bytes, and where two candidates are nearly equal, suppression may keep the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.graphs import Array
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.errors import DetectionError

MIN_SCORE = 0.3
"""TensorFlow's boxes from this score on must be found again."""
_FLOOR = 0.25
"""The detector's boxes from this score on are looked at, as one just above the limit in TensorFlow may be
just below it here."""


@dataclass(frozen=True)
class Limits:
    """What a build must keep: the share ``recall`` of TensorFlow's boxes has a box of the detector's that
    overlaps it by ``iou`` and whose score differs by no more than ``score_difference``."""

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
    """One box of TensorFlow's and the detector's nearest: ``box`` is ``x1 y1 x2 y2`` in pixels of the
    picture; ``iou`` is 0 when the detector has none near it."""

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
        """Share of TensorFlow's boxes that the detector has."""
        return sum(map(self.found, self.matches)) / max(1, len(self.matches))

    @property
    def lowest_iou(self) -> float:
        return min((match.iou for match in self.matches), default=0.0)

    @property
    def largest_score_difference(self) -> float:
        """Among the boxes that the detector has."""
        return max((m.score_difference for m in self.matches if self.found(m)), default=0.0)

    def __bool__(self) -> bool:
        return bool(self.matches) and self.recall >= self.limits.recall

    def worst(self) -> list[Match]:
        """All boxes, those that the detector does not have first."""
        return sorted(self.matches, key=lambda m: (self.found(m), m.iou, -m.score_difference))

    def figures(self) -> dict[str, Any]:
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
        """Why it is not within the limits; empty when it is."""
        found = list(self.problems)
        if not self.canvas.matches or not self.path.matches:
            found.append(
                f"TensorFlow finds nothing from score {MIN_SCORE} on {self.pictures} pictures, so nothing "
                f"could be compared; give pictures with faces (--calibration DIR)"
            )
        for name, comparison in (("same canvas", self.canvas), ("whole path", self.path)):
            if comparison.matches and not comparison:
                missed = [match for match in comparison.worst() if not comparison.found(match)]
                found += [f"{name}: {match}" for match in missed]
        return found

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
        """One line for people."""
        return (
            f"{self.pictures} pictures; on the same canvas {self.canvas.recall:.2%} of "
            f"{len(self.canvas.matches)} boxes at "
            f"IoU {self.canvas.limits.iou}, scores within {self.canvas.largest_score_difference:.6f}; "
            f"from picture to box {self.path.recall:.2%} of {len(self.path.matches)}, scores within "
            f"{self.path.largest_score_difference:.4f}"
        )

    def details(self) -> dict[str, Any]:
        """The numbers and the boxes that differ most."""
        details = self.figures()
        for name, comparison in (("same_canvas", self.canvas), ("whole_path", self.path)):
            details[name]["worst"] = [asdict(match) for match in comparison.worst()[:10]]
        return {**details, "precision": self.precision}


Reference = Callable[[Array], tuple[Floats, Floats]]
"""RGB picture to TensorFlow's boxes and scores."""


def open_for_parity(path: Path) -> Detector:
    """The detector on the CPU. It looks at each picture as a whole, as TensorFlow does."""
    config = DetectorConfig(
        path=path,
        provider="cpu",
        tiles="1x1",
        score_begin=MIN_SCORE,
        score_continue=_FLOOR,
        timeout_seconds=600,
    )
    return open_detector(read_detector(path), config)


def compare(
    detector: Detector,
    whole: Reference,
    raw: Reference,
    canvas: Callable[[Array], Array],
    pictures: Iterable[tuple[str, Array]],
    precision: str,
) -> Parity:
    """Run both on every picture (RGB, uint8 ``[H, W, 3]``).

    ``whole`` is ``convert.reference.whole``, ``raw`` gives all boxes of a canvas before suppression, and
    ``canvas`` paints a picture as the box does.
    """
    on_canvas: list[Match] = []
    on_path: list[Match] = []
    problems: list[str] = []
    count = 0
    limit = detector.session.contract.nms_iou
    for name, picture in pictures:
        count += 1
        painted = canvas(picture)
        try:
            found = detector.detect(np.ascontiguousarray(picture[..., ::-1]))
            boxes, scores = detector.session.run(painted)
        except DetectionError as error:
            problems.append(f"{name}: the detector fails: {error}")
            continue
        on_path += _match(name, *whole(picture), found.boxes, found.scores, PATH_LIMITS[precision].iou)
        wanted, mine = _suppress(*raw(painted), limit), _suppress(boxes, scores, limit)
        on_canvas += _match(name, *wanted, *mine, CANVAS_LIMITS[precision].iou)
    return Parity(
        precision,
        count,
        Comparison(CANVAS_LIMITS[precision], tuple(on_canvas)),
        Comparison(PATH_LIMITS[precision], tuple(on_path)),
        tuple(problems),
    )


def _suppress(boxes: Floats, scores: Floats, limit: float) -> tuple[Floats, Floats]:
    strong = scores >= _FLOOR
    boxes, scores = boxes[strong], scores[strong]
    kept = geometry.nms(boxes, scores, limit)
    return boxes[kept], scores[kept]


def _match(
    picture: str, boxes: Floats, scores: Floats, found_boxes: Floats, found_scores: Floats, iou_limit: float
) -> list[Match]:
    """Each box beside the one of the detector that overlaps it by ``iou_limit`` and has the nearest
    score; beside the nearest box when none does."""
    strong = scores >= MIN_SCORE
    boxes, scores = boxes[strong], scores[strong]
    overlaps = geometry.iou(boxes, found_boxes)
    matches = []
    for place, (box, score) in enumerate(zip(boxes.tolist(), scores.tolist(), strict=True)):
        near = np.flatnonzero(overlaps[place] >= iou_limit)
        nearest = int(overlaps[place].argmax()) if len(found_boxes) else -1
        if len(near):
            nearest = int(near[np.abs(found_scores[near] - score).argmin()])
        iou = float(overlaps[place, nearest]) if nearest >= 0 else 0.0
        difference = abs(float(found_scores[nearest]) - score) if iou > 0 else score
        matches.append(Match(picture, (box[0], box[1], box[2], box[3]), score, iou, difference))
    return matches
