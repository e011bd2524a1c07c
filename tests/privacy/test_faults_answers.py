"""What the detector answers in good form, and is absurd or wrong: more is covered, never less.

A detector that answers "nobody there" for a face that is there is found out by the last look and by hold;
with both of them off nobody can know, so that alone is not tried here.
"""

from __future__ import annotations

import pytest

from edge.reasons import Reason
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, FRAMES, WHEN, covered
from tests.privacy.faults_answers import (
    ABSURD,
    ELSEWHERE,
    REFUSED,
    blind,
    half_blind,
    some_attacks,
    with_first,
)
from tests.privacy.faults_cases import CASES, WITH_LAST_LOOK, attacks
from tests.privacy.faults_tools import Act, Fault
from tests.privacy.faults_world import World, check_log, named


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # on the box they are no errors
@pytest.mark.parametrize("name", ABSURD)
def test_what_it_finds_in_addition_is_covered_in_addition(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    attacks = some_attacks(list(ABSURD).index(name), look=0)
    for when, case, look in attacks:
        with named(when, case):
            fault = Fault(WHEN[when], ABSURD[name])
            run = world.play(case, {look: fault})
            fault.check_fired()
            world.check_stored(run, case, whole=run.wholes)
            if not case.before and not case.after:
                world.check_same(run, case, ALL - fault.at)
            if name.startswith("a face larger"):
                assert run.wholes >= fault.at
    check_log(caplog)
    proof(faults=len(attacks))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_face_outside_the_frame_changes_nothing(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    attacks = some_attacks(list(ELSEWHERE).index(name), look=0)
    for when, case, look in attacks:
        with named(when, case):
            fault = Fault(WHEN[when], ELSEWHERE[name])
            run = world.play(case, {look: fault})
            fault.check_fired()
            world.check_stored(run, case)
            world.check_same(run, case, ALL)
    check_log(caplog)
    proof(faults=len(attacks))


def test_a_face_beside_the_frame_does_not_stand_for_one_within(
    world: World, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    """Of two boxes that overlap much, the detector keeps the better one: here that is outside."""
    runs = 0
    for when, case, look in some_attacks(0, look=0):
        with named(when, case):
            fault = Fault(WHEN[when], with_first((140, 121, 156, 140), (140, 110, 156, 134)))
            run = world.play(case, {look: fault})
            fault.check_fired()
            world.check_stored(run, case)
            for number in fault.at:
                assert covered(run.images[number].pixels, number)[110:, 140:156].all()
        runs += 1
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("act", [blind, half_blind])
def test_faces_that_it_misses_are_covered_by_hold_or_by_the_last_look(
    world: World, act: Act, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = regrown = 0
    for when, case in attacks(CASES, share=3):
        at = WHEN[when]
        held = (case.before > 0 and FRAMES - 1 not in at) or (case.after > 0 and 0 not in at)
        if case.last_look == "off" and not held:
            continue  # nobody can know
        with named(when, case):
            fault = Fault(at, act)
            run = world.play(case, {0: fault})
            fault.check_fired()
            world.check_stored(run, case)
            missed = len(at - {0} if act is half_blind else at)  # in the first frame there is but one
            assert run.count("images_regrown") == (0 if held else missed)
            regrown += run.count("images_regrown")
        runs += 1
    assert runs >= 15
    assert regrown > 0
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("times", [1, 2])
def test_a_face_that_the_last_look_finds_is_covered_and_one_that_stays_covers_all(
    world: World, times: int, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case in attacks(WITH_LAST_LOOK):
        with named(when, case):
            faults = {
                look: Fault(WHEN[when], with_first((140, 90, 150, 100))) for look in range(1, times + 1)
            }
            run = world.play(case, dict(faults))
            for fault in faults.values():
                fault.check_fired()
            count = len(WHEN[when])
            if times == 1:
                world.check_stored(run, case)
            else:
                counts = {Reason.ESCALATED: count}
                world.check_stored(run, case, whole=WHEN[when], covered_whole=counts)
            assert run.count("images_regrown") == count
            assert run.count("images_escalated") == count * (times - 1)
            world.check_same(run, case, ALL - WHEN[when])
        runs += 1
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("name", ["RuntimeError", "NaN in a box", "all above the threshold"])
def test_a_last_look_that_fails_after_covering_more(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    act, reason = REFUSED[name]
    runs = 0
    for when, case in attacks(WITH_LAST_LOOK):
        with named(when, case):
            found, fault = Fault(WHEN[when], with_first((140, 90, 150, 100))), Fault(WHEN[when], act)
            run = world.play(case, {1: found, 2: fault})
            world.check_failed(run, case, fault, reason)
        runs += 1
    check_log(caplog)
    proof(faults=runs)
