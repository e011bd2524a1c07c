"""How late a picture of a live stream is, measured by the stream's own clock."""

from __future__ import annotations

import math

from edge.sources.camera_clock import CameraClock, Line
from edge.sources.pace import Pace

DRIFT = 500e-6
"""How much faster or slower than this machine's clock a camera's may run: seconds per second."""
BETTER_SECONDS = 0.005
IN_TIME = 5
IN_TIME_SECONDS = 1.0
"""The backlog from opening has been read when none of this many pictures in a row, or none for this long, was
less late by BETTER_SECONDS than all earlier ones."""
JUDGE_SECONDS = 1.0
"""How often the camera's clock is judged while its pictures seem late."""
LATE_SECONDS = 1.0
"""From this lag on, a stream is late."""
FAST_SECONDS = 10.0
"""Pictures that have become less late by more than this come from a clock that is fast: nothing arrives
before it was taken."""
CHECK_SECONDS = 10.0
"""How often a verdict on a clock is checked."""


class StreamClock:
    """Lag of pictures from their presentation times, in seconds.

    ``arrival - presentation`` is constant for a stream that arrives in time. Its smallest value so far is
    taken for "in time" (it may rise by ``DRIFT``, since no two clocks run alike), and a picture is late by
    what it has above that. A constant delay (exposure, encoder, network) cannot be seen.

    While a stream is being opened, pictures pile up and then arrive faster than they were taken. Until that
    backlog is read, no picture counts as younger than if the first one had been taken when opening began.

    A clock that is found to be wrong, stands still, or is to be ignored is replaced by the pace at which
    pictures come.

    >>> clock = StreamClock(opened=100.0)
    >>> [round(clock.lag(n / 10, 101 + n / 10), 3) for n in range(8)]  # one second to open, then in time
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    >>> round(clock.lag(0.8, 104.8), 2)  # three seconds late
    3.0
    """

    def __init__(self, opened: float, camera: CameraClock | None = None) -> None:
        """``opened`` is the monotonic time at which opening began, in seconds; ``camera`` is what is known of
        this camera's clock from earlier openings."""
        self._first = opened
        self._offset: float | None = None
        self._presented = self._arrived = 0.0
        self._in_time = 0
        self._best_at = self._lag = 0.0
        self._camera = CameraClock() if camera is None else camera
        self._pace = Pace(opened)
        self._line = Line()
        self._judged_at = float("-inf")
        self._camera.opened()

    def lag(self, presented: float, arrived: float) -> float:
        """Lag of one picture: its presentation time and its arrival (monotonic), both in seconds.

        When the presentation time stands still for IN_TIME_SECONDS, or is not a finite number, the stream has
        no usable clock, and the lag is that of the pace.
        """
        pace = self._pace.lag(arrived)
        stands = self._offset is not None and presented == self._presented
        if stands or not math.isfinite(presented):
            stood = arrived - self._arrived
            late = self._lag + stood if stood < IN_TIME_SECONDS else pace
            return pace if self._camera.ignored else late
        self._lag = max(0.0, self._measure(presented, arrived))
        self._judge(arrived - presented, arrived)
        return pace if self._camera.ignored else self._lag

    def _judge(self, offset: float, arrived: float) -> None:
        """Decide whether the camera's clock is wrong, or whether an earlier verdict still holds."""
        self._line.add(arrived, offset)
        if not self._camera.ignored:
            seems_wrong = self._lag > LATE_SECONDS or self._line.rise < -FAST_SECONDS
            if seems_wrong and arrived - self._judged_at >= JUDGE_SECONDS:
                self._judged_at = arrived
                self._camera.suspect(self._line.slope())
            return
        if self._line.seconds >= CHECK_SECONDS:
            self._camera.check(self._line.trend())
            self._line = Line()

    def _measure(self, presented: float, arrived: float) -> float:
        offset = arrived - presented
        back, since = presented < self._presented, arrived - self._arrived
        self._presented, self._arrived = presented, arrived
        if self._offset is None:
            self._first -= presented
            self._offset, self._best_at = offset, arrived
            return offset - self._first
        if back:  # the stream's clock was set back, so earlier times mean nothing
            self._offset, self._in_time = offset, IN_TIME
            self._line = Line()
        if self._in_time < IN_TIME:
            if offset < self._offset - BETTER_SECONDS:
                self._in_time, self._best_at = 0, arrived
            else:
                self._in_time += 1 if arrived < self._best_at + IN_TIME_SECONDS else IN_TIME
            self._offset = min(offset, self._offset)
            if self._in_time < IN_TIME:
                return offset - self._first
            self._line = Line()  # without the backlog
        self._offset = min(offset, self._offset + since * DRIFT)
        return offset - self._offset
