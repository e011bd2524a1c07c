"""The last look: is a face still to be found on the image that is about to be stored?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge import blur
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.detection.detector import Detector
from edge.errors import DetectionError
from edge.frames import AnonymizedFrame, RawFrame
from edge.reasons import Reason

GROWTH = 0.5
"""A face that is found after blurring is covered with so much more, as a share of its sides."""


@dataclass(frozen=True, eq=False)
class LastLook:
    """``frame`` may be stored. ``regrown``: a face was found and more was covered; ``escalated``: that
    did not help, so all of the frame is covered."""

    frame: AnonymizedFrame
    regrown: bool = False
    escalated: bool = False


def last_look(
    raw: RawFrame,
    safe: AnonymizedFrame,
    boxes: Floats,
    detector: Detector,
    config: BlurConfig,
    zones: blur.Zones = (),
) -> LastLook:
    """Look for faces on ``safe``, which was made of ``raw`` by covering ``boxes`` and ``zones``.

    ``boxes`` is float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels). A detection of ``score_last_look`` or
    more grows the region once, then covers all of the frame. Raises DetectionError when the detector fails:
    then nothing is known about the image.
    """
    if safe.whole:
        return LastLook(safe)
    found = detector.detect(safe.pixels).at_least(detector.score_last_look).boxes
    if not len(found):
        return LastLook(safe)
    more = np.concatenate([boxes, geometry.grow(found, GROWTH, GROWTH, GROWTH)]).astype(np.float32)
    try:
        again = blur.anonymize(raw, more, config, zones)
    except Exception as error:
        raise DetectionError(Reason.BLUR_ERROR, f"{type(error).__name__}: {error}") from error
    if len(detector.detect(again.pixels).at_least(detector.score_last_look).boxes):
        return LastLook(blur.cover_whole(raw), regrown=True, escalated=True)
    return LastLook(again, regrown=True)
