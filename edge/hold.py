"""Hold: a face that the detector misses in some frames stays covered in them.

The detections of one camera are joined with live regions (by overlap, with room for motion). A score of
``score_begin`` begins a region, ``score_continue`` is enough to continue one (hysteresis, as in Canny 1986,
"A Computational Approach to Edge Detection", applied over time). A region without a detection is kept for
``after_seconds``: it covers the hull of its last box and of where that box would be at constant velocity, and
grows with time. Frames wait in a delay line of ``before_frames``, so that a new region, or one that is found
again, also covers earlier frames. A frame to which no later one can add anything leaves earlier.

Several detectors have their own scores and times, and no region passes from one to another. The delay line is
as long as the longest of them needs.

Hold never removes a detection: joining only decides which regions live on, and when in doubt there are two of
them. Their number has no limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from edge import boxes as geometry
from edge.boxes import NO_BOXES, Floats, Ints
from edge.config import BlurConfig
from edge.detection.detector import Detections
from edge.detection.joint import AnyDetector, Detectors
from edge.frames import RawFrame

JOIN_IOU = 0.2
"""Smallest overlap (IoU) of a detection and a region that are taken for the same face."""
GROWTH_PER_SECOND = 1.0
"""How far each edge of an undetected region moves outward per second, as a share of the box's side."""
MIN_GROWTH = 0.1
"""The same share at once, however short the gap."""
MAX_SPEED = 10.0
"""Fastest motion that is extrapolated, in box widths per second (somebody walks past close by)."""

MAX_GAP_SECONDS = 2.0
"""Frames further apart than this, and than a region lives, are not of one scene. A new region covers no frame
further back than this, except the nearest one."""
SLOW_GAPS, SLOWEST_GAP_SECONDS = 2.0, 60.0
"""They are still of one scene when the previous gap was at least half as long: then this is the pace of a
slow box, or a slow camera. Otherwise no frame of it would ever have lookahead. The gap counts up to 60 s."""
MAX_DOUBT_SECONDS = 1.0
"""An undetected region stops moving and growing after this time: with a detection every 1.4 s, each face
would otherwise cover half of the picture before it."""


_NO_NUMBERS: Ints = np.zeros(0, np.int64)


class HoldRule(NamedTuple):
    """How what one detector finds is held: in how many earlier frames, how long after the last detection, and
    from which score on a region begins."""

    before_frames: int
    after_seconds: float
    score_begin: float


def make_hold(detector: AnyDetector, config: BlurConfig, *, continuous: bool = True) -> Hold:
    """Hold as the configuration asks for it; none at all between frames that are not ``continuous``."""
    if isinstance(detector, Detectors):
        rules = [
            HoldRule(member.hold_before_frames, member.hold_after_seconds, member.detector.score_begin)
            for member in detector.members
        ]
    else:
        rules = [HoldRule(config.hold_before_frames, config.hold_after_seconds, detector.score_begin)]
    if not continuous:
        rules = [HoldRule(0, 0, rule.score_begin) for rule in rules]
    return Hold(*rules[0], rules[1:])


@dataclass(eq=False)
class Held:
    """A frame and what must be covered in it.

    ``seen`` float32 ``[N, 4]`` are the boxes that were detected in this very frame, ``held`` those added from
    its neighbours, and ``weak`` those whose score was too low to begin a region; ``seen_by``, ``held_by`` and
    ``weak_by`` are the numbers of the detectors that found them. ``whole`` says that the
    whole frame must be covered, and ``has_lookahead`` that the next frames were detected on too: as many as
    the delay line holds, or all that could add anything.
    """

    frame: RawFrame
    seen: Floats = field(default_factory=lambda: NO_BOXES)
    held: list[Floats] = field(default_factory=list)
    weak: Floats = field(default_factory=lambda: NO_BOXES)
    seen_by: Ints = field(default_factory=lambda: _NO_NUMBERS)
    held_by: list[int] = field(default_factory=list)
    weak_by: Ints = field(default_factory=lambda: _NO_NUMBERS)
    whole: bool = False
    has_lookahead: bool = True

    @property
    def boxes(self) -> Floats:
        """All boxes to cover, float32 ``[N, 4]``, in pixels of the frame."""
        return np.concatenate([self.seen, *(box[None] for box in self.held)]).astype(np.float32)

    @property
    def numbers(self) -> Ints:
        """The number of the detector that found each of ``boxes``, int64 ``[N]``."""
        return np.concatenate([self.seen_by, np.array(self.held_by, np.int64)])

    def add(self, box: Floats, number: int) -> None:
        """Also cover a box, float32 ``[4]``, for the detector of this number."""
        self.held.append(box)
        self.held_by.append(number)


@dataclass(eq=False)
class _Region:
    box: Floats  # [4]
    velocity: Floats  # [4], pixels per second
    last_seen: float  # media seconds
    number: int  # of the detector that found it
    sightings: int = 1

    def expected(self, seconds: float) -> Floats:
        """The box after ``seconds`` without a detection (before one, if negative), grown for doubt."""
        seconds = max(-MAX_DOUBT_SECONDS, min(seconds, MAX_DOUBT_SECONDS))
        moved = self.box + self.velocity * np.float32(seconds)
        return _grown(_hull(self.box, moved), abs(seconds))


class Hold:
    """The delay line and the live regions of one camera."""

    def __init__(
        self,
        before_frames: int,
        after_seconds: float,
        score_begin: float,
        others: Sequence[HoldRule] = (),
    ) -> None:
        """The three figures are for what the first detector finds, ``others`` are those of further ones."""
        self._rules = (HoldRule(before_frames, after_seconds, score_begin), *others)
        self._begin = np.array([rule.score_begin for rule in self._rules], np.float32)
        self._before = max(rule.before_frames for rule in self._rules)
        self._line: deque[Held] = deque()
        self._regions: list[_Region] = []
        self._last: RawFrame | None = None
        self._gap = 0.0

    def push(self, frame: RawFrame, found: Detections | None) -> list[Held]:
        """Take the next frame with its detections and return the frames that are due, oldest first.

        ``found`` is None for a frame on which detection failed: it will be covered whole. Frames come in the
        order of ``media_seconds``. A jump backwards, a gap in which every region would end, or another size
        ends all regions, after all waiting frames have been returned. Frames that wait are packed.
        """
        last, self._last = self._last, frame
        due = self.flush() if last is not None and self._breaks(last, frame) else []
        try:
            self._append(frame, found)
        except Exception:
            self._line.extendleft(reversed(due))  # the caller has not got them
            raise
        while len(self._line) > self._before:
            due.append(self._line.popleft())
        while self._oldest_is_done():
            due.append(self._line.popleft())
        return due

    def _oldest_is_done(self) -> bool:
        """Whether no later frame can add anything to the oldest one that waits, so that it need not wait on.

        A box with several cameras is slow with each, and would keep ten frames of many seconds of each.
        """
        if len(self._line) < 3:
            return False
        oldest, *others = self._line
        time, now = oldest.frame.media_seconds, others[-1].frame.media_seconds
        if now - time <= max(MAX_GAP_SECONDS, *(rule.after_seconds for rule in self._rules)):
            return False
        if not any(time < other.frame.media_seconds < now for other in others):  # it may be the nearest one
            return False
        # At its second sighting, a region covers the frames before its first one once more.
        if any(region.sightings == 1 for region in self._regions):
            return False
        return not any(
            len(other.weak) and other.frame.media_seconds - time <= MAX_GAP_SECONDS for other in others
        )

    def _append(self, frame: RawFrame, found: Detections | None) -> None:
        """Put a frame of the same scene into the delay line."""
        now = frame.media_seconds
        # A face that is missed once stays covered in that frame, however slow the pace.
        lifetimes = [max(after, self._gap) if after > 0 else 0.0 for _, after, _ in self._rules]
        self._regions = [r for r in self._regions if now - r.last_seen <= lifetimes[r.number]]
        entry = Held(frame, whole=found is None)
        if found is not None:
            self._join(entry, found)
        self._cover_undetected(entry)
        if self._before:
            frame.pack()  # it waits
        self._line.append(entry)

    def flush(self) -> list[Held]:
        """Return all waiting frames, oldest first, and forget all regions.

        No later frame can add to them, so their weak detections are covered as well, and they are marked as
        lacking lookahead.
        """
        due = list(self._line)
        for waiting in due:
            for box, number in zip(waiting.weak, waiting.weak_by.tolist(), strict=True):
                waiting.add(box, number)
            waiting.has_lookahead = False
        self._line.clear()
        self._regions.clear()
        return due

    def _breaks(self, last: RawFrame, frame: RawFrame) -> bool:
        gap = frame.media_seconds - last.media_seconds
        resized = (frame.width, frame.height) != (last.width, last.height)
        longest = max(rule.after_seconds for rule in self._rules)
        limit = max(longest, MAX_GAP_SECONDS, SLOW_GAPS * self._gap)
        self._gap = min(max(gap, 0.0), SLOWEST_GAP_SECONDS)
        return resized or gap < 0 or gap > limit

    def _join(self, entry: Held, found: Detections) -> None:
        """Join detections with live regions, begin new regions, and cover earlier frames."""
        now, numbers = entry.frame.media_seconds, found.numbers
        strong = found.scores >= self._begin[numbers]
        owner = self._owners(found.boxes, numbers, now)
        use = strong | (owner >= 0)
        entry.seen, entry.seen_by = found.boxes[use], numbers[use]
        entry.weak, entry.weak_by = found.boxes[~use], numbers[~use]
        taken: set[int] = set()
        # Best score first: a region follows the surest detection of its face.
        for index in np.flatnonzero(use):
            box, place = found.boxes[index], int(owner[index])
            if place >= 0 and place not in taken:
                taken.add(place)
                self._sight(self._regions[place], box, now)
            elif strong[index]:
                region = _Region(box, np.zeros(4, np.float32), now, int(numbers[index]))
                self._regions.append(region)
                self._cover_before(region)

    def _owners(self, boxes: Floats, numbers: Ints, now: float) -> Ints:
        """The index of the live region that each box belongs to, or -1: int64 ``[N]``. ``numbers`` int64
        ``[N]`` are those of the detectors that found the boxes."""
        if not self._regions or not len(boxes):
            return np.full(len(boxes), -1, np.int64)
        last = np.stack([r.box for r in self._regions])
        gap = np.array([now - r.last_seen for r in self._regions], np.float32)[:, None]
        moved = last + np.stack([r.velocity for r in self._regions]) * gap
        overlap = np.maximum(geometry.iou(boxes, last), geometry.iou(boxes, moved))
        same = numbers[:, None] == np.array([r.number for r in self._regions])
        overlap = np.where(same, overlap, np.float32(0))
        best = overlap.argmax(axis=1)
        good = overlap[np.arange(len(boxes)), best] >= JOIN_IOU
        return np.where(good, best, -1).astype(np.int64)

    def _sight(self, region: _Region, box: Floats, now: float) -> None:
        """A live region was detected again, perhaps after a gap."""
        gap = now - region.last_seen
        previous = replace(region)
        if gap > 0:
            speed = (box - region.box) / np.float32(gap)
            limit = MAX_SPEED * max(float(box[2] - box[0]), 1.0)
            speed = np.clip(speed, -limit, limit)
            # Boxes jitter from frame to frame; averaging with the old speed steadies the new one.
            old = region.velocity if region.sightings > 1 else speed
            region.velocity = ((old + speed) / 2).astype(np.float32)
        region.box, region.last_seen = box, now
        region.sightings += 1
        for waiting in self._line:
            time = waiting.frame.media_seconds
            if previous.last_seen < time < now:
                between = previous.box + (box - previous.box) * np.float32((time - previous.last_seen) / gap)
                near = min(time - previous.last_seen, now - time)
                waiting.add(_grown(between, near), region.number)
        if region.sightings == 2:  # the velocity is known only now, so the earlier frames are covered again
            first = replace(previous, velocity=region.velocity)
            self._cover_before(first)

    def _cover_before(self, region: _Region) -> None:
        """Cover a new region in the waiting frames from before it began.

        Weak detections on its way back were the same face, so it follows them.
        """
        trace, nearest, number = region, True, region.number
        for waiting in islice(reversed(self._line), self._rules[number].before_frames):
            time = waiting.frame.media_seconds
            if time >= region.last_seen:
                continue
            if trace.last_seen - time > MAX_GAP_SECONDS and not nearest:
                break
            nearest = False
            box = trace.expected(time - trace.last_seen)
            waiting.add(box, number)
            own = waiting.weak[waiting.weak_by == number]
            overlap = geometry.iou(own, box[None])[:, 0]
            for weak in own[overlap > 0]:
                waiting.add(weak, number)
            if len(overlap) and overlap.max() >= JOIN_IOU:
                trace = replace(trace, box=own[int(overlap.argmax())], last_seen=time)

    def _cover_undetected(self, entry: Held) -> None:
        now = entry.frame.media_seconds
        for region in self._regions:
            if region.last_seen < now:
                entry.add(region.expected(now - region.last_seen), region.number)


def _hull(first: Floats, second: Floats) -> Floats:
    return np.concatenate([np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])]).astype(
        np.float32
    )


def _grown(box: Floats, seconds: float) -> Floats:
    share = MIN_GROWTH + GROWTH_PER_SECOND * seconds
    return np.asarray(geometry.grow(box[None], share, share, share)[0])
