"""The known face: a detector that does not find it is not trusted to find others.

The detector of ``[detector]`` must find the shipped face, a further one something on its own example.

The daemon checks it before it starts, at intervals and at the end; what follows from a failure is in
edge/daemon/pipeline.py.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from edge import boxes as geometry
from edge.detection.joint import AnyDetector, Detectors, Member
from edge.errors import DetectionError, KnownFaceError
from edge.frames import Pixels
from edge.pictures import read_picture

PICTURE = "astronaut.jpg"
EXPECTED = np.array([[181, 58, 270, 178]], np.float32)
"""The face in the shipped picture (512x512 pixels), ``x1 y1 x2 y2``; see edge/data/PROVENANCE.md."""
MIN_IOU = 0.5


def check(detector: AnyDetector) -> float:
    """Detect the known face with the code that camera frames go through; return its overlap (IoU).

    Of several detectors, those that have an example must find something on it, too. Raises KnownFaceError
    when the face is not found where it is, or nothing on an example, and PictureError when the picture of the
    face cannot be read.
    """
    if isinstance(detector, Detectors):
        overlap = check(detector.members[0].detector)
        for member in detector.members[1:]:
            check_example(member)
        return overlap
    try:
        found = detector.detect(_pixels())
    except DetectionError as error:
        raise KnownFaceError(f"detection of the known face failed: {error}") from error
    strong = found.at_least(detector.score_begin)
    best = float(geometry.iou(strong.boxes, EXPECTED).max(initial=0))
    if not best >= MIN_IOU:  # also for NaN
        raise KnownFaceError(
            f"detector {detector.session.name} on {detector.session.provider} does not find the known "
            f"face (best overlap {best:.2f}, expected {MIN_IOU} or more); it must not be trusted: check its "
            "thresholds and provider, or convert it again"
        )
    return best


def check_example(member: Member) -> None:
    """Run a further detector on its example, if it has one. Raises KnownFaceError when it finds nothing."""
    if member.example is None:
        return
    try:
        found = member.detector.detect(member.example)
    except DetectionError as error:
        raise KnownFaceError(f"detector {member.name} failed on its example: {error}") from error
    best = float(found.scores.max(initial=0))
    if not best >= member.detector.score_begin:  # also for NaN
        raise KnownFaceError(
            f"detector {member.name} on {member.detector.session.provider} finds nothing on its example "
            f"(best score {best:.2f}, expected {member.detector.score_begin:.2f} or more); it must not be "
            f"trusted: check its thresholds and provider, and detectors.{member.name}.example"
        )


@cache
def _pixels() -> Pixels:
    """The picture, uint8 ``[512, 512, 3]`` BGR, read-only. It is read once per process, because a disk that
    fails later has nothing to do with the detector. Raises PictureError."""
    pixels = read_picture(Path(str(resources.files("edge") / "data" / PICTURE))).pixels
    pixels.setflags(write=False)
    return pixels
