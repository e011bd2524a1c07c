"""Objects that nobody labelled: what a network is sure of before training becomes a label.

Sets of pictures lack labels of many faces, and a network that is punished for each of them learns to miss
such faces elsewhere, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convert.graphs import Array
from convert.training.detect import NetworkDetector
from convert.training.samples import Kind, Pictures, Sample
from edge import boxes as geometry

SURE, UNSURE = 0.5, 0.25
"""A detection from the first score on becomes a label; from the second on it is ignored."""
SAME = 0.2
"""Overlap (IoU) from which a detection is of an object that is labelled."""
SCALES = (1.0, 2.0)
"""Small faces are found on the enlarged picture."""


def complete(samples: Sequence[Sample], detector: NetworkDetector) -> tuple[list[Sample], int]:
    """The samples with what the detector is sure of, and the number of objects that this added."""
    pictures, completed, added = Pictures(), [], 0
    for sample in samples:
        boxes, scores = _unlabelled(sample, pictures.read(sample.path), detector)
        sure = scores >= SURE
        added += int(sure.sum())
        completed.append(
            sample.with_objects(boxes[sure], Kind.PLAIN).with_objects(boxes[~sure], Kind.IGNORED)
        )
    return completed, added


def _unlabelled(sample: Sample, picture: Array, detector: NetworkDetector) -> tuple[Array, Array]:
    boxes, scores = sample.boxes, np.ones(len(sample.boxes), np.float32)
    for scale in SCALES:
        found = detector.detect(picture, scale).at_least(UNSURE)
        new = geometry.iou(found.boxes, boxes).max(axis=1, initial=0.0) < SAME
        boxes = np.concatenate([boxes, found.boxes[new]])
        scores = np.concatenate([scores, found.scores[new]])
    return boxes[len(sample.boxes) :], scores[len(sample.boxes) :]
