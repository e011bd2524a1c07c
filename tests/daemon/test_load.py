"""The load levels, down and up, on a simulated clock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import LoadConfig
from edge.daemon.load import LoadControl, LoadLevel

SETTINGS = LoadConfig(slowest_interval_seconds=1, hot_celsius=85, step_down_seconds=5, step_up_seconds=30)


def ride(
    load: LoadControl,
    seconds: float,
    work: Callable[[LoadLevel], float],
    celsius: Callable[[LoadLevel], float | None] = lambda level: None,
    begin: float = 0.0,
) -> list[tuple[float, LoadLevel]]:
    """Update twice a second; return the changes with their times."""
    changes = []
    for step in range(int(seconds * 2)):
        now, before = begin + step / 2, load.level
        if load.update(now, work(before), celsius(before)) != before:
            changes.append((now, load.level))
    return changes


def test_a_box_that_is_well_stays_at_full() -> None:
    load = LoadControl(SETTINGS, 0)
    assert ride(load, 600, lambda level: 0.9, lambda level: 70.0) == []
    assert load.cause == ""


def test_a_short_spike_changes_nothing() -> None:
    load = LoadControl(SETTINGS, 0)
    assert ride(load, 4.5, lambda level: 9.0) == []
    assert ride(load, 600, lambda level: 0.1, begin=4.5) == []


def test_spikes_do_not_add_up() -> None:
    load = LoadControl(SETTINGS, 0)
    for minute in range(30):
        assert ride(load, 4.5, lambda level: 9.0, lambda level: 95.0, begin=60.0 * minute) == []
        assert ride(load, 1, lambda level: 0.1, begin=60.0 * minute + 4.5) == []


def test_the_step_comes_after_the_configured_time_and_not_before() -> None:
    load = LoadControl(SETTINGS, 0)
    assert load.update(100.0, 1.01, None) == LoadLevel.FULL
    assert load.update(104.999, 1.01, None) == LoadLevel.FULL
    assert load.update(105.0, 1.01, None) == LoadLevel.LOWER_RATE
    assert load.update(105.0, 99.0, None) == LoadLevel.LOWER_RATE  # the clock begins again
    assert load.update(109.999, 99.0, None) == LoadLevel.LOWER_RATE
    assert load.update(110.0, 99.0, None) == LoadLevel.MOTION_MASK
    assert load.update(200.0, 0.0, None) == LoadLevel.MOTION_MASK
    assert load.update(229.999, 0.0, None) == LoadLevel.MOTION_MASK
    assert load.update(230.0, 0.0, None) == LoadLevel.LOWER_RATE


@pytest.mark.parametrize(
    ("work", "celsius", "steps"),
    [(1.0, 84.9, 0), (1.01, 20.0, 1), (0.0, 85.0, 1), (1.01, 85.0, 1), (1.01, None, 1), (1.0, None, 0)],
)
def test_the_limits_themselves(work: float, celsius: float | None, steps: int) -> None:
    load = LoadControl(SETTINGS, 0)
    assert len(ride(load, 5.5, lambda level: work, lambda level: celsius)) == steps
    assert ("degrees" in load.cause) == (celsius == 85.0)


def test_a_hot_box_goes_down_to_the_end_and_waits_there_for_cold() -> None:
    load = LoadControl(SETTINGS, 0)
    assert [level for _, level in ride(load, 3600, lambda level: 0.1, lambda level: 99.0)] == [1, 2, 3]
    assert ride(load, 3600, lambda level: 0.0, lambda level: 75.1, begin=3600) == []
    assert "99 degrees" in load.cause


def test_a_box_that_does_not_know_its_heat_any_more_comes_up() -> None:
    load = LoadControl(SETTINGS, 0)
    assert [level for _, level in ride(load, 22, lambda level: 0.1, lambda level: 99.0)] == [1, 2, 3]
    assert [level for _, level in ride(load, 130, lambda level: 0.1, begin=22)] == [2, 1, 0]


@pytest.mark.parametrize(("work", "wait"), [(0.1, 30.0), (0.9, 300.0)])
def test_each_spike_begins_the_wait_for_better_times_anew(work: float, wait: float) -> None:
    load = LoadControl(SETTINGS, 0)
    assert len(ride(load, 5.5, lambda level: 1.5)) == 1
    for spike in range(1, 20):
        load.update(wait * spike, 9.0, None)  # too short for a step down
        assert ride(load, wait - 1, lambda level: work, begin=wait * spike + 0.5) == []
    assert load.level == LoadLevel.LOWER_RATE


@pytest.mark.parametrize("work", [0.1, 0.6, 0.75, 0.9, 1.0])
def test_a_box_that_was_only_hot_gets_back_to_full(work: float) -> None:
    """Also one that has little headroom there: it was well before."""
    load = LoadControl(SETTINGS, 0)
    ride(load, 12, lambda level: work, lambda level: 95.0)
    assert load.level == LoadLevel.MOTION_MASK
    ups = ride(load, 3600, lambda level: work, lambda level: 50.0, begin=12)
    assert [level for _, level in ups] == [1, 0]
    assert load.cause == ""


def test_a_box_that_heats_itself_does_not_flutter() -> None:
    """Heat follows the level slowly; an hour of hysteresis."""
    load, celsius, changes = LoadControl(SETTINGS, 0), 60.0, 0
    for step in range(7200):
        level = load.level
        target = 100 - 12 * level  # only the second level is cool enough to stay
        celsius += (target - celsius) * 0.5 / 120
        changes += load.update(step / 2, 0.2, celsius) != level
    assert 1 <= changes <= 40


def test_a_slow_box_goes_down_step_by_step_and_names_the_cause() -> None:
    load = LoadControl(SETTINGS, 0)
    changes = ride(load, 60, lambda level: 100.0)
    assert [level for _, level in changes][:3] == [1, 2, 3]
    times = [0.0, *(time for time, _ in changes)]
    assert all(later - earlier >= 5 for earlier, later in pairwise(times))
    assert "100.0 s" in load.cause


def test_heat_goes_down_too_and_only_a_cool_box_comes_up() -> None:
    load = LoadControl(SETTINGS, 0)
    assert [level for _, level in ride(load, 5.5, lambda level: 0.1, lambda level: 90.0)] == [1]
    assert "90 degrees" in load.cause
    assert ride(load, 600, lambda level: 0.1, lambda level: 80.0, 5.5) == []
    assert [level for _, level in ride(load, 31, lambda level: 0.1, lambda level: 74.0, 700)] == [0]
    assert load.cause == ""


def test_a_stopped_box_tries_again() -> None:
    load = LoadControl(SETTINGS, 0)
    ride(load, 22, lambda level: 100.0)
    assert load.level == LoadLevel.STOPPED
    changes = ride(load, 200, lambda level: 0.0 if level == LoadLevel.STOPPED else 0.2, begin=22)
    assert [level for _, level in changes] == [2, 1, 0]


def test_a_wanted_interval_that_is_longer_allows_more() -> None:
    assert ride(LoadControl(SETTINGS, 60), 600, lambda level: 50.0) == []


@pytest.mark.parametrize("seconds", [1.05, 1.4, 1.9, 2.5, 3.9, 4.1, 9.0, 30.0])
def test_the_level_does_not_flutter(seconds: float) -> None:
    """An hour at a constant load settles, or, where even the lowest rate is too much, the box tries again no
    more than once in 35 s."""

    def work(level: LoadLevel) -> float:
        return 0.0 if level == LoadLevel.STOPPED else seconds

    changes = ride(LoadControl(SETTINGS, 0), 3600, work)
    assert len(changes) <= (3 + 2 * 3600 / 35 if seconds > 4 else 3)


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 100), st.one_of(st.none(), st.floats(20, 120))),
        max_size=200,
    )
)
def test_steps_are_single_and_never_too_early(script: list[tuple[float, float, float | None]]) -> None:
    load = LoadControl(SETTINGS, 0)
    now = changed = 0.0
    for wait, work, celsius in script:
        now += wait
        before = load.level
        after = load.update(now, work, celsius)
        assert after == load.level
        assert abs(after - before) <= 1
        assert LoadLevel.FULL <= after <= LoadLevel.STOPPED
        if after != before:
            limit = SETTINGS.step_down_seconds if after > before else SETTINGS.step_up_seconds
            assert now - changed >= limit - 1e-9
            changed = now
        if after < before:
            assert celsius is None or celsius <= SETTINGS.hot_celsius - 10
        assert (load.cause == "") == (after == LoadLevel.FULL)


def test_levels_never_give_back_what_the_one_above_took() -> None:
    levels = list(LoadLevel)
    assert [level.value for level in levels] == [0, 1, 2, 3]
    for better, worse in pairwise(levels):
        assert worse.busy_share <= better.busy_share
        assert worse.interval_factor >= better.interval_factor
    assert len({level.text for level in levels}) == len(levels)
