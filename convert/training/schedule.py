"""How far a run is, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_STEPS = 100
"""In the first steps the rate rises: the optimizer does not know the gradients' sizes yet."""
LAST_SHARE = 0.02
"""The rate at the end, as a share of the highest."""


@dataclass(frozen=True)
class Schedule:
    """A run ends after ``steps`` steps or ``seconds``, whichever comes first (``seconds`` None: no limit)."""

    steps: int
    seconds: float | None
    rate: float

    def progress(self, step: int, elapsed: float) -> float:
        """The share of the run that is done, 0..1.

        >>> Schedule(1000, 60.0, 0.1).progress(100, 30.0)
        0.5
        """
        shares = [step / self.steps]
        if self.seconds is not None:
            shares.append(elapsed / self.seconds)
        return min(1.0, max(shares))

    def rate_at(self, step: int, elapsed: float) -> float:
        """The learning rate: it rises, then falls along half a cosine (Loshchilov and Hutter 2017,
        arXiv:1608.03983).

        >>> Schedule(1000, None, 0.1).rate_at(1000, 0.0)
        0.002
        """
        wave = 0.5 * (1 + math.cos(math.pi * self.progress(step, elapsed)))
        return self.rate * min(1.0, (step + 1) / WARM_STEPS) * (LAST_SHARE + (1 - LAST_SHARE) * wave)
