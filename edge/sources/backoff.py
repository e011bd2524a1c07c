"""Back-off: the pauses before a lost camera is opened again. They double from one second to a minute."""

from __future__ import annotations

import random

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 1.0, 60.0
JITTER = 0.2
"""Each pause is shortened or lengthened by up to this share, so that cameras that were lost together are not
all opened in the same moment."""


class Backoff:
    """The pauses of one camera."""

    def __init__(self) -> None:
        self._pause = FIRST_BACKOFF_SECONDS

    def next_seconds(self) -> float:
        """The pause before the next attempt, in seconds; the one after it will be longer."""
        pause = self._pause * random.uniform(1 - JITTER, 1 + JITTER)
        self._pause = min(self._pause * 2, LONGEST_BACKOFF_SECONDS)
        return min(pause, LONGEST_BACKOFF_SECONDS)

    def reset(self) -> None:
        """Start again with the shortest pause: the camera has delivered a good picture."""
        self._pause = FIRST_BACKOFF_SECONDS
