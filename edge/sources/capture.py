"""One thread per camera puts frames into a slot; the pipeline takes them out.

For a live camera the newest frame wins: one that nobody took in time is counted as overtaken. For a
file that must not skip frames, the thread waits until the slot is empty.

A source is third-party code in C that may never return. Its thread cannot be ended from outside, so it is
left behind, and another one goes on with a fresh source (``Capture.supervise``).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np

from edge.errors import SourceError
from edge.frames import Pixels, RawFrame
from edge.masking import error_text
from edge.reasons import Reason
from edge.sources import Source
from edge.sources.slot import Slot
from edge.sources.state import CameraState

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 1.0, 60.0
FRESH_SECONDS = 2.0
"""A live camera is stale when its last fresh picture is older; a picture older on arrival is not fresh."""
MOST_LEFT_BEHIND = 3
"""So many threads of one camera may hang at a time; then only a fresh process can help."""


class _FrozenError(SourceError):
    """The camera repeats one picture."""


class _Reader:
    """One thread and the source that only it iterates."""

    def __init__(self, source: Source, run: Callable[[_Reader], None]) -> None:
        self.source = source
        self.inside: float | None = None
        """Monotonic time since when the thread is inside the source; None outside."""
        self.delivered = False
        """Whether a good frame came since the source was opened."""
        self.thread = threading.Thread(target=run, args=(self,), name=f"capture-{source.camera}", daemon=True)

    def quiet_seconds(self) -> float:
        """How long the source has not given a sign of life; 0 while it is not asked for one."""
        inside = self.inside
        return 0.0 if inside is None else time.monotonic() - max(inside, self.source.beat)


class Capture:
    """The threads of one camera: one opens the source, reopens it with growing pauses, fills the slot.

    ``captured`` counts the pictures that came, repeated ones too; ``connections`` how often a fresh one
    was the first after opening.
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
        self._lock = threading.Lock()  # around all that follows; never held while frames are waited for
        self._reader = _Reader(source, self._run)
        self._hanging: list[threading.Thread] = []
        self._next_reader = float("inf")  # monotonic time at which one takes over from one that hangs
        self._pause = FIRST_BACKOFF_SECONDS
        self._state: CameraState = "connecting"
        self._since = datetime.now(timezone.utc)
        self._error = ""
        self._undecodable = 0
        self._last: Pixels | None = None
        self._changed = self._fresh = time.monotonic()

    def start(self) -> None:
        self._reader.thread.start()

    @property
    def source(self) -> Source:
        """The source that is read now; another object after one was left behind."""
        return self._reader.source

    @property
    def alive(self) -> bool:
        """Whether frames may still come."""
        return self.source.abandoned or self._reader.thread.is_alive()

    @property
    def state(self) -> CameraState:
        """How the camera is; ``stale`` also while it is connected and nothing fresh comes."""
        return "stale" if self._starved else self._state

    @property
    def since(self) -> datetime:
        """When it entered this state, UTC."""
        if self._starved:
            ago = time.monotonic() - self._fresh - FRESH_SECONDS
            return datetime.now(timezone.utc) - timedelta(seconds=ago)
        return self._since

    @property
    def last_error(self) -> str:
        """Why it is not live; empty when it is, or ended well."""
        return f"no fresh picture for more than {FRESH_SECONDS:g} seconds" if self._starved else self._error

    @property
    def hopeless(self) -> bool:
        """Whether only a fresh process can help: too many threads of this camera hang."""
        with self._lock:
            return self.source.abandoned and self._count_hanging() >= MOST_LEFT_BEHIND

    @property
    def hanging(self) -> int:
        """How many threads of this camera are inside a source that hangs.

        A process with any should end by ``os._exit``: one that comes back from OpenCV while Python shuts
        down aborts the process (std::terminate, exit status 134).
        """
        with self._lock:
            return self._count_hanging()

    @property
    def _starved(self) -> bool:
        return self._state == "live" and self.source.live and time.monotonic() - self._fresh > FRESH_SECONDS

    def supervise(self) -> None:
        """Leave a live source behind that hangs, and let a fresh one take over in time. Cheap; every tick
        calls it."""
        with self._lock:
            reader = self._reader
            if self._stop.is_set():
                return
            if not reader.source.abandoned:
                self._count_undecodable(reader)
                quiet = reader.quiet_seconds()
                if reader.source.live and quiet > reader.source.hang_seconds:
                    self._leave_behind(reader, quiet)
            elif time.monotonic() >= self._next_reader and self._count_hanging() < MOST_LEFT_BEHIND:
                self._reader = _Reader(reader.source.renewed(), self._run)
                self._reader.thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for the thread to end; False when it hangs in the source (it is a daemon thread).

        Nothing gets into the slot afterwards. For one bound over several cameras, give each what is left
        of it, 0 too.
        """
        self.slot.close()
        reader = self._reader
        if reader.source.abandoned:
            return True  # said when it was left behind
        reader.thread.join(seconds)
        with self._lock:
            reader.source.abandoned = reader.thread.is_alive()
            if reader.source.abandoned:
                self._hanging.append(reader.thread)
        return not reader.source.abandoned

    def _leave_behind(self, reader: _Reader, quiet: float) -> None:
        reader.source.abandoned = True
        self._hanging.append(reader.thread)
        self._next_reader = time.monotonic() + self._next_pause()
        text = (
            f"{reader.source.label}: hangs, no sign of life for {quiet:.0f} seconds; it is left behind, and "
        )
        if self._count_hanging() < MOST_LEFT_BEHIND:
            text += "opened anew"
        else:
            text += f"as {MOST_LEFT_BEHIND} of its threads hang, not opened again: restart the service"
        self._fail(text)

    def _count_hanging(self) -> int:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        return len(self._hanging)

    def _next_pause(self) -> float:
        pause = self._pause * random.uniform(0.8, 1.2)
        self._pause = min(self._pause * 2, LAST_BACKOFF_SECONDS)
        return min(pause, LAST_BACKOFF_SECONDS)

    def _run(self, reader: _Reader) -> None:
        source = reader.source
        while not (self._stop.is_set() or source.abandoned):
            error: str = ""
            state: CameraState = "down"
            try:
                self._read(reader)
            except _FrozenError as frozen:
                error, state = str(frozen), "stale"
            except SourceError as refused:
                error = str(refused)
            # A source is third-party code on hostile input; its thread must not die unseen.
            except Exception as unexpected:
                error = f"{source.label}: {error_text(unexpected, source.config.source)}"
            with self._lock:
                if source.abandoned:
                    return
                self._count_undecodable(reader)
                if not error:
                    self._enter("ended")
                    return
                self._fail(error, state)
                pause = self._next_pause()
            if not source.reopens:
                return
            self._stop.wait(pause)

    def _enter(self, state: CameraState) -> None:
        if state != self.state:
            self._since = datetime.now(timezone.utc)
        self._state = state

    def _fail(self, text: str, state: CameraState = "down") -> None:
        if (text, state) != (self._error, self._state):
            log.warning("camera %s: %s", self.camera, text)
        self._enter(state)
        self._error = text

    def _read(self, reader: _Reader) -> None:
        """Hand on the frames of one opening. Closing counts as being inside the source: it may hang, too."""
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
                    self._count(self.camera, Reason.OVERTAKEN)
                reader.inside = time.monotonic()
        finally:
            reader.inside = time.monotonic()
            getattr(frames, "close", lambda: None)()
            reader.inside = None

    def _accept(self, reader: _Reader, frame: RawFrame) -> bool:
        """Whether to hand the frame on; raises SourceError when the camera is frozen."""
        live = reader.source.live
        repeated = live and self._last is not None and same(self._last, frame.pixels)
        with self._lock:
            if reader.source.abandoned:
                return False
            now = time.monotonic()
            self.captured += 1
            self._count_undecodable(reader)
            if repeated:
                self._count(self.camera, Reason.REPEATED)
                limit = reader.source.config.stale_after_seconds
                if now - self._changed >= limit:
                    raise _FrozenError(
                        f"{reader.source.label}: the same picture for {limit:g} seconds or longer: "
                        "the camera is frozen"
                    )
                return False
            self._last, self._changed = frame.pixels if live else None, now
            if live and age_seconds(frame) > FRESH_SECONDS:
                return True  # too old to make the camera live; the pipeline counts it
            self._note_fresh(reader, frame)
            return True

    def _note_fresh(self, reader: _Reader, frame: RawFrame) -> None:
        if not reader.delivered:
            reader.delivered = True
            self.connections += 1
            self._pause = FIRST_BACKOFF_SECONDS
            size = f"{frame.width}x{frame.height}"
            log.info("camera %s: %s: %s", self.camera, reader.source.label, size)
        self._enter("live")
        self._fresh = time.monotonic()
        self._error = ""

    def _count_undecodable(self, reader: _Reader) -> None:
        for _ in range(reader.source.undecodable - self._undecodable):
            self._count(self.camera, Reason.UNDECODABLE)
        self._undecodable = reader.source.undecodable


def same(first: Pixels, second: Pixels) -> bool:
    """Whether two pictures are equal in every pixel.

    Most differ within the rows that are looked at first, so that this costs little.
    """
    if first.shape != second.shape:
        return False
    return np.array_equal(first[::64], second[::64]) and np.array_equal(first, second)


def age_seconds(frame: RawFrame) -> float:
    """Seconds since a frame was captured."""
    return time.monotonic() - frame.captured
