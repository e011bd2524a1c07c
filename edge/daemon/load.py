"""The load levels: what the box gives up, and in which order, when it is too slow or too hot.

The status shows the level, and on none of them is a frame stored that was not detected on:

1. lower rate: the box is busy with detection half of the time, and images are at least twice
   ``store.interval_seconds`` apart;
2. motion mask: a quarter of the time; all that moves is covered too, since hold knows little of what happens
   between frames that are so far apart;
3. stopped: nothing is detected on or stored.

Faces of ``privacy.smallest_face_pixels`` are looked for on all of them: the pixels are never fewer.

Getting better needs a margin and takes longer than getting worse, so that the level does not flutter.
"""

from __future__ import annotations

from enum import IntEnum

from edge.config import LoadConfig

COOL_DOWN_CELSIUS = 10.0
"""How far below ``load.hot_celsius`` the box must be before it tries the next better level."""
HEADROOM = 0.7
"""The next better level is tried soon if its estimated share of the allowed time is no more than this."""
PATIENCE = 10
"""A better level that needs more than that, but no more than is allowed, is tried after this many times the
wait: a box that was only hot must get back to the level at which it ran well."""


class LoadLevel(IntEnum):
    """From all that is configured to nothing at all."""

    FULL = 0
    LOWER_RATE = 1
    MOTION_MASK = 2
    STOPPED = 3

    @property
    def busy_share(self) -> float:
        """Share of the time that may be spent on detection."""
        return (1.0, 0.5, 0.25, 0.0)[self]

    @property
    def interval_factor(self) -> int:
        """Factor by which the intervals between images are longer."""
        return (1, 2, 4, 4)[self]

    @property
    def text(self) -> str:
        """What an operator reads."""
        return (
            "everything as configured",
            "lower rate",
            "a quarter of the rate, all that moves is covered",
            "stopped: too slow or too hot even for that",
        )[self]


class LoadControl:
    """Decides the load level. ``cause`` says why it is not ``FULL``."""

    def __init__(self, config: LoadConfig, interval_seconds: float) -> None:
        """``interval_seconds`` is the configured time between two images of a camera."""
        self._config = config
        self._allowed = max(config.slowest_interval_seconds, interval_seconds)
        self.level = LoadLevel.FULL
        self.cause = ""
        self._bad_since: float | None = None
        self._good_since: float | None = None
        self._fair_since: float | None = None

    def update(self, now: float, round_seconds: float, celsius: float | None) -> LoadLevel:
        """Decide again. ``now`` is monotonic; ``round_seconds`` is how long one frame of every camera takes;
        ``celsius`` is the box's temperature, if it is known."""
        config, level = self._config, self.level
        hot = celsius is not None and celsius >= config.hot_celsius
        slow = level < LoadLevel.STOPPED and round_seconds > self._allowed * level.interval_factor
        if hot or slow:
            self._good_since = self._fair_since = None
            self._bad_since = now if self._bad_since is None else self._bad_since
            if now - self._bad_since >= config.step_down_seconds and level < LoadLevel.STOPPED:
                self.level = LoadLevel(level + 1)
                self.cause = (
                    f"{celsius:.0f} degrees Celsius"
                    if hot
                    else f"one frame of every camera takes {round_seconds:.1f} s"
                )
                self._bad_since = None
            return self.level
        self._bad_since = None
        if level == LoadLevel.FULL:
            return self.level
        share = self._share_needed(round_seconds, celsius)
        self._good_since = _begin(self._good_since, now, share <= HEADROOM)
        self._fair_since = _begin(self._fair_since, now, share <= 1)
        good = 0.0 if self._good_since is None else now - self._good_since
        fair = 0.0 if self._fair_since is None else now - self._fair_since
        if max(good, fair / PATIENCE) >= config.step_up_seconds:
            self.level = LoadLevel(level - 1)
            self._good_since = self._fair_since = None
            if self.level == LoadLevel.FULL:
                self.cause = ""
        return self.level

    def _share_needed(self, round_seconds: float, celsius: float | None) -> float:
        """Estimated share of the time allowed on the next better level that it would need; infinite while the
        box is too warm for it."""
        if celsius is not None and celsius > self._config.hot_celsius - COOL_DOWN_CELSIUS:
            return float("inf")
        if self.level == LoadLevel.STOPPED:  # nothing is measured here, so the next level has to be tried
            return 0.0
        better = LoadLevel(self.level - 1)
        return round_seconds / (self._allowed * better.interval_factor)


def _begin(since: float | None, now: float, holds: bool) -> float | None:
    """Since when a condition has held, given since when it did before, if at all."""
    if not holds:
        return None
    return now if since is None else since
