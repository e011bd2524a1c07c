"""Down and up the ladder, on a simulated clock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import LoadConfig
from edge.ladder import Ladder, Level

SETTINGS = LoadConfig(slowest_interval_seconds=1, hot_celsius=85, step_down_seconds=5, step_up_seconds=30)


def ride(
    ladder: Ladder,
    seconds: float,
    work: Callable[[Level], float],
    celsius: Callable[[Level], float | None] = lambda level: None,
    begin: float = 0.0,
) -> list[tuple[float, Level]]:
    """Update twice a second; return the changes with their times."""
    changes = []
    for step in range(int(seconds * 2)):
        now, before = begin + step / 2, ladder.level
        if ladder.update(now, work(before), celsius(before)) != before:
            changes.append((now, ladder.level))
    return changes


def test_a_box_that_is_well_stays_at_full() -> None:
    ladder = Ladder(SETTINGS, 0, 1)
    assert ride(ladder, 600, lambda level: 0.9, lambda level: 70.0) == []
    assert ladder.cause == ""


def test_a_short_spike_changes_nothing() -> None:
    ladder = Ladder(SETTINGS, 0, 1)
    assert ride(ladder, 4.5, lambda level: 9.0) == []
    assert ride(ladder, 600, lambda level: 0.1, begin=4.5) == []


def test_a_slow_box_goes_down_step_by_step_and_names_the_cause() -> None:
    ladder = Ladder(SETTINGS, 0, 1)
    changes = ride(ladder, 60, lambda level: 100.0)
    assert [level for _, level in changes][:4] == [1, 2, 3, 4]
    times = [0.0, *(time for time, _ in changes)]
    assert all(later - earlier >= 5 for earlier, later in pairwise(times))
    assert "100.0 s" in ladder.cause


def test_heat_goes_down_too_and_only_a_cool_box_comes_up() -> None:
    ladder = Ladder(SETTINGS, 0, 1)
    assert [level for _, level in ride(ladder, 5.5, lambda level: 0.1, lambda level: 90.0)] == [1]
    assert "90 degrees" in ladder.cause
    assert ride(ladder, 600, lambda level: 0.1, lambda level: 80.0, 5.5) == []
    assert [level for _, level in ride(ladder, 31, lambda level: 0.1, lambda level: 74.0, 700)] == [0]
    assert ladder.cause == ""


def test_a_stopped_box_tries_again() -> None:
    ladder = Ladder(SETTINGS, 0, 1)
    ride(ladder, 22, lambda level: 100.0)
    assert ladder.level == Level.STOPPED
    changes = ride(ladder, 200, lambda level: 0.0 if level == Level.STOPPED else 0.2, begin=22)
    assert [level for _, level in changes] == [3, 2, 1, 0]


def test_a_wanted_interval_that_is_longer_allows_more() -> None:
    assert ride(Ladder(SETTINGS, 60, 1), 600, lambda level: 50.0) == []


@pytest.mark.parametrize("full", [1.05, 1.4, 1.9, 2.5, 3.9, 4.1, 9.0, 30.0])
@pytest.mark.parametrize("looks", [1, 5, 17])
def test_the_level_does_not_flutter(full: float, looks: int) -> None:
    """Tiles cost ``looks - 1`` of ``looks``; an hour at a constant load settles, or, where even the
    smallest level is too much, tries again no more than once in 35 s."""

    def work(level: Level) -> float:
        if level == Level.STOPPED:
            return 0.0
        return full / looks if level >= Level.NO_TILES else full

    changes = ride(Ladder(SETTINGS, 0, looks), 3600, work)
    hopeless = full / looks > 4
    assert len(changes) <= (4 + 2 * 3600 / 35 if hopeless else 4)


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 100), st.one_of(st.none(), st.floats(20, 120))),
        max_size=200,
    )
)
def test_steps_are_single_and_never_too_early(script: list[tuple[float, float, float | None]]) -> None:
    ladder = Ladder(SETTINGS, 0, 3)
    now = changed = 0.0
    for wait, work, celsius in script:
        now += wait
        before = ladder.level
        after = ladder.update(now, work, celsius)
        assert abs(after - before) <= 1
        assert Level.FULL <= after <= Level.STOPPED
        if after != before:
            limit = SETTINGS.step_down_seconds if after > before else SETTINGS.step_up_seconds
            assert now - changed >= limit or changed == 0
            changed = now
        assert (ladder.cause == "") == (after == Level.FULL)
