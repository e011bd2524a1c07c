"""What the attack suite shares: each test says how many faults it injected and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest


class Proof(Protocol):
    def __call__(self, *, faults: int, leaked: int = 0, lost: int = 0) -> None: ...


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Proof:
    """Record the outcome of attacks, after they were checked; ``make proof`` adds these up.

    ``faults``: single faults that were injected in this test. ``leaked``: raw pieces found where none may
    be. ``lost``: acknowledged images that are missing or damaged.
    """

    def record(*, faults: int, leaked: int = 0, lost: int = 0) -> None:
        assert faults > 0
        for name, value in (("faults", faults), ("leaked", leaked), ("lost", lost)):
            record_property(name, value)

    return record
