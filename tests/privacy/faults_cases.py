"""In which cases and at which moments attacks are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tests.privacy.faults import FRAMES, WHEN


@dataclass(frozen=True)
class Case:
    """One way to configure what is under attack."""

    before: int = 0
    after: float = 0
    last_look: str = "off"
    on_failure: str = "drop"


HOLDS = ((0, 0), (3, 0), (0, 1), (3, 1))
CASES = [
    Case(before, after, last_look, on_failure)
    for before, after in HOLDS
    for last_look in ("off", "always")
    for on_failure in ("drop", "cover")
]


WITH_LAST_LOOK = [case for case in CASES if case.last_look == "always"]
DROPPING = [case for case in CASES if case.on_failure == "drop"]
COVERING = [case for case in CASES if case.on_failure == "cover"]
T = TypeVar("T")


def some(combinations: Iterable[T], turn: int = 0, share: int = 5) -> list[T]:
    """Every fifth combination (``share``), from another one on each ``turn``. Of 5 moments times 16 cases, in
    this order, that takes in each moment and each case."""
    return list(combinations)[turn % share :: share]


def attacks(cases: Iterable[Case], turn: int = 0, share: int = 5) -> list[tuple[str, Case]]:
    """Some moments with some of these cases."""
    return some(itertools.product(WHEN, cases), turn, share)


def without_lookahead(cuts: list[int], before: int, live: bool, numbers: list[int]) -> set[int]:
    """Frames of a camera that waited for those after them when the scene ended, before each of the ``cuts``
    and at last; a file loses none."""
    lost: set[int] = set()
    if live and before:
        for cut in [*cuts, FRAMES]:
            lost.update([number for number in numbers if number < cut][-before:])
    return lost


def with_live(turn: int = 0) -> list[tuple[str, Case, bool]]:
    """Some moments and cases, with a camera and with a file (``live``)."""
    return some(itertools.product(WHEN, DROPPING, (True, False)), turn)
