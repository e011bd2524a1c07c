"""Reading a camera that is open: when its pictures are too late, too few or too old, it is opened again."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import NamedTuple

import cv2

from edge.errors import SourceError
from edge.frames import Pack, RawFrame
from edge.sources.base import Source
from edge.sources.stream_clock import LATE_SECONDS, StreamClock

SILENCE_SECONDS, SILENCE_INTERVALS = 1.5, 4.0
"""A stream without a clock is opened again when it is silent for longer than both; the second is counted in
intervals between its pictures."""
DRAIN_WAIT_SECONDS, DRAIN_SECONDS = 0.02, 1.0
"""A picture that arrives within the first of these had been waiting in a queue. Such pictures are thrown
away, at most for the second, since a fast camera may be that quick."""

INTACT_SECONDS, INTACT_KEYS = 60.0, 30
"""A camera that delivers, but no intact picture for longer, or for this many of the intervals between its key
frames, is opened again: most cameras then send a key frame, and what took noise for the beginning of a
picture begins anew."""


class Arrival(NamedTuple):
    """A picture from a live camera: uint8 ``[H, W, 3]`` BGR, or None if it cannot be decoded, and its
    presentation time in seconds, if it has one. ``pack`` makes less of its pixels."""

    pixels: cv2.typing.MatLike | None
    presented: float = math.nan
    pack: Pack | None = None


Arrivals = Generator[Arrival | None, None, None]
"""What comes from an open camera: pictures, and None when what came is no picture, or no intact one. At its
end the stream has ended or broken off."""


def pictures_of(capture: cv2.VideoCapture) -> Arrivals:
    """The pictures that OpenCV reads."""
    while True:
        good, pixels = capture.read()
        if not good:
            return
        yield Arrival(pixels)


class LiveSource(Source):
    """A camera that goes on whether it is read or not."""

    live = True
    key_seconds = math.nan
    """Seconds between two key frames of the open camera, as far as that is known."""

    def _read_live(
        self, arrivals: Arrivals, clock: StreamClock | None = None, *, piled_up: bool = False
    ) -> Iterator[RawFrame]:
        """Frames of an open live camera until ``stop``. Raises SourceError when for longer than the read
        timeout nothing arrives, no picture can be used, or all are later than LATE_SECONDS (by ``clock``).

        OpenCV reports success with an old picture once or twice after a camera has died and timed out; the
        handle is useless from then on. With ``piled_up``, the first pictures are thrown away as long as they
        arrive without a wait.
        """
        limit = self.config.read_timeout_seconds
        usable = in_time = time.monotonic()
        drain_until = usable + DRAIN_SECONDS if piled_up else usable
        interval = limit  # between two pictures; unknown before the first
        while not (self._stop.is_set() or self.abandoned):
            begin = time.monotonic()
            arrival = self._next(arrivals, begin)
            now = time.monotonic()
            if now - begin < DRAIN_WAIT_SECONDS and now < drain_until:
                continue
            drain_until = usable
            # Without a clock, the pictures after a silence may be as old as it was long.
            if clock is None and now - begin > max(SILENCE_SECONDS, SILENCE_INTERVALS * interval):
                raise SourceError(
                    f"{self.label}: silent for {now - begin:.1f} seconds; what follows may be as old, so it "
                    "is opened again"
                )
            interval = 0.8 * interval + 0.2 * (now - begin)
            if arrival is None:
                self._check_intact(now - usable)
                in_time = now
                continue
            lag = clock.lag(arrival.presented, now) if clock else 0.0
            if lag <= LATE_SECONDS:
                in_time = now
            elif now - in_time >= limit:
                raise SourceError(
                    f"{self.label}: pictures are {lag:.1f} seconds late, for longer than {limit:g} seconds; "
                    "is the network, or this machine, too slow, or the camera's clock wrong "
                    f"(cameras.{self.camera}.ignore_clock)?"
                )
            frame = self._frame(arrival.pixels, now - lag, now - lag, arrival.pack)
            if frame is not None:
                usable = now
                yield frame
            elif now - usable >= limit:
                raise SourceError(f"{self.label}: no usable picture for {limit:g} seconds: {self._problem}")

    def _next(self, arrivals: Arrivals, begin: float) -> Arrival | None:
        """What arrives next, waited for since ``begin``. Raises SourceError when that takes too long, or
        nothing more comes."""
        limit = self.config.read_timeout_seconds
        try:
            arrival, ended = next(arrivals), False
        except StopIteration:
            arrival, ended = None, True
        self.beat = time.monotonic()
        if self.beat - begin >= limit:
            raise SourceError(f"{self.label}: no frame within {limit:g} seconds")
        if ended:
            raise SourceError(f"{self.label}: the stream ended or broke off")
        return arrival

    def _check_intact(self, seconds: float) -> None:
        """Raise SourceError when for so long no picture was intact."""
        keys = INTACT_KEYS * self.key_seconds
        limit = min(INTACT_SECONDS, keys) if math.isfinite(keys) else INTACT_SECONDS
        if seconds >= max(self.config.read_timeout_seconds, limit):
            raise SourceError(
                f"{self.label}: no intact picture for {seconds:.0f} seconds ({self.waits_for or 'none'}); "
                "let the camera send a key frame every second or two, and use transport = tcp"
            )
