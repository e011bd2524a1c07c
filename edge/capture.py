"""One thread per camera puts frames into a slot; the pipeline takes them out.

For a live camera the newest frame wins: one that nobody took in time is counted as overtaken. For a
file that must not skip frames, the thread waits until the slot is empty.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Literal

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.reasons import Reason
from edge.sources import Source

log = logging.getLogger(__name__)

State = Literal["connecting", "live", "stale", "down", "ended"]

FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 1.0, 60.0


class Slot:
    """Room for one frame. ``ready`` is shared by all cameras and set whenever one has something."""

    def __init__(self, ready: threading.Event, waits: bool) -> None:
        self._condition = threading.Condition()
        self._frame: RawFrame | None = None
        self._ready = ready
        self._waits = waits
        self._closed = False

    def put(self, frame: RawFrame) -> RawFrame | None:
        """Put a frame in; return the one that it replaced, if any."""
        with self._condition:
            while self._waits and self._frame is not None and not self._closed:
                self._condition.wait()
            replaced, self._frame = self._frame, frame
        self._ready.set()
        return replaced

    def take(self) -> RawFrame | None:
        """Take the frame out, if there is one."""
        with self._condition:
            frame, self._frame = self._frame, None
            self._condition.notify()
        return frame

    def close(self) -> None:
        """Let go of a thread that waits in ``put``."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._ready.set()


class Capture:
    """The thread of one camera: opens the source, reopens it with growing pauses, fills the slot."""

    def __init__(
        self,
        source: Source,
        stop: threading.Event,
        ready: threading.Event,
        count: Callable[[str, Reason], None],
    ) -> None:
        self.source = source
        self.camera = source.camera
        self.slot = Slot(ready, source.waits)
        self.state: State = "connecting"
        self.since = datetime.now(timezone.utc)
        self.connections = 0
        self.last_error = ""
        self.captured = 0
        self._undecodable = 0
        self._stop = stop
        self._count = count
        self._thread = threading.Thread(target=self._run, name=f"capture-{self.camera}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether frames may still come."""
        return self._thread.is_alive()

    def join(self, seconds: float) -> bool:
        """Wait for the thread to end; False when it hangs in the source (it is a daemon thread)."""
        self.slot.close()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = FIRST_BACKOFF_SECONDS
        while not self._stop.is_set():
            before = self.captured
            try:
                self._read()
                self._enter("ended")
                return
            except SourceError as error:
                self._fail(str(error))
            # A source is third-party code on hostile input; its thread must not die unseen.
            except Exception as error:
                self._fail(f"{self.source.label}: {type(error).__name__}: {error}"[:300])
            if not self.source.reopens:
                return
            if self.captured > before:
                pause = FIRST_BACKOFF_SECONDS
            self._stop.wait(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, LAST_BACKOFF_SECONDS)
            self._enter("connecting")

    def _enter(self, state: State) -> None:
        self.state, self.since = state, datetime.now(timezone.utc)

    def _fail(self, text: str) -> None:
        self._enter("down")
        self.last_error = text
        log.warning("camera %s: %s", self.camera, text)

    def _read(self) -> None:
        try:
            for frame in self.source:
                if self._stop.is_set():
                    return
                self.captured += 1
                if self.state != "live":
                    self._enter("live")
                    self.last_error = ""
                    self.connections += 1
                    size = f"{frame.width}x{frame.height}"
                    log.info("camera %s: %s: %s", self.camera, self.source.label, size)
                if self.slot.put(frame) is not None:
                    self._count(self.camera, Reason.OVERTAKEN)
                self._count_undecodable()
        finally:
            self._count_undecodable()

    def _count_undecodable(self) -> None:
        for _ in range(self.source.undecodable - self._undecodable):
            self._count(self.camera, Reason.UNDECODABLE)
        self._undecodable = self.source.undecodable


def age_seconds(frame: RawFrame) -> float:
    """Seconds since a frame was captured."""
    return time.monotonic() - frame.captured
