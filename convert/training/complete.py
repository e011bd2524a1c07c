"""Objects that nobody labelled: what a network is sure of before training becomes a label.

Sets of pictures lack labels of many faces, and a network that is punished for each of them learns to miss
such faces elsewhere, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from convert.graphs import Array
from convert.training.samples import Kind, Pictures, Sample
from edge import boxes as geometry
from edge.detection.detector import Detections

SURE, UNSURE = 0.5, 0.25
"""A detection from the first score on becomes a label; from the second on it is ignored."""
SAME = 0.2
"""Overlap (IoU) from which a detection is of an object that is labelled."""
SCALES = (1.0, 2.0)
"""Small faces are found on the enlarged picture."""
MOST_PIXELS = 1 << 23
"""A picture is not enlarged beyond this size: the maps of a network would fill the memory."""


def complete(samples: Sequence[Sample], detect: Callable[[Array], Detections]) -> tuple[list[Sample], int]:
    """The samples with what a detector is sure of, and the number of objects that this added.

    ``detect`` finds boxes in uint8 ``[H, W, 3]`` RGB.
    """
    pictures, completed, added = Pictures(), [], 0
    for sample in samples:
        boxes, scores = _unlabelled(sample, pictures.read(sample.path), detect)
        sure = scores >= SURE
        added += int(sure.sum())
        completed.append(
            sample.with_objects(boxes[sure], Kind.PLAIN).with_objects(boxes[~sure], Kind.IGNORED)
        )
    return completed, added


def _unlabelled(sample: Sample, picture: Array, detect: Callable[[Array], Detections]) -> tuple[Array, Array]:
    boxes, scores = sample.boxes, np.ones(len(sample.boxes), np.float32)
    for scale in SCALES:
        if scale > 1 and picture.shape[0] * picture.shape[1] * scale**2 > MOST_PIXELS:
            continue
        enlarged = picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale)
        found = detect(np.asarray(enlarged)).at_least(UNSURE)
        placed = found.boxes / np.float32(scale)
        new = geometry.iou(placed, boxes).max(axis=1, initial=0.0) < SAME
        boxes = np.concatenate([boxes, placed[new]])
        scores = np.concatenate([scores, found.scores[new]])
    return boxes[len(sample.boxes) :], scores[len(sample.boxes) :]
