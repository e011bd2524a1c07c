"""How much of each long search runs: ``SWEEP_EVERY=7 make sweep`` tries every seventh of what it enumerates.

CI runs at each change, so it takes a sample, the same each time; ``make sweep`` and ``make proof`` try
everything. Take a number that has no factor in common with the loops that made the list (2, 3 and 4 are
frequent), or one of their values is never tried.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY = int(os.environ.get("SWEEP_EVERY", "1"))


def sampled(cases: Sequence[T]) -> list[T]:
    """Every ``SWEEP_EVERY``-th case, the first among them."""
    return list(cases[::EVERY])


def fewer(count: int) -> int:
    """As many of ``count`` random tries, at least one."""
    return max(1, count // EVERY)
