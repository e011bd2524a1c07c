"""Repeated, frozen and old pictures, and clocks that jump: nothing is stored twice, and no face uncovered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge.reasons import Reason
from edge.sources import backoff
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, WHEN
from tests.privacy.faults_cases import DROPPING, attacks, with_live, without_lookahead
from tests.privacy.faults_tools import Script, Shot, shots
from tests.privacy.faults_world import World, check_log, named

Change = Callable[[Shot], Shot]


@pytest.fixture(autouse=True)
def _reopened_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(backoff, "LONGEST_BACKOFF_SECONDS", 0.001)


def changed(at: frozenset[int], change: Change) -> list[object]:
    return [change(item) if item.number in at else item for item in shots()]


# Repeated, frozen and old pictures


@pytest.mark.parametrize("times", [1, 5])
def test_a_repeated_picture_is_not_stored_twice(
    world: World, times: int, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case in attacks(DROPPING, times, 3):
        with named(when, case):
            items: list[object] = []
            for item in shots():
                items.append(item)
                if item.number in WHEN[when]:
                    items += [replace(item, media=item.media + (n + 1) / 1000) for n in range(times)]
            run = world.play(case, source=Script(items, live=True))
            lost = without_lookahead([], case.before, True, sorted(ALL))
            dropped = {Reason.REPEATED: times * len(WHEN[when])}
            if lost:
                dropped[Reason.NO_LOOKAHEAD] = len(lost)
            world.check_stored(run, case, lost=lost, dropped=dropped)
            world.check_same(run, case, ALL - lost)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def test_a_frozen_camera_is_opened_again_and_stores_each_picture_once(
    world: World, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case in attacks(DROPPING, share=3):
        with named(when, case):
            items: list[object] = []
            for item in shots():
                items += [item, item] if item.number in WHEN[when] else [item]
            source = Script(items, live=True, stale_after_seconds=1e-9)
            run = world.play(case, source=source)
            assert run.dropped[Reason.REPEATED] == len(WHEN[when])
            lost = without_lookahead([], case.before, True, sorted(ALL))
            assert run.numbers == ALL - lost
            world.check_same(run, case, ALL - lost)
        runs += 1
    assert any("the camera is frozen" in record.message for record in caplog.records)
    check_log(caplog)
    proof(faults=runs)


def test_an_old_picture_of_a_camera_is_not_stored(
    world: World, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case in attacks(DROPPING, share=3):
        with named(when, case):
            at = WHEN[when]
            items = changed(at, lambda item: replace(item, age=61))
            run = world.play(case, source=Script(items, live=True))
            unseen = without_lookahead([], case.before, True, sorted(ALL - at))
            dropped = {Reason.STALE: len(at)}
            if unseen:
                dropped[Reason.NO_LOOKAHEAD] = len(unseen)
            world.check_stored(run, case, lost=at | unseen, dropped=dropped)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


# Clocks


def at_media(value: float) -> Change:
    return lambda item: replace(item, media=value)


CLOCKS: dict[str, tuple[Change, bool]] = {
    "a jump back": (lambda item: replace(item, media=item.media - 100 * (item.number + 1)), True),
    "a jump forward": (lambda item: replace(item, media=item.media + 100), True),
    "minus infinity": (at_media(-math.inf), True),
    "infinity": (at_media(math.inf), True),
    "NaN": (at_media(math.nan), False),
    "a day back on the wall": (lambda item: replace(item, utc_ms=item.utc_ms - 86_400_000), False),
    "before 1970": (lambda item: replace(item, utc_ms=item.utc_ms - 2_000_000_000_000), False),
    "ten years ahead": (lambda item: replace(item, utc_ms=item.utc_ms + 315_360_000_000), False),
}
"""What happens to the time of a frame, and whether that may end the scene."""


@pytest.mark.parametrize("name", CLOCKS)
def test_a_clock_that_jumps_uncovers_nothing(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    change, cuts = CLOCKS[name]
    runs = 0
    for when, case, live in with_live(list(CLOCKS).index(name)):
        with named(name, when, case, "live" if live else "file"):
            run = world.play(case, source=Script(changed(WHEN[when], change), live))
            lost = set(ALL - run.numbers)
            if not live:
                assert lost == set()
            elif not cuts:
                assert lost == without_lookahead([], case.before, True, sorted(ALL))
            elif case.before == 0:
                assert lost == set()
            world.check_stored(run, case, lost=lost, dropped={Reason.NO_LOOKAHEAD: len(lost)} if lost else {})
        runs += 1
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("year", [-40_000, 400_000])
def test_a_wall_clock_beyond_the_calendar_is_an_error_of_the_store(
    world: World, year: int, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case in attacks(DROPPING, share=3):
        with named(when, case):
            at = WHEN[when]
            items = changed(at, lambda item: replace(item, utc_ms=(year - 1970) * 31_556_952_000))
            run = world.play(case, source=Script(items))
            world.check_stored(run, case, lost=at, dropped={Reason.STORE_ERROR: len(at)})
        runs += 1
    check_log(caplog)
    proof(faults=runs)
