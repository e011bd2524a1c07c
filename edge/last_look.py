"""The last look: detection on an image just before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge import blur
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.detection.blocks import Blocks, Mask
from edge.detection.detector import EVERYTHING, Detections
from edge.detection.gate import Level, Plan
from edge.detection.joint import AnyDetector, kinds_of
from edge.detection.kinds import Kind
from edge.detection.views import Search, View
from edge.errors import BlurError
from edge.frames import AnonymizedFrame, RawFrame

GROWTH = 0.5
"""How far each edge of a box that is found on the image moves outward, as a share of the box's side."""


@dataclass(frozen=True, eq=False)
class Cover:
    """What is covered in a frame, and how: ``boxes``, float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), and
    ``zones``. ``kinds`` says what each box is (empty: all are faces)."""

    frame: RawFrame
    boxes: Floats
    config: BlurConfig
    zones: blur.Zones = ()
    kinds: Sequence[Kind] = ()

    def image(self) -> AnonymizedFrame:
        """The frame with all of that covered."""
        return blur.anonymize(self.frame, self.boxes, self.config, self.zones, kinds=self.kinds)

    def more(self, boxes: Floats, kinds: Sequence[Kind]) -> Cover:
        """This and further boxes."""
        both = np.concatenate([self.boxes, boxes]).astype(np.float32)
        return replace(self, boxes=both, kinds=(*self.kinds, *kinds))


@dataclass(frozen=True, eq=False)
class LastLook:
    """What came of a last look: ``frame`` may be stored.

    ``regrown`` says that a face was found and more was covered, ``escalated`` that a face was found even
    then, so that the whole frame is covered.
    """

    frame: AnonymizedFrame
    regrown: bool = False
    escalated: bool = False


class Unpassed:
    """What of one camera's images the last look has not passed yet.

    Where nothing has changed since it passed, and the same areas are covered, an image shows what it showed
    then.
    """

    def __init__(self) -> None:
        self._levels: list[Level] = []
        self._masks: list[Mask] = []
        self._areas: set[tuple[int, ...]] = set()

    def forget(self) -> None:
        """Nothing counts as passed any more."""
        self._levels = []

    def add(self, plan: Plan) -> None:
        """A frame was looked at as planned: what it shows there has not passed yet."""
        if plan.levels is not self._levels:
            self._levels, self._areas = plan.levels, set()
            self._masks = [np.ones_like(mask) for mask in plan.masks]
        for mask, looked in zip(self._masks, plan.masks, strict=True):
            mask |= looked

    def views(self, image: AnonymizedFrame, detector: AnyDetector, blocks: Blocks) -> list[View]:
        """In which views the last look must search an image of the frame that was added last."""
        areas = {tuple(area) for area in image.areas.tolist()}
        other = np.array(sorted(areas ^ self._areas), np.int64).reshape(-1, 4)
        self._areas = areas
        for level, mask in zip(self._levels, self._masks, strict=True):
            for cell in blocks.cells(level.view, other):
                mask[cell] = True
        pairs = zip(self._levels, self._masks, strict=True)
        return [view for level, mask in pairs for view in blocks.views(detector, level.view, mask)]

    def passed(self) -> None:
        """The last look has searched all that had not passed, and has found nothing."""
        for mask in self._masks:
            mask[:] = False


def take_last_look(
    cover: Cover,
    image: AnonymizedFrame,
    detector: AnyDetector,
    search: Search = EVERYTHING,
    views: Sequence[View] | None = None,
) -> LastLook:
    """Detect faces on ``image``, which is that of ``cover``.

    It is searched in ``views`` (None: all those of ``search``). Faces, and whatever else is detected, with a
    score of ``score_last_look`` or more are covered too, with a margin; if there are any on the image after
    that, the whole frame is covered. Raises DetectionError when the detector fails and BlurError when
    covering more fails: then nothing is known about the image.
    """
    if image.whole:
        return LastLook(image)
    everywhere = detector.views(cover.frame.width, cover.frame.height, search)
    found = _found(detector, image, everywhere if views is None else views)
    if not len(found.boxes):
        return LastLook(image)
    grown = geometry.grow(found.boxes, GROWTH, GROWTH, GROWTH)
    try:
        regrown = cover.more(grown, kinds_of(detector, found.numbers)).image()
    except Exception as error:
        raise BlurError(f"{type(error).__name__}: {error}") from error
    if len(_found(detector, regrown, everywhere).boxes):
        return LastLook(blur.cover_whole(cover.frame), regrown=True, escalated=True)
    return LastLook(regrown, regrown=True)


def _found(detector: AnyDetector, image: AnonymizedFrame, views: Sequence[View]) -> Detections:
    """Faces on an image that count, in these views."""
    height, width = image.pixels.shape[:2]
    found = detector.combine(detector.look(image.pixels, views), width, height)
    return found.at_least(detector.score_last_look)
