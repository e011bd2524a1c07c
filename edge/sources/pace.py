"""How late a picture of a live stream is, judged by when its pictures usually come."""

from __future__ import annotations

WAIT_SECONDS, DRAIN_SECONDS = 0.02, 1.0
"""After opening, pictures that come within the first of these had been waiting, at most for the second."""
WINDOW_SECONDS, WINDOW_PICTURES = 10.0, 10
"""The usual interval is the smallest mean over this many seconds and at least this many pictures."""
STEADY_SECONDS = 0.1
"""A window counts only if the lag changed by no more than this within it: catching up is no pace."""
TOLERANCE = 0.05
"""How much longer than the usual interval pictures may take without counting as later, as a share of it."""
LONGEST_SECONDS = 0.5
"""Before the first window has ended, an interval up to this is no silence."""


class Pace:
    """Lag of pictures from their arrival times alone, for a camera whose clock is wrong, in seconds.

    The lag grows by what an interval between two pictures is longer than usual, and falls by what one is
    shorter. So it sees a silence, and a network that begins to let through less than the camera sends. What
    it cannot see: a queue that was there, or grew evenly, from the first picture on, and one that grows by
    less than TOLERANCE. A camera that changes to fewer pictures per second looks like one that is late.

    >>> pace = Pace(opened=0.0)
    >>> [round(pace.lag(1 + n / 10), 3) for n in range(150)][::149]  # ten per second
    [1.0, 0.0]
    >>> round(pace.lag(1 + 14.9 + 3), 1)  # three seconds of silence
    2.9
    """

    def __init__(self, opened: float) -> None:
        """``opened`` is the monotonic time at which opening began, in seconds."""
        self._opened = opened
        self._first: float | None = None
        self._last = self._lag = 0.0
        self._waiting = True  # what piled up while the stream was opened is still being read
        self._usual: float | None = None
        self._mean: float | None = None  # that of the window so far
        self._window: tuple[float, int, float] | None = None  # begin, number of pictures, lag at the begin

    def lag(self, arrived: float) -> float:
        """Lag of the next picture, which arrived at this monotonic time (seconds)."""
        if self._first is None:
            self._first = self._last = arrived
            return arrived - self._opened
        gap, self._last = arrived - self._last, arrived
        if self._waiting:
            self._waiting = gap < WAIT_SECONDS and arrived < self._first + DRAIN_SECONDS
            if self._waiting:
                return arrived - self._opened
        self._lag = max(0.0, self._lag + self._later(gap))
        self._learn(arrived)
        return self._lag

    def _later(self, gap: float) -> float:
        """By how much a picture is later than the one before it, which came ``gap`` seconds earlier."""
        if self._usual is not None:
            change = gap - self._usual
            # The tolerance is for what is a little too long, and never makes up for a silence.
            return change - TOLERANCE * self._usual if change > 0 else change
        if self._mean is None:  # nothing to compare the first interval with
            return 0.0
        if gap > max(LONGEST_SECONDS, 2 * self._mean):
            return gap - self._mean
        return gap - self._mean if gap < self._mean / 2 else 0.0  # only a burst makes up for a silence

    def _learn(self, arrived: float) -> None:
        if self._window is None:
            self._window = (arrived, 0, self._lag)
            return
        begin, count, lag = self._window
        self._window = (begin, count + 1, lag)
        self._mean = (arrived - begin) / (count + 1)
        if arrived - begin < WINDOW_SECONDS or count + 1 < WINDOW_PICTURES:
            return
        if abs(self._lag - lag) <= STEADY_SECONDS:
            self._usual = min(self._mean, self._usual or self._mean)
        self._window = None
