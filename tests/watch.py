"""A camera as the pipeline sees it: ticks that supervise it and take its frames, and what came of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge.frames import RawFrame
from edge.reasons import Reason
from edge.sources import Source
from edge.sources.capture import Capture, age_seconds
from edge.sources.state import CameraState


class Watch:
    """One capture at work. ``ages`` are those of the frames when they were taken, in seconds."""

    def __init__(self, source: Source, stop: threading.Event) -> None:
        self._ready = threading.Event()
        self.counts: Counter[Reason] = Counter()
        self.states: list[CameraState] = []
        self.errors: list[str] = []
        self.frames: list[RawFrame] = []
        self.ages: list[float] = []
        self.capture = Capture(source, stop, self._ready, lambda _, reason: self.counts.update([reason]))
        self.capture.start()

    def tick(self) -> None:
        """One round of the pipeline."""
        self._ready.wait(0.01)
        self._ready.clear()
        self.capture.supervise()
        frame = self.capture.slot.take()
        if frame is not None:
            self.ages.append(age_seconds(frame))
            self.frames.append(frame)
        if self.capture.state not in self.states[-1:]:
            self.states.append(self.capture.state)
        if self.capture.last_error not in ("", *self.errors[-1:]):
            self.errors.append(self.capture.last_error)

    def until(self, done: Callable[[], bool], seconds: float = 30) -> float:
        """Tick until ``done``; returns how long that took. Fails when it takes longer than ``seconds``."""
        begin = time.monotonic()
        while not done():
            self.tick()
            passed = time.monotonic() - begin
            assert passed < seconds, f"not within {seconds} s: {self.states} {self.errors} {self.counts}"
        return time.monotonic() - begin

    def until_state(self, state: CameraState, seconds: float = 30) -> float:
        return self.until(lambda: self.capture.state == state, seconds)

    def during(self, seconds: float) -> None:
        """Tick for so long."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, seconds + 5)


@contextmanager
def watching(source: Source, stop: threading.Event) -> Iterator[Watch]:
    """Watch a source that was made with ``stop``; it is stopped in the end, and has to obey."""
    watch = Watch(source, stop)
    try:
        yield watch
    finally:
        stop.set()
        assert watch.capture.join(20)
