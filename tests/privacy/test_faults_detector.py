"""Whatever the detector does at either look, nothing is stored that a correct run may not store."""

from __future__ import annotations

import time
from typing import Any

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edge.boxes import Floats
from edge.detection.session import Session
from edge.reasons import Reason
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, WHEN
from tests.privacy.faults_answers import REFUSED, Attack, every_attack, some_attacks
from tests.privacy.faults_cases import Case
from tests.privacy.faults_tools import Fault
from tests.privacy.faults_world import World, check_log, named
from tests.sweeping import sampled


def less_held(case: Case, fault: Fault) -> set[int]:
    """Frames that a correct run covers more widely because of what it found in those that failed: when
    no region outlives its frame, each frame covers those before it anew."""
    if case.after:
        return set()
    return {number for number in ALL if any(number < at <= number + case.before for at in fault.at)}


def refuse(world: World, name: str, attacks: list[Attack]) -> int:
    """Let the detector fail in each of these ways; returns how many runs there were."""
    act, reason = REFUSED[name]
    for when, case, look in attacks:
        with named(name, when, case, f"look {look}"):
            fault = Fault(WHEN[when], act)
            run = world.play(case, {look: fault})
            world.check_failed(run, case, fault, reason)
            world.check_same(run, case, ALL - fault.at - (less_held(case, fault) if look == 0 else set()))
    return len(attacks)


@pytest.mark.parametrize("name", REFUSED)
def test_a_frame_that_the_detector_fails_at_is_dropped_or_covered_whole(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    attacks = some_attacks(list(REFUSED).index(name))
    runs = refuse(world, name, attacks)
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.sweep
@pytest.mark.parametrize("name", REFUSED)
def test_the_same_in_every_case(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = refuse(world, name, sampled(every_attack()))
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("stubborn", [False, True], ids=["ends when told", "goes on for a while"])
def test_a_detector_that_hangs_is_ended_and_its_frame_never_shows(
    world: World,
    stubborn: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proof: Proof,
) -> None:
    real = Session._run

    def run(self: Session, canvas: Any, limit: float) -> Any:
        # Long enough for a busy machine, unless it is to hang.
        return real(self, canvas, 0.01 if world.inner.due(canvas) else 60.0)

    def hang(boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
        deadline = time.monotonic() + 30
        while not options.terminate:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if stubborn:  # it has an answer all the same, and too late
            time.sleep(0.005)
            return boxes, scores
        raise ort_errors.Fail("Exiting due to terminate flag being set to true.")

    monkeypatch.setattr(Session, "_run", run)
    attacks = some_attacks(int(stubborn))
    for when, case, look in attacks:
        with named(when, case, f"look {look}"):
            fault = Fault(WHEN[when], hang)
            world.check_failed(world.play(case, {look: fault}), case, fault, Reason.DETECTOR_TIMEOUT)
    check_log(caplog)
    proof(faults=len(attacks))
