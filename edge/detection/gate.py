"""The change gate: what of a frame must be looked at, because something has changed there.

Cameras of such boxes hang on walls, and most of what they see stands still. For each view the gate keeps the
means of small blocks as they were when they were last looked at. Where no block differs from that by more
than the camera's noise, what was found then is still there. Where one does, that place is looked at again,
with so much around it that every face that touches it is seen whole. Every part is looked at after
``sweep_seconds`` at the latest. Only a look replaces the means that are compared with, so a face that fades
in slowly is seen once it has changed the picture.

The limit follows the noise, so that a face which the detector would find in it changes a block by more
(tests/detection/test_gate_faces.py). It is never above ``MOST_LEVELS``: what a noisier camera shows is looked
at all the time. Where a part of the picture flickers, its limit is that of the whole picture, and elsewhere a
face of less than a tenth of the usual contrast may wait for the sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from edge.boxes import NO_BOXES
from edge.detection.blocks import Blocks, Mask
from edge.detection.detector import Detections
from edge.detection.joint import AnyDetector
from edge.detection.views import Search, View
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason

LEAST_LEVELS, MOST_LEVELS = 2, 6
"""Lowest and highest limit for the change of a block's mean (blue, green or red, of 255)."""
NOISE_SHARE, NOISE_FACTOR = 99.9, 1.25
"""The noise is what this share (percent) of the still blocks does not exceed from one frame to the next; the
limit is so many times that."""
NOISE_MEMORY = 0.9
"""Weight of earlier frames in the noise."""
NEAR = np.ones((9, 9), np.uint8)
"""Blocks so near to one that has surely changed are not still."""
FEW_BLOCKS = 1000
"""The noise is not measured on fewer still blocks than this."""
PART_SIDE = 420
"""Longest side of the parts that are swept one after the other, in pixels of the canvas."""
SWEEP_SPREAD = 0.5
"""Parts fall due within this last share of ``sweep_seconds``, each at its own time, to spread the cost."""

_NOTHING = Detections(NO_BOXES, np.zeros(0, np.float32))
_NO_MEANS: Pixels = np.zeros((0, 0, 3), np.uint8)


@dataclass(eq=False)
class Level:
    """One view with what is known of it.

    ``reference`` holds the means of its blocks at their last look, ``unknown`` marks those that must be
    looked at anyway, ``due`` says when each of the ``parts`` is (seconds), and ``found`` is what there is.
    """

    view: View
    reference: Pixels
    unknown: Mask
    parts: list[tuple[slice, slice]]
    due: npt.NDArray[np.float64]
    found: Detections = _NOTHING


@dataclass(frozen=True, eq=False)
class Plan:
    """One frame: the ``views`` to look at, the level of each (``owners``), and the blocks of each level that
    are looked at (``masks``).

    ``looked``, ``kept`` and ``swept`` are numbers of parts. Those looked at have changed or are due; nothing
    has changed in those of them that are swept.
    """

    views: tuple[View, ...]
    owners: tuple[int, ...]
    masks: tuple[Mask, ...]
    levels: list[Level]
    looked: int
    kept: int
    swept: int

    def after(self, earlier: Plan | None) -> Plan:
        """This plan with what an earlier one of the same levels looked at."""
        if earlier is None or earlier.levels is not self.levels:
            return self
        masks = zip(self.masks, earlier.masks, strict=True)
        return replace(self, masks=tuple(mask | other for mask, other in masks))


class _Noise:
    """What changes between frames without a cause: ``levels`` of a block's mean, None until it is known."""

    def __init__(self) -> None:
        self.levels: float | None = None
        self._last: Pixels | None = None

    def measure(self, means: Pixels) -> None:
        """Compare the means with those of the frame before."""
        before, self._last = self._last, means
        if before is None or before.shape != means.shape:
            return
        change = _change(means, before)
        still = change[cv2.dilate((change > MOST_LEVELS).astype(np.uint8), NEAR) == 0]
        if still.size >= FEW_BLOCKS:
            now = float(np.percentile(still, NOISE_SHARE))
            before_this = now if self.levels is None else self.levels
            self.levels = NOISE_MEMORY * before_this + (1 - NOISE_MEMORY) * now


class UnsearchedError(DetectionError):
    """Something that a frame keeps has not been searched since it changed."""


class Gate:
    """What to look at in the frames of one camera.

    ``plan``, ``settle`` and ``fail`` are called from one thread, in the order of the frames; a frame may be
    planned before earlier ones are settled.
    """

    def __init__(self, detector: AnyDetector, search: Search, sweep_seconds: float) -> None:
        """``sweep_seconds`` 0: everything is looked at in every frame."""
        self.blocks = Blocks(search.smallest_face)
        self._detector, self._search, self._sweep = detector, search, sweep_seconds
        self._noise = _Noise()
        self._levels: list[Level] = []
        self._size = (0, 0)
        self._last_seconds = self._gap = 0.0

    @property
    def noise(self) -> float | None:
        """By how much a block's mean changes between frames without a cause, in levels; None: unknown."""
        return self._noise.levels

    @property
    def limit(self) -> float:
        """Change of a block's mean, in levels, above which it is looked at again."""
        return min(max(NOISE_FACTOR * (self.noise or 0.0), LEAST_LEVELS), MOST_LEVELS)

    def forget(self) -> None:
        """Begin anew: what was found so far cannot be relied on."""
        self._levels = []

    def plan(self, pixels: Pixels, seconds: float) -> Plan:
        """What to look at in uint8 ``[H, W, 3]`` BGR, taken at ``seconds`` of the source's clock.

        A frame of another size, or a clock that goes back, begins anew.
        """
        height, width = pixels.shape[:2]
        if self._sweep <= 0:
            return self._all_of(width, height)
        means = self.blocks.means(pixels)
        if not self._levels or (width, height) != self._size or seconds < self._last_seconds:
            self._begin(width, height, means, seconds)
        self._gap, self._last_seconds = seconds - self._last_seconds, seconds
        masks, views, counts = [], [], np.zeros(3, np.int64)
        for level in self._levels:
            mask, group, counted = self._to_look_at(level, means, seconds)
            masks.append(mask)
            views.append(group)
            counts += counted
        # Afterwards: what has just appeared must not set the limit that it has to exceed.
        self._noise.measure(means)
        return Plan(
            tuple(view for group in views for view in group),
            tuple(number for number, group in enumerate(views) for _ in group),
            tuple(masks),
            self._levels,
            *counts.tolist(),
        )

    def settle(self, plan: Plan, found: Sequence[Detections]) -> list[Detections]:
        """What is in each level of a frame, given what was found in the views that were looked at.

        Raises UnsearchedError where something that the frame keeps has not been searched since it changed.
        """
        known = True
        for number, (level, mask) in enumerate(zip(plan.levels, plan.masks, strict=True)):
            # What touches nothing for which this part was looked at may be cut off here; it is known already,
            # or another part shows it whole.
            fresh = [
                self._chosen(level, each, self.blocks.seen_by(part, level.view, mask), touching=True)
                for each, part, owner in zip(found, plan.views, plan.owners, strict=True)
                if owner == number
            ]
            level.found = _together([self._chosen(level, level.found, mask, touching=False), *fresh])
            level.unknown &= ~mask
            known = known and not level.unknown.any()
        if not known:
            raise UnsearchedError(
                Reason.DETECTOR_ERROR, "a part in which nothing has changed could not be searched before"
            )
        return [level.found for level in plan.levels]

    @staticmethod
    def fail(plan: Plan, error: Exception | None = None) -> None:
        """Looking at a frame has failed: what was to be looked at in it must be looked at again. Not after
        ``settle`` has refused the frame: what was looked at is settled then."""
        if isinstance(error, UnsearchedError):
            return
        for level, mask in zip(plan.levels, plan.masks, strict=True):
            level.unknown |= mask

    def _all_of(self, width: int, height: int) -> Plan:
        """A look at everything. Nothing is compared, so what the blocks show does not matter."""
        self._begin(width, height, None, 0.0)
        return Plan(
            tuple(level.view for level in self._levels),
            tuple(range(len(self._levels))),
            tuple(level.unknown.copy() for level in self._levels),
            self._levels,
            sum(len(level.parts) for level in self._levels),
            0,
            0,
        )

    def _begin(self, width: int, height: int, means: Pixels | None, seconds: float) -> None:
        self._size, self._last_seconds = (width, height), seconds
        self._levels = []
        for view in self._detector.views(width, height, self._search):
            parts = _parts(view, self.blocks.nothing(view).shape)
            due = np.full(len(parts), seconds)
            unknown = ~self.blocks.nothing(view)
            reference = _NO_MEANS if means is None else means[self.blocks.of(view)].copy()
            self._levels.append(Level(view, reference, unknown, parts, due))

    def _to_look_at(
        self, level: Level, means: Pixels, seconds: float
    ) -> tuple[Mask, list[View], tuple[int, int, int]]:
        """The blocks of a level to look at, the views for that, and how many parts are looked at, kept and
        swept.

        These blocks count as looked at from now on.
        """
        now = means[self.blocks.of(level.view)]
        changed = (_change(now, level.reference) > self.limit) | level.unknown
        mask = changed.copy()
        for part, due in zip(level.parts, level.due, strict=True):
            mask[part] |= seconds + self._gap > due
        views = self.blocks.views(self._detector, level.view, mask)
        if any(_covers(view, level.view) for view in views):
            mask[:] = True  # what is found anywhere in it counts, also where nothing has changed
        looked = swept = 0
        for number, part in enumerate(level.parts):
            looked += bool(mask[part].any())
            swept += bool(mask[part].any() and not changed[part].any())
            if mask[part].all():
                level.due[number] = seconds + self._interval(number, len(level.parts))
        cv2.copyTo(now, mask.view(np.uint8), level.reference)  # a twentieth of the time of an index
        return mask, views, (looked, len(level.parts) - looked, swept)

    def _interval(self, number: int, parts: int) -> float:
        """After how many seconds a part is looked at although nothing has changed."""
        return self._sweep * (1 - SWEEP_SPREAD * number / parts)

    def _chosen(self, level: Level, found: Detections, mask: Mask, *, touching: bool) -> Detections:
        chosen = self.blocks.touching(level.view, found.boxes, mask) == touching
        by = None if found.by is None else found.by[chosen]
        return Detections(found.boxes[chosen], found.scores[chosen], by)


def _change(first: Pixels, second: Pixels) -> Pixels:
    """The largest difference of the three colours, uint8 ``[rows, columns]``."""
    blue, green, red = cv2.split(cv2.absdiff(first, second))
    return np.asarray(cv2.max(cv2.max(blue, green), red), np.uint8)


def _covers(view: View, other: View) -> bool:
    """Whether a view shows the whole rectangle of another."""
    return (view.x1, view.y1, view.x2, view.y2) == (other.x1, other.y1, other.x2, other.y2)


def _parts(view: View, shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Divide the blocks of a view into parts that are swept one after the other."""
    rows, columns = (
        max(1, -(-inner // PART_SIDE)) for inner in (view.letterbox.inner_height, view.letterbox.inner_width)
    )
    if view.margin >= max(view.x2 - view.x1, view.y2 - view.y1):  # looking at a part is looking at all of it
        rows = columns = 1
    tall, wide = -(-shape[0] // rows), -(-shape[1] // columns)
    return [
        (slice(top, top + tall), slice(left, left + wide))
        for top in range(0, shape[0], tall)
        for left in range(0, shape[1], wide)
    ]


def _together(found: Sequence[Detections]) -> Detections:
    numbered = any(each.by is not None for each in found if len(each.boxes))
    return Detections(
        np.concatenate([each.boxes for each in found]),
        np.concatenate([each.scores for each in found]),
        np.concatenate([each.numbers for each in found]) if numbered else None,
    )
