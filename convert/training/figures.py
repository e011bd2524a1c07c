"""Boxes against labelled faces: recall, false boxes, average precision, and the threshold to begin with.

Every box is judged by the face that it overlaps most. From an overlap of ``MATCH_IOU`` it finds that face,
unless a stronger box did so already: then it is false, as is a box that overlaps no face. Faces that the set
says to ignore and those below ``MIN_SIDE`` are neither missed nor make a box false.

Average precision is WIDER FACE's (``wider_precision``), for a set with easy, medium and hard faces; COCO's is
in convert/training/coco_figures.py. Neither knows a smallest face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from convert.training.datasets import LEVELS, LabelledObject
from convert.training.figure_forms import FALSE_RATES, SIZES, AtRate, AtScore, Found, Point, Recommended
from edge import boxes as geometry
from edge.boxes import Floats
from edge.detection.detector import Detections

MATCH_IOU, MIN_SIDE = 0.4, 12
"""As in the project's other figures: overlap from which a box finds a face; shorter side in pixels from
which a face counts."""
WIDER_IOU = 0.5
GRID = tuple(round(0.01 * step, 2) for step in range(5, 96))
"""Thresholds of the sweep, of which one is recommended."""
MAX_FALSE = FALSE_RATES[-1]
"""False boxes per picture that a recommended threshold may cost: each covers something that is no face, and
holding it covers the same place in the frames around it too. Where a set lacks labels of some faces, as
``faces`` does, finding those counts as false, which errs towards a higher threshold."""
MARGIN = 0.005
"""Recall that may be given up for fewer false boxes. A recall of 0.93 on the 1345 faces of ``faces``' train
split has a standard error of 0.007, so that less cannot be told apart."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Boxes against faces.

    ``found``: float32 ``[F]``, for each face that counts the score of the box that finds it, 0 where none
    does. ``sides`` (pixels) and ``masked`` are of the same faces. ``false``: float32 ``[M]``, the scores of
    false boxes.
    """

    found: Floats
    sides: Floats
    masked: list[bool | None]
    false: Floats
    pictures: int

    def recall(self, score: float) -> float | None:
        return _share(int((self.found >= score).sum()), len(self.found))

    def false_per_picture(self, score: float) -> float:
        return int((self.false >= score).sum()) / self.pictures


def tally(
    truth: Sequence[Sequence[LabelledObject]],
    found: Sequence[Detections],
    counts: Callable[[LabelledObject], bool],
    match_iou: float = MATCH_IOU,
) -> Tally:
    """Judge the boxes of each picture; faces for which ``counts`` says no are ignored."""
    by_face, faces, false = [], [], []
    for labelled, detections in zip(truth, found, strict=True):
        counted = [counts(face) for face in labelled]
        scores, wrong = _match(labelled, counted, detections, match_iou)
        by_face += [score for score, counts_here in zip(scores, counted, strict=True) if counts_here]
        faces += [face for face, counts_here in zip(labelled, counted, strict=True) if counts_here]
        false += wrong
    return Tally(
        np.array(by_face, np.float32),
        np.array([face.side for face in faces], np.float32),
        [face.masked for face in faces],
        np.array(false, np.float32),
        len(truth),
    )


def _match(
    faces: Sequence[LabelledObject], counted: Sequence[bool], found: Detections, match_iou: float
) -> tuple[list[float], list[float]]:
    """For each face the score of its box, 0 without one; and the scores of false boxes."""
    by_face = [0.0] * len(faces)
    if not faces:
        return by_face, found.scores.tolist()
    overlap = geometry.iou(found.boxes, np.array([face.box for face in faces], np.float32))
    false = []
    for score, row in zip(found.scores.tolist(), overlap, strict=True):  # best first
        face = int(row.argmax())
        if row[face] < match_iou or (counted[face] and by_face[face] > 0):
            false.append(score)
        elif counted[face]:
            by_face[face] = score
    return by_face, false


def counts(face: LabelledObject) -> bool:
    """Whether a face must be found: all figures but average precision."""
    return not face.ignore and face.side >= MIN_SIDE


def at_score(counted: Tally, score: float) -> AtScore:
    """Figures of the boxes of this score and more."""
    hit = counted.found >= score
    masked = np.array([value is True for value in counted.masked], bool)
    unmasked = np.array([value is False for value in counted.masked], bool)
    false = int((counted.false >= score).sum())
    return AtScore(
        score=score,
        all=_found(hit, np.ones(len(hit), bool)),
        precision=_share(int(hit.sum()), int(hit.sum()) + false),
        false_per_picture=round(counted.false_per_picture(score), 4),
        by_size={
            name: _found(hit, (counted.sides >= low) & (counted.sides < high))
            for name, (low, high) in SIZES.items()
        },
        masked=_found(hit, masked),
        unmasked=_found(hit, unmasked),
    )


def _found(hit: Any, which: Any) -> Found:
    faces, found = int(which.sum()), int((hit & which).sum())
    return Found(found=found, faces=faces, recall=_share(found, faces))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def at_rate(counted: Tally, rate: float) -> AtRate:
    """Recall with at most ``rate`` false boxes per picture: that of all boxes stronger than the first false
    one that is too many."""
    allowed = int(rate * counted.pictures + 1e-9)  # 0.3 is a little less than that
    false = np.sort(counted.false)[::-1]
    above = float(false[allowed]) if len(false) > allowed else None
    hits = int((counted.found > (above or 0)).sum())
    return AtRate(false_per_picture=rate, recall=_share(hits, len(counted.found)), above=above)


def sweep(counted: Tally) -> list[Point]:
    """Figures at each threshold of ``GRID``."""
    points = (at_score(counted, score) for score in GRID)
    return [
        Point(
            score=p.score, recall=p.all.recall, precision=p.precision, false_per_picture=p.false_per_picture
        )
        for p in points
    ]


def recommend(counted: Tally, lowest: float, where: str) -> Recommended:
    """Choose a threshold: recall first.

    Of the thresholds of ``GRID`` from ``lowest`` on with no more than ``MAX_FALSE`` false boxes per picture,
    the largest whose recall is at most ``MARGIN`` below the best of theirs. ``lowest`` is the threshold
    below which some picture overflowed: the box would drop such a frame. ``where`` names the pictures.
    """
    allowed = [score for score in GRID if score >= lowest and counted.false_per_picture(score) <= MAX_FALSE]
    hits = {score: int((counted.found >= score).sum()) for score in allowed}
    best, faces = max(hits.values(), default=0), len(counted.found)
    if not best:
        return none_recommended(
            f"on {where} no threshold from {lowest:g} on finds a face with up to {MAX_FALSE:g} false boxes "
            "a picture"
        )
    score = max(score for score in allowed if hits[score] >= best - MARGIN * faces)
    false = counted.false_per_picture(score)
    return Recommended(
        score=score,
        recall=counted.recall(score),
        false_per_picture=round(false, 4),
        reason=f"recall first: on {where} with {faces} faces (IoU {MATCH_IOU}, faces of {MIN_SIDE} px or "
        f"more) recall is {hits[score] / faces:.3f} with {false:.2f} false boxes per picture; the best with "
        f"up to {MAX_FALSE:g} is {best / faces:.3f} at {allowed[0]:g}",
    )


def none_recommended(reason: str) -> Recommended:
    """No threshold, and why."""
    return Recommended(score=None, recall=None, false_per_picture=None, reason=reason)


def wider_precision(
    truth: Sequence[Sequence[LabelledObject]], found: Sequence[Detections]
) -> dict[str, float | None]:
    """Average precision by level as WIDER FACE's evaluation has it (Yang et al., CVPR 2016): overlap 0.5, and
    faces of other levels ignored. Its MATLAB code takes 1000 thresholds and counts boxes to the last pixel
    inclusive; here every score is a threshold."""
    return {
        level: average_precision(tally(truth, found, partial(_in_level, level), WIDER_IOU))
        for level in LEVELS
    }


def _in_level(level: str, face: LabelledObject) -> bool:
    return level in face.sets


def average_precision(counted: Tally) -> float | None:
    """Area below precision over recall, where precision is the best at that recall or more (as the
    PASCAL VOC devkit defines it since 2010); None without faces."""
    if not len(counted.found):
        return None
    right = counted.found[counted.found > 0]
    scores = np.unique(np.concatenate([right, counted.false]))[::-1]
    hits = len(right) - np.searchsorted(np.sort(right), scores)
    wrong = len(counted.false) - np.searchsorted(np.sort(counted.false), scores)
    best = np.maximum.accumulate((hits / (hits + wrong))[::-1])[::-1]
    return round(float((np.diff(hits, prepend=0) * best).sum()) / len(counted.found), 4)
