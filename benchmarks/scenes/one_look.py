"""What detectors miss in one look at each scene, without hold, tiles or a second try.

A face is found from an overlap (IoU) of ``FOUND_IOU`` with any box on: that much is covered once the box has
its margins. A box is false when it overlaps no labelled face by as much and its centre lies in none, whether
that face counts or not. One box may find several faces, and several boxes one face.

All detectors see a scene before any sees the next, so that their times can be compared.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.scenes.detectors import Finder
from benchmarks.scenes.labels import AddedFace
from benchmarks.scenes.packing import Scene
from benchmarks.scenes.result import FALSE_RATES, AtRate, Look, Missed, Point, counts, size_class
from convert.training.coco_figures import coco_precision
from convert.training.datasets import LabelledObject
from edge import boxes as geometry
from edge.boxes import Floats
from edge.detection.detector import Detections
from edge.errors import DetectorError

FOUND_IOU = 0.25


@dataclass(frozen=True, eq=False)
class Judged:
    """``found``: float32 ``[F]``, for each face that counts the score of its best box, 0 without one.
    ``faces`` are the same faces. ``false``: float32 ``[M]``, scores of false boxes, best first. ``lowest``:
    the score from which on these are complete."""

    faces: list[LabelledObject]
    found: Floats
    false: Floats
    lowest: float
    scenes: int

    def counts(self, above: float) -> list[Missed]:
        """Missed faces by size class and mask."""
        bins: dict[tuple[int, int | None, bool | None], list[bool]] = {}
        for face, score in zip(self.faces, self.found.tolist(), strict=True):
            bins.setdefault((*size_class(face.side), face.masked), []).append(score < above)
        return [
            Missed(low=low, high=high, masked=masked, faces=len(missed), missed=sum(missed))
            for (low, high, masked), missed in sorted(bins.items(), key=str)
        ]

    def point(self, score: float) -> Point:
        """Figures of the boxes of this score and more."""
        false = int((self.false >= score).sum())
        return Point(score=score, false_per_scene=round(false / self.scenes, 4), faces=self.counts(score))

    def at_rate(self, rate: float) -> AtRate:
        """Figures of the boxes that are stronger than the first false one that exceeds ``rate`` a scene."""
        allowed = int(rate * self.scenes + 0.01)
        too_many = float(self.false[allowed]) if len(self.false) > allowed else 0.0
        # The next number above it: a score as strong as that box' does not count.
        above = max(self.lowest, float(np.nextafter(np.float32(too_many), np.float32(1))))
        return AtRate(rate=rate, reached=len(self.false) >= allowed, point=self.point(above))


@dataclass(eq=False)
class Seen:
    """What one detector found in each scene, and the seconds of each run. ``scores`` are those to report;
    from ``lowest`` on the detections are complete."""

    finder: Finder
    scores: list[float]
    found: list[Detections]
    seconds: list[float]
    lowest: float = 0.0


def look(scenes: Sequence[Scene], finders: Sequence[tuple[Finder, list[float]]]) -> list[Seen]:
    """Show each scene to each detector. Raises DetectionError."""
    seen = [Seen(finder, scores, [], []) for finder, scores in finders]
    for number, scene in enumerate(scenes):
        print(f"one look at scene {number + 1} of {len(scenes)}", file=sys.stderr, flush=True)
        for place in np.roll(np.arange(len(seen)), number).tolist():
            one = seen[place]
            detections, complete, seconds = one.finder.find(scene.pixels)
            one.found.append(detections)
            one.seconds.append(seconds)
            one.lowest = max(one.lowest, complete)
    return seen


def compare(scenes: Sequence[Scene], seen: Sequence[Seen]) -> list[Look]:
    """Figures of each detector; the first one at its first score is the reference: the others are allowed as
    many false boxes. Raises DetectorError when the reference overflows at that score."""
    first = seen[0]
    if first.scores[0] < first.lowest:
        raise DetectorError(
            f"detector {first.finder.name}, the reference, returns too few boxes for these scenes at "
            f"{first.scores[0]:g}; give --reference a score of {first.lowest:g} or more"
        )
    rate = judge(scenes, first.found, first.lowest).point(first.scores[0]).false_per_scene
    return [_compared(scenes, one, rate) for one in seen]


def _compared(scenes: Sequence[Scene], one: Seen, rate: float) -> Look:
    judged = judge(scenes, one.found, one.lowest)
    return Look(
        name=one.finder.name,
        sha256=one.finder.sha256,
        canvas=one.finder.canvas,
        milliseconds=round(float(np.median(one.seconds)) * 1000, 1),
        lowest=one.lowest,
        ap75=_precision(scenes, one.found),
        points=[judged.point(score) for score in one.scores if score >= one.lowest],
        overflowing=[score for score in one.scores if score < one.lowest],
        at_reference=judged.at_rate(rate),
        curve=[judged.at_rate(each) for each in FALSE_RATES],
    )


def judge(scenes: Sequence[Scene], found: Sequence[Detections], lowest: float) -> Judged:
    """Judge the boxes of each scene; those below ``lowest`` do not count."""
    faces: list[LabelledObject] = []
    best: list[float] = []
    false: list[float] = []
    for scene, detections in zip(scenes, found, strict=True):
        detections = detections.at_least(lowest)
        hits = geometry.iou(detections.boxes, scene.boxes) >= FOUND_IOU
        by_face = np.where(hits, detections.scores[:, None], 0).max(axis=0, initial=0)
        counted = [counts(face) for face in scene.faces]
        faces += [face for face, good in zip(scene.faces, counted, strict=True) if good]
        best += by_face[np.array(counted, bool)].tolist()
        false += detections.scores[is_false(scene, detections.boxes)].tolist()
    return Judged(
        faces,
        np.array(best, np.float32),
        np.sort(np.array(false, np.float32))[::-1],
        lowest,
        len(scenes),
    )


def is_false(scene: Scene, boxes: Floats) -> npt.NDArray[np.bool_]:
    """Which of the boxes (float32 ``[N, 4]``, pixels of the scene) are of no face."""
    found = np.any(geometry.iou(boxes, scene.boxes) >= FOUND_IOU, axis=1)
    return np.asarray(~np.logical_or(found, _centre_inside(boxes, scene.boxes)), np.bool_)


def _centre_inside(boxes: Floats, areas: Floats) -> npt.NDArray[np.bool_]:
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    inside = np.logical_and(centres >= areas[None, :, :2], centres <= areas[None, :, 2:])
    return np.asarray(np.any(np.all(inside, axis=2), axis=1), np.bool_)


def _precision(scenes: Sequence[Scene], found: Sequence[Detections]) -> float | None:
    """COCO's average precision at an overlap of 0.75. Faces that are too small to count are ignored, as are
    those that the set does not label: their boxes are a detector's."""
    truth = [
        [
            dataclasses.replace(face, box=tuple(box), ignore=not counts(face) or isinstance(face, AddedFace))
            for face, box in zip(scene.faces, scene.boxes.tolist(), strict=True)
        ]
        for scene in scenes
    ]
    return coco_precision(truth, found).ap75
