"""Whether the clock of a camera can be relied on: what was learnt in all openings of its stream."""

from __future__ import annotations

import logging

import numpy as np

log = logging.getLogger(__name__)

SAMPLE_SECONDS, MOST_SAMPLES = 0.1, 600
"""How far apart the points of a line are at least, and how many of them are kept."""
LEAST_SAMPLES, LEAST_SECONDS = 6, 2.0
"""A line needs at least this many points, and this long a time."""
STRAIGHT_SECONDS = 0.01
"""Half of the points of a straight line are nearer to it than this. A queue is not as straight: a key frame
takes several times as long to get through a narrow network as the pictures around it."""
SAME_SHARE, SAME_SLOPE = 0.05, 0.002
"""Two slopes are the same if they differ by no more than this share of the first plus this."""
KEEPS_SHARE, KEEPS_SLOPE = 0.05, 0.01
"""The same for a clock that has been found wrong, and must go on in the same way."""
MOST_VERDICTS = 2
"""A verdict that proves wrong so often is not given again: then it is the network."""


class Line:
    """Arrival minus presentation time, over the arrival (seconds), of one opening."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._every = SAMPLE_SECONDS

    def add(self, arrived: float, offset: float) -> None:
        if self._points and arrived - self._points[-1][0] < self._every:
            return
        self._points.append((arrived, offset))
        if len(self._points) > MOST_SAMPLES:
            self._points, self._every = self._points[::2], 2 * self._every

    @property
    def rise(self) -> float:
        """By how much the last point is above the first, in seconds; negative: below."""
        return self._points[-1][1] - self._points[0][1] if self._points else 0.0

    @property
    def seconds(self) -> float:
        """The time from the first point to the last."""
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def trend(self) -> float | None:
        """Its slope in seconds per second, straight or not; None: it is too short."""
        return self._fit(slice(None))[0] if self._long_enough else None

    def slope(self) -> float | None:
        """The same; None also where the points do not make a straight line."""
        if not self._long_enough:
            return None
        half = len(self._points) // 2
        (slope, off), (first, _), (second, _) = map(self._fit, (slice(None), slice(half), slice(half, None)))
        return slope if off <= STRAIGHT_SECONDS and _same(first, second) else None

    @property
    def _long_enough(self) -> bool:
        return len(self._points) >= LEAST_SAMPLES and self.seconds >= LEAST_SECONDS

    def _fit(self, part: slice) -> tuple[float, float]:
        """The slope of some of the points, and how far half of them are off at most (seconds)."""
        time, offset = (np.array(self._points[part]) - self._points[0]).T
        slope, begin = np.polyfit(time, offset, 1)
        return float(slope), float(np.median(np.abs(offset - (begin + slope * time))))


class CameraClock:
    """What is known of one camera's clock.

    ``ignored``: lateness is not measured by it. ``problem`` says why, for an operator; it is empty while the
    clock is used, and where the configuration says that it is to be ignored.

    A clock that is too slow and a network that lets through too little look alike: pictures come later and
    later. The clock is found to be wrong when they do so on a straight line, and on the same one after the
    stream was opened again, since that empties every queue. It must go on in the same way; where it does
    not, it was the network, and the clock is used again.
    """

    def __init__(self, camera: str = "", *, ignored: bool = False) -> None:
        self.ignored = ignored
        self.problem = ""
        self._camera, self._configured = camera, ignored
        self._slope: float | None = None  # in the last opening in which there was one
        self._earlier: float | None = None  # in one before that
        self._verdicts = 0

    def opened(self) -> None:
        """The stream is opened again."""
        if self._slope is not None and not self.ignored:
            self._earlier, self._slope = self._slope, None

    def suspect(self, slope: float | None) -> None:
        """Pictures seem to be late, or too early, and arrival minus presentation has this slope (seconds per
        second); None: it has none."""
        if slope is None or self._verdicts >= MOST_VERDICTS:
            return
        self._slope = slope
        too_early = slope < 0  # than they can have been taken; no network does that
        if too_early or (self._earlier is not None and _same(self._earlier, slope)):
            self.ignored = True
            self._verdicts += 1
            self.problem = (
                f"its clock runs at {1 - slope:.3f} times the real speed and is ignored; how late pictures "
                "are is judged by the pace at which they come"
            )
            log.warning(
                "camera %s: %s (cameras.%s.ignore_clock = true does so from the start)",
                self._camera,
                self.problem,
                self._camera,
            )

    def check(self, slope: float | None) -> None:
        """Check a verdict by the slope since the last check: it is withdrawn where that is another one."""
        if self._configured or self._slope is None or slope is None:
            return
        if abs(slope - self._slope) <= KEEPS_SHARE * abs(self._slope) + KEEPS_SLOPE:
            return
        self.ignored, self.problem = False, ""
        self._slope = self._earlier = None
        log.warning(
            "camera %s: its clock goes otherwise than when it was found to be wrong, so it is used again; is "
            "the network too slow?",
            self._camera,
        )


def _same(first: float, second: float) -> bool:
    return abs(first - second) <= SAME_SHARE * abs(first) + SAME_SLOPE
