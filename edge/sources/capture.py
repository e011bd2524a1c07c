"""One thread per camera puts frames into a slot; the pipeline takes them out.

For a live camera the newest frame wins: one that was not taken in time is counted as overtaken. For a file of
which no frame may be skipped, the thread waits until the slot is empty.

A source is third-party code in C that may never return. Its thread cannot be ended from outside, so it is
abandoned, and another one goes on with a new source (``Capture.supervise``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from edge.errors import AwayError, SourceError
from edge.frames import RawFrame
from edge.masking import error_text
from edge.reasons import Reason
from edge.sources import Source, health
from edge.sources.backoff import Backoff
from edge.sources.reader import Reader
from edge.sources.repeats import FrozenError, Repeats
from edge.sources.slot import Slot
from edge.sources.state import CameraState

log = logging.getLogger(__name__)

MOST_ABANDONED = 3
"""When this many abandoned threads of one camera hang, only a new process can help."""


class Capture:
    """The threads of one camera: one opens the source, reopens it after growing pauses and fills the slot.

    ``captured`` counts the pictures that arrived, repeated ones included; ``connections`` counts the openings
    after which a fresh one arrived. The other threads are abandoned ones.
    """

    def __init__(
        self,
        source: Source,
        stop: threading.Event,
        ready: threading.Event,
        count: Callable[[str, Reason], None],
    ) -> None:
        self.camera = source.camera
        self.slot = Slot(ready, source.waits)
        self.connections = 0
        self.captured = 0
        self._stop = stop
        self._count = count
        self._lock = threading.Lock()  # around all that follows; not held while waiting for a frame
        self._reader = Reader(source, self._run)
        self._hanging: list[threading.Thread] = []
        self._next_reader = float("inf")  # monotonic time at which a new one replaces an abandoned one
        self._backoff = Backoff()
        self._health = health.CameraHealth(source.camera, live=source.live)
        self._unusable: Counter[Reason] = Counter()
        self._repeats = Repeats()

    def start(self) -> None:
        self._reader.thread.start()

    @property
    def source(self) -> Source:
        """The source that is read now; another object after one was abandoned."""
        return self._reader.source

    @property
    def alive(self) -> bool:
        """Whether frames may still arrive."""
        return self.source.abandoned or self._reader.thread.is_alive()

    @property
    def state(self) -> CameraState:
        return self._health.state

    @property
    def since(self) -> datetime:
        """When the camera entered this state, UTC."""
        return self._health.since

    @property
    def last_error(self) -> str:
        """Why the camera is not live; empty when it is, or when its file has ended."""
        return self._health.why_not_live(self.source.waits_for)

    @property
    def needs_restart(self) -> bool:
        """Whether only a new process can help: too many threads of this camera hang."""
        with self._lock:
            return self.source.abandoned and self._count_hanging() >= MOST_ABANDONED

    @property
    def hanging(self) -> int:
        """How many threads of this camera are inside a source that hangs.

        A process that has any should end with ``os._exit``: a thread that returns from OpenCV while Python
        shuts down aborts the process (std::terminate, exit status 134).
        """
        with self._lock:
            return self._count_hanging()

    def supervise(self) -> None:
        """Replace a live source that hangs with a new one, after a pause. Cheap; every tick calls it."""
        with self._lock:
            reader = self._reader
            if self._stop.is_set():
                return
            if not reader.source.abandoned:
                self._count_unusable(reader)
                quiet = reader.quiet_seconds()
                if reader.source.live and quiet > reader.source.hang_seconds:
                    self._abandon(reader, quiet)
            elif time.monotonic() >= self._next_reader and self._count_hanging() < MOST_ABANDONED:
                self._reader = Reader(reader.source.renewed(), self._run)
                self._reader.thread.start()

    def join(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the thread to end; False when it hangs in the source and is abandoned.

        Nothing gets into the slot afterwards.
        """
        self.slot.close()
        reader = self._reader
        if reader.source.abandoned:
            return True  # this was logged when it was abandoned
        reader.thread.join(seconds)
        with self._lock:
            reader.source.abandoned = reader.thread.is_alive()
            if reader.source.abandoned:
                self._hanging.append(reader.thread)
        return not reader.source.abandoned

    def _abandon(self, reader: Reader, quiet: float) -> None:
        reader.source.abandoned = True
        self._hanging.append(reader.thread)
        self._next_reader = time.monotonic() + self._backoff.next_seconds()
        hanging = f"{reader.source.label}: hangs, no sign of life for {quiet:.0f} seconds"
        if self._count_hanging() < MOST_ABANDONED:
            self._health.fail(f"{hanging}; it is abandoned and opened again")
        else:
            self._health.fail(
                f"{hanging}; as {MOST_ABANDONED} of its threads hang, it is not opened again: "
                "restart the service"
            )

    def _count_hanging(self) -> int:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        return len(self._hanging)

    def _run(self, reader: Reader) -> None:
        source = reader.source
        while not (self._stop.is_set() or source.abandoned):
            error, away = "", False
            state: CameraState = "down"
            try:
                self._read(reader)
            except FrozenError as frozen:
                error, state = str(frozen), "stale"
            except SourceError as refused:
                error, away = str(refused), isinstance(refused, AwayError)
            # A source is third-party code on hostile input; its thread must not die unnoticed.
            except Exception as unexpected:
                error = f"{source.label}: {error_text(unexpected, source.config.source)}"
            with self._lock:
                if source.abandoned:
                    return
                self._count_unusable(reader)
                if not error:
                    self._health.enter("ended")
                    return
                self._health.fail(error, state)
                pause = self._backoff.next_seconds()
            if not (away or source.reopens):
                return
            self._stop.wait(pause)

    def _read(self, reader: Reader) -> None:
        """Put the frames of one opening into the slot. Closing counts as being inside the source, too: it may
        hang."""
        reader.delivered = False
        reader.inside = time.monotonic()
        frames = iter(reader.source)
        try:
            for frame in frames:
                reader.inside = None
                if self._stop.is_set() or reader.source.abandoned:
                    return
                if type(frame) is not RawFrame:
                    raise SourceError(f"{reader.source.label}: delivered a {type(frame).__name__}")
                if self._accept(reader, frame) and self.slot.put(frame) is not None:
                    self._count(self.camera, reader.source.replaced)
                reader.inside = time.monotonic()
        finally:
            reader.inside = time.monotonic()
            getattr(frames, "close", lambda: None)()
            reader.inside = None

    def _accept(self, reader: Reader, frame: RawFrame) -> bool:
        """Whether this frame goes into the slot. Raises SourceError when the camera is frozen."""
        live = reader.source.live
        repeated = live and self._repeats.repeated(frame.pixels)
        with self._lock:
            if reader.source.abandoned:
                return False
            self.captured += 1
            self._count_unusable(reader)
            if repeated:
                self._count(self.camera, Reason.REPEATED)
                self._repeats.check_frozen(reader.source)
                return False
            if live:
                self._repeats.note_new(frame.pixels)
            if live and age_seconds(frame) > health.FRESH_SECONDS:
                return True  # too old to make the camera live; the lane drops and counts it
            self._note_fresh(reader, frame)
            return True

    def _note_fresh(self, reader: Reader, frame: RawFrame) -> None:
        if not reader.delivered:
            reader.delivered = True
            self.connections += 1
            self._backoff.reset()
            log.info("camera %s: %s: %dx%d", self.camera, reader.source.label, frame.width, frame.height)
        self._health.note_fresh()

    def _count_unusable(self, reader: Reader) -> None:
        for reason in (reader.source.unusable() - self._unusable).elements():
            self._count(self.camera, reason)
            self._unusable[reason] += 1


def age_seconds(frame: RawFrame) -> float:
    """Seconds since a frame was captured."""
    return time.monotonic() - frame.captured
