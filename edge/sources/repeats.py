"""Repeated pictures: a live camera that froze, or was unplugged, may deliver the last one forever."""

from __future__ import annotations

import time

import numpy as np

from edge.errors import SourceError
from edge.frames import Pixels
from edge.sources.base import Source


class FrozenError(SourceError):
    """The camera repeats one picture."""


class Repeats:
    """The last new picture of a camera, and since when no other one has arrived."""

    def __init__(self) -> None:
        self._last: Pixels | None = None
        self._last_change = time.monotonic()

    def repeated(self, pixels: Pixels) -> bool:
        """Whether this is the last new picture again."""
        return self._last is not None and same(self._last, pixels)

    def note_new(self, pixels: Pixels) -> None:
        """Keep a new picture, uint8 ``[H, W, 3]``."""
        self._last, self._last_change = pixels, time.monotonic()

    def check_frozen(self, source: Source) -> None:
        """Raise FrozenError when nothing new has arrived for ``stale_after_seconds``."""
        limit = source.config.stale_after_seconds
        if time.monotonic() - self._last_change >= limit:
            raise FrozenError(
                f"{source.label}: the same picture for {limit:g} seconds or longer: the camera is frozen"
            )


def same(first: Pixels, second: Pixels) -> bool:
    """Whether two pictures are equal in every pixel.

    Most pictures already differ in the few rows that are compared first, so this is cheap.
    """
    if first.shape != second.shape:
        return False
    return np.array_equal(first[::64], second[::64]) and np.array_equal(first, second)
