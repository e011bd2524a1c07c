"""What the box gives up, in which order, when it is too slow or too hot, and how it comes back.

Each step is visible in the status, and none of them stores a frame that was not detected on:

1. lower rate: cameras are looked at half of the time, and twice ``store.interval_seconds`` apart;
2. no tiles: small faces are looked for in the whole frame only;
3. motion mask: a quarter of the time; all that moves is covered too, since small faces may be missed;
4. stopped: nothing is looked at or stored.

Stepping up needs a margin and takes longer than stepping down, so that the level does not flutter.
"""

from __future__ import annotations

from enum import IntEnum

from edge.config import LoadConfig

COOL_DOWN_CELSIUS = 10.0
"""How far below ``load.hot_celsius`` the box must be before it steps up."""
HEADROOM = 0.7
"""Share of the allowed time that the next better level may need, by estimate, to be tried soon."""
PATIENCE = 10
"""A better level that would need more than that, but no more than is allowed, is tried so many times later: a
box that was only hot must get back to where it was well."""


class LoadLevel(IntEnum):
    """From all that is configured to nothing at all."""

    FULL = 0
    LOWER_RATE = 1
    NO_TILES = 2
    MOTION_MASK = 3
    STOPPED = 4

    @property
    def busy_share(self) -> float:
        """Share of the time that may be spent on looking."""
        return (1.0, 0.5, 0.5, 0.25, 0.0)[self]

    @property
    def interval_factor(self) -> int:
        """How many times longer the intervals are."""
        return (1, 2, 2, 4, 4)[self]

    @property
    def text(self) -> str:
        """What an operator reads."""
        return (
            "everything as configured",
            "lower rate",
            "lower rate, no tiles",
            "a quarter of the rate, no tiles, all that moves is covered",
            "stopped: too slow or too hot even for that",
        )[self]


class LoadControl:
    """Decides the level. ``cause`` says why it is not ``FULL``."""

    def __init__(self, config: LoadConfig, interval_seconds: float, looks: int) -> None:
        """``interval_seconds`` is the wanted time between two images of a camera; ``looks`` is how many
        times the detector runs on a frame with tiles, 1 without."""
        self._config = config
        self._allowed = max(config.slowest_interval_seconds, interval_seconds)
        self._looks = looks
        self.level = LoadLevel.FULL
        self.cause = ""
        self._bad_since: float | None = None
        self._good_since: float | None = None
        self._fair_since: float | None = None

    def update(self, now: float, round_seconds: float, celsius: float | None) -> LoadLevel:
        """Decide anew. ``now`` is monotonic; ``round_seconds`` is the work of one look at every camera;
        ``celsius`` the box's temperature, if it is known."""
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
                    else f"one look at every camera takes {round_seconds:.1f} s"
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
        """How much of what the next better level allows it would need, by estimate; infinite for a box that
        is too warm."""
        if celsius is not None and celsius > self._config.hot_celsius - COOL_DOWN_CELSIUS:
            return float("inf")
        if self.level == LoadLevel.STOPPED:  # nothing is measured any more; only trying tells
            return 0.0
        better = LoadLevel(self.level - 1)
        estimate = round_seconds * (self._looks if self.level == LoadLevel.NO_TILES else 1)
        return estimate / (self._allowed * better.interval_factor)


def _begin(since: float | None, now: float, holds: bool) -> float | None:
    """When a condition that may hold now began to hold."""
    if not holds:
        return None
    return now if since is None else since
