"""The last look: detection on an image just before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge import blur
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.detection.joint import AnyDetector, kinds_of
from edge.detection.kinds import Kind
from edge.errors import BlurError
from edge.frames import AnonymizedFrame, RawFrame

GROWTH = 0.5
"""How far each edge of a box that is found on the image moves outward, as a share of the box's side."""


@dataclass(frozen=True, eq=False)
class LastLook:
    """What came of a last look: ``frame`` may be stored.

    ``regrown`` says that a face was found and more was covered, ``escalated`` that a face was found even
    then, so that the whole frame is covered.
    """

    frame: AnonymizedFrame
    regrown: bool = False
    escalated: bool = False


def take_last_look(
    raw: RawFrame,
    image: AnonymizedFrame,
    boxes: Floats,
    detector: AnyDetector,
    config: BlurConfig,
    zones: blur.Zones = (),
    kinds: Sequence[Kind] = (),
) -> LastLook:
    """Detect faces on ``image``, which was made of ``raw`` by covering ``boxes`` and ``zones``.

    ``boxes`` is float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), and ``kinds`` says what each of them is (empty:
    all are faces). Faces, and whatever else is detected, with a score of ``score_last_look`` or more are
    covered too, with a margin; if there are any on the image after that, the whole frame is covered.
    Raises DetectionError when the detector fails and BlurError when covering more fails: then nothing is
    known about the image.
    """
    if image.whole:
        return LastLook(image)
    found = detector.detect(image.pixels).at_least(detector.score_last_look)
    if not len(found.boxes):
        return LastLook(image)
    more = np.concatenate([boxes, geometry.grow(found.boxes, GROWTH, GROWTH, GROWTH)]).astype(np.float32)
    all_kinds = (*kinds, *kinds_of(detector, found.numbers))
    try:
        regrown = blur.anonymize(raw, more, config, zones, kinds=all_kinds)
    except Exception as error:
        raise BlurError(f"{type(error).__name__}: {error}") from error
    if len(detector.detect(regrown.pixels).at_least(detector.score_last_look).boxes):
        return LastLook(blur.cover_whole(raw), regrown=True, escalated=True)
    return LastLook(regrown, regrown=True)
