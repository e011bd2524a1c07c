"""The known face: a detector that does not find it is not trusted with unknown ones."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from edge import boxes as geometry
from edge.detection.detector import Detector
from edge.errors import DetectionError, KnownFaceError
from edge.frames import Pixels
from edge.pictures import read_picture

PICTURE = "astronaut.jpg"
EXPECTED = np.array([[181, 58, 270, 178]], np.float32)
"""Where the face is in the shipped picture (512x512), ``x1 y1 x2 y2``; see edge/data/PROVENANCE.md."""
MIN_IOU = 0.5


def check(detector: Detector) -> float:
    """Look for the known face through the same path as camera frames; return its overlap (IoU).

    Raises KnownFaceError when it is not found where it is.
    """
    try:
        found = detector.detect(_pixels())
    except DetectionError as error:
        raise KnownFaceError(f"the known face cannot be looked for: {error}") from error
    strong = found.at_least(detector.score_begin)
    best = float(geometry.iou(strong.boxes, EXPECTED).max(initial=0))
    if not best >= MIN_IOU:  # also for NaN
        raise KnownFaceError(
            f"detector {detector.session.name} on {detector.session.provider} does not find the known "
            f"face (best overlap {best:.2f}, wanted {MIN_IOU}); it must not be trusted: check its "
            "thresholds and provider, or make it again"
        )
    return best


@cache
def _pixels() -> Pixels:
    """The picture, uint8 ``[512, 512, 3]`` BGR, read-only. It is read once per process: a disk that fails
    later says nothing about the detector. Raises PictureError."""
    pixels = read_picture(Path(str(resources.files("edge") / "data" / PICTURE))).pixels
    pixels.setflags(write=False)
    return pixels
