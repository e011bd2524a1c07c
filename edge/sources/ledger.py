"""What has become of the frames of a file or folder, so that none of them is lost to a state that passes.

The source hands a frame out; it is *settled* when its image is stored for good, or when the frame is dropped
for good. A frame that is dropped because the detector, the store or the load stood in the way is *given back*
instead, and read again. So is one that made the detector fail, until it has failed ``MOST_TRIES`` times while
the detector found the known face after each.

What is settled is the position of the source, and is kept across restarts (edge/store/positions.py).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Hashable, Sequence

from edge.reasons import Reason
from edge.sources.progress import Progress

MOST_TRIES = 3
PAUSE_SECONDS = 0.5
"""How long a frame that made the detector fail rests before its second try; twice that before the third."""
POLL_SECONDS = 0.1
"""How often a source that waits sees whether it is to stop."""

PASSING = frozenset({Reason.KNOWN_FACE, Reason.LOAD, Reason.STORE_ERROR, Reason.RETRIED})
"""These say nothing about the frame."""
TRIED = frozenset(
    {
        Reason.DETECTOR_ERROR,
        Reason.DETECTOR_TIMEOUT,
        Reason.DETECTOR_OUTPUT,
        Reason.HOLD_ERROR,
        Reason.BLUR_ERROR,
    }
)
"""These may be the fault of the frame, or of the moment."""


class Ledger:
    """The frames of one file or folder. Any thread may call it.

    Frames are known by their number in this process, and by a key that stays the same when they are read
    again: what ``Progress`` takes.
    """

    def __init__(self, progress: Progress, *, rewinds: bool) -> None:
        """``rewinds``: what was given back can only be read again together with all that follows it."""
        self.lost: Counter[Reason] = Counter()
        self._progress = progress
        self._rewinds = rewinds
        self._changed = threading.Condition()
        self._out: dict[int, Hashable] = {}  # by number
        self._keys: set[Hashable] = set()  # the values of ``_out``
        self._tries: Counter[Hashable] = Counter()
        self._in_doubt: list[Hashable] = []  # failed since the detector was last seen to work
        self._not_before: dict[Hashable, float] = {}  # monotonic
        self._given_back = False
        self._at_end = False

    # The source calls these.

    def begin(self, identity: str) -> int:
        """The source is opened; ``identity`` changes when it is another file. Returns how many keys are
        settled."""
        with self._changed:
            return self._progress.begin(identity)

    def wants(self, key: Hashable) -> bool:
        """Whether to read a frame now: it is neither settled nor out, and does not rest."""
        with self._changed:
            return (
                key not in self._keys
                and key not in self._progress
                and self._not_before.get(key, 0.0) <= time.monotonic()
            )

    def hand_out(self, number: int, key: Hashable) -> None:
        """A frame is about to be delivered. One that is settled already is delivered for hold alone."""
        with self._changed:
            if key not in self._progress:
                self._out[number] = key
                self._keys.add(key)

    def keep(self, present: Collection[Hashable]) -> None:
        """Forget frames that are not there any more."""
        with self._changed:
            self._progress.keep(present)
            for key in [key for key in self._not_before if key not in present]:
                del self._not_before[key]
                self._tries.pop(key, None)

    def unreadable(self, key: Hashable) -> bool:
        """A frame could not be read; returns whether it is given up."""
        with self._changed:
            self._tries[key] += 1
            given_up = self._tries[key] >= MOST_TRIES
            if given_up:
                self._lose(key, Reason.UNDECODABLE)
            else:
                self._rest(key)
            return given_up

    def rest(self, key: Hashable) -> None:
        """A frame could not be read because its volume does not answer; it is tried again after a pause."""
        with self._changed:
            self._rest(key)

    def lose(self, key: Hashable) -> None:
        """A frame can never be used."""
        with self._changed:
            self._lose(key, Reason.UNDECODABLE)

    def finish(self, stop: threading.Event, *, away: bool = False) -> bool:
        """The source has reached its end, or ``returning``: wait until all frames are settled or given back.

        Returns whether it has to go on, from the first frame that is not settled; if not, all are settled, or
        ``stop`` is set. ``away``: its volume went away, and the end was not reached.
        """
        with self._changed:
            self._at_end = not self._given_back
            while self._out and not stop.is_set():
                self._changed.wait(POLL_SECONDS)
            self._at_end = False
            again, self._given_back = self._given_back, False
            if not again and not away and not stop.is_set():
                self._progress.end()
            rest = max(self._not_before.values(), default=0.0) - time.monotonic()
        return again and not stop.wait(max(0.0, rest))

    # The pipeline and the store's thread call these.

    @property
    def returning(self) -> bool:
        """Whether frames that are on their way shall be given back, because an earlier one was."""
        return self._rewinds and self._given_back

    @property
    def at_end(self) -> bool:
        """Whether the source waits at its end, and ``flushed`` was not called since."""
        return self._at_end

    def flushed(self) -> None:
        """Nothing is on its way any more but to the store."""
        self._at_end = False

    def is_out(self, number: int) -> bool:
        """Whether an image of this frame is still missing."""
        with self._changed:
            return number in self._out

    def stored(self, number: int) -> None:
        """The image of a frame is stored for good."""
        with self._changed:
            key = self._take(number)
            if key is not None:
                self._settle(key)

    def give_back(self, number: int, reason: Reason) -> bool:
        """Give a frame back that is not stored for this reason; False when it is not to be read again."""
        with self._changed:
            key = self._out.get(number)
            if key is None:
                return True  # delivered for hold alone, or given back already
            if reason in TRIED and self._tries[key] < MOST_TRIES - 1:
                self._in_doubt.append(key)
                self._rest(key)
            elif reason not in PASSING:
                return False
            self._given_back = True
            self._take(number)
            return True

    def drop(self, number: int, reason: Reason) -> None:
        """A frame will never be stored."""
        with self._changed:
            key = self._take(number)
            if key is not None and reason == Reason.NOT_DUE:
                self._settle(key)
            elif key is not None:
                self._lose(key, reason)

    @property
    def in_doubt(self) -> bool:
        """Whether a frame has failed, and it is not known yet whether the detector works otherwise."""
        return bool(self._in_doubt)

    def judge(self, *, detector_works: bool) -> None:
        """The detector was looked at: failures since the last time count if it works otherwise."""
        with self._changed:
            if detector_works:
                self._tries.update(self._in_doubt)
            self._in_doubt.clear()

    def load(self, lines: Sequence[str]) -> None:
        """Take up the position of an earlier run."""
        with self._changed:
            self._progress.load(lines)

    def news(self) -> tuple[list[str], bool]:
        """Lines that are new in the position, and whether they are all of it."""
        with self._changed:
            return self._progress.news()

    def forget_saved(self) -> None:
        """The position could not be saved: the next news are all of it."""
        with self._changed:
            self._progress.forget_saved()

    def _take(self, number: int) -> Hashable | None:
        key = self._out.pop(number, None)
        self._keys.discard(key)
        self._changed.notify_all()
        return key

    def _settle(self, key: Hashable) -> None:
        self._progress.add(key)
        self._tries.pop(key, None)
        self._not_before.pop(key, None)

    def _lose(self, key: Hashable, reason: Reason) -> None:
        self.lost[reason] += 1
        self._settle(key)

    def _rest(self, key: Hashable) -> None:
        self._not_before[key] = time.monotonic() + PAUSE_SECONDS * 2 ** self._tries[key]
