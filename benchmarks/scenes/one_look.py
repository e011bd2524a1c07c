"""What detectors miss in one look at each scene, without hold, tiles or a second try.

A face is found from an overlap (IoU) of ``FOUND_IOU`` with any box on: that much is covered once the box has
its margins. A box that overlaps no face by as much is false, except beside a face that need not be found
(``ignore``): there its centre may lie inside. Each detector's box may find several faces, and several boxes
one face.

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


def look(scenes: Sequence[Scene], finders: Sequence[tuple[Finder, list[float]]]) -> list[Look]:
    """Show each scene to each detector; the scores are those to report.

    The first detector at its first score is the reference: the others are allowed as many false boxes.
    Raises DetectionError, and DetectorError when the reference overflows at that score.
    """
    found: list[list[Detections]] = [[] for _ in finders]
    lowest = [0.0] * len(finders)
    seconds: list[list[float]] = [[] for _ in finders]
    for number, scene in enumerate(scenes):
        print(f"\rscene {number + 1} of {len(scenes)}", end="", file=sys.stderr, flush=True)
        for place in np.roll(np.arange(len(finders)), number).tolist():
            detections, complete, took = finders[place][0].find(scene.pixels)
            found[place].append(detections)
            lowest[place] = max(lowest[place], complete)
            seconds[place].append(took)
    print(file=sys.stderr)
    judged = [judge(scenes, each, low) for each, low in zip(found, lowest, strict=True)]
    first, scores = finders[0]
    if scores[0] < lowest[0]:
        raise DetectorError(
            f"detector {first.name}, the reference, returns too few boxes for these scenes at {scores[0]:g}; "
            f"give --reference a score of {lowest[0]:g} or more"
        )
    rate = judged[0].point(scores[0]).false_per_scene
    return [
        Look(
            name=finder.name,
            sha256=finder.sha256,
            canvas=finder.canvas,
            milliseconds=round(float(np.median(times)) * 1000, 1),
            lowest=judgement.lowest,
            ap75=_precision(scenes, boxes),
            points=[judgement.point(score) for score in wanted if score >= judgement.lowest],
            overflowing=[score for score in wanted if score < judgement.lowest],
            at_reference=judgement.at_rate(rate),
            curve=[judgement.at_rate(each) for each in FALSE_RATES],
        )
        for (finder, wanted), judgement, boxes, times in zip(finders, judged, found, seconds, strict=True)
    ]


def judge(scenes: Sequence[Scene], found: Sequence[Detections], lowest: float) -> Judged:
    """Judge the boxes of each scene; those below ``lowest`` do not count."""
    faces: list[LabelledObject] = []
    best: list[float] = []
    false: list[float] = []
    for scene, detections in zip(scenes, found, strict=True):
        detections = detections.at_least(lowest)
        overlap = geometry.iou(detections.boxes, scene.boxes)
        hits = overlap >= FOUND_IOU
        by_face = np.where(hits, detections.scores[:, None], 0).max(axis=0, initial=0)
        counted = [counts(face) for face in scene.faces]
        faces += [face for face, good in zip(scene.faces, counted, strict=True) if good]
        best += by_face[np.array(counted, bool)].tolist()
        ignored = np.array([face.ignore for face in scene.faces], bool)
        beside = hits.any(axis=1) | _centre_inside(detections.boxes, scene.boxes[ignored])
        false += detections.scores[~beside].tolist()
    return Judged(
        faces,
        np.array(best, np.float32),
        np.sort(np.array(false, np.float32))[::-1],
        lowest,
        len(scenes),
    )


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
