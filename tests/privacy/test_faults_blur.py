"""Covering fails, or covers too little, at any frame: nothing raw is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge import blur
from edge.boxes import Ints
from edge.reasons import Reason
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, WHEN
from tests.privacy.faults_answers import with_first
from tests.privacy.faults_cases import CASES, COVERING, WITH_LAST_LOOK, attacks
from tests.privacy.faults_tools import BUGS, Act, Fault, Hook, raising
from tests.privacy.faults_world import World, check_log, named


def frame_number(frame: Any, *args: Any, **kwargs: Any) -> int:
    return int(frame.number)


@pytest.mark.parametrize(
    ("name", "turn"),
    [("anonymize", 0), ("regions_of", 1), ("_infill", 2), ("_pull_push", 3), ("AnonymizedFrame", 4)],
)
def test_a_frame_that_cannot_be_covered_is_dropped(
    world: World,
    name: str,
    turn: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proof: Proof,
) -> None:
    outer = Hook(monkeypatch, blur, "anonymize", frame_number)
    inner = outer if name == "anonymize" else Hook(monkeypatch, blur, name, lambda *a, **k: outer.last)
    runs = 0
    for when, case in attacks(CASES, turn):
        with named(name, when, case):
            inner.fault = fault = Fault(WHEN[when], raising(BUGS[runs % len(BUGS)]))
            run = world.play(case)
            inner.fault = None
            fault.check_fired()
            world.check_stored(run, case, lost=fault.at, dropped={Reason.BLUR_ERROR: len(fault.at)})
            world.check_same(run, case, ALL - fault.at)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("look", [0, 1])
def test_a_frame_that_cannot_be_covered_whole_is_dropped(
    world: World, look: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    """Two faults at once: the detector fails, and so does what is done about it."""
    hook = Hook(monkeypatch, blur, "cover_whole", frame_number)
    runs = 0
    for when, case in attacks([case for case in COVERING if look == 0 or case.last_look == "always"]):
        with named(when, case):
            blind = Fault(WHEN[when], raising(RuntimeError("broken")))
            hook.fault = fault = Fault(WHEN[when], raising(BUGS[runs % len(BUGS)]))
            run = world.play(case, {look: blind})
            hook.fault = None
            fault.check_fired()
            count = len(fault.at)
            assert run.numbers == ALL - fault.at
            assert run.dropped == {Reason.BLUR_ERROR: count}
            world.check_not_less(run, case)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def too_small(regions: Ints) -> Ints:
    return np.asarray(regions + np.array([12, 12, -12, -12]), np.int64)


def beside(regions: Ints) -> Ints:
    """Where no face is."""
    return np.array([[130, 90, 150, 110]] * len(regions), np.int64).reshape(-1, 4)


@pytest.mark.parametrize("wrong", [lambda regions: regions[:0], beside, too_small])
@pytest.mark.parametrize("times", [1, 2])
def test_a_blur_that_leaves_a_face_is_found_out_by_the_last_look(
    world: World,
    wrong: Act,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proof: Proof,
) -> None:
    """It covers too little at each call, or (``times`` 1) only before the last look."""
    outer, real = Hook(monkeypatch, blur, "anonymize", frame_number), blur.regions_of
    calls: list[int] = []

    def number(*args: Any) -> int | None:
        calls.append(outer.last if outer.last is not None else -1)
        return outer.last if calls.count(calls[-1]) <= times else None

    hook = Hook(monkeypatch, blur, "regions_of", number)
    runs = whole = 0
    for when, case in attacks(WITH_LAST_LOOK):
        with named(when, case):
            calls.clear()
            hook.fault = fault = Fault(WHEN[when], lambda *args: wrong(real(*args)))
            run = world.play(case)
            hook.fault = None
            fault.check_fired()
            escalated = run.wholes
            if wrong is too_small:  # once it covers more, even that may be enough
                assert escalated <= fault.at
            else:
                assert escalated == (set() if times == 1 else fault.at)
            reasons = {Reason.ESCALATED: len(escalated)} if escalated else {}
            world.check_stored(run, case, whole=escalated, covered_whole=reasons)
            assert run.count("images_regrown") >= run.count("images_escalated") == len(escalated)
            whole += len(escalated)
        runs += 1
    assert (whole > 0) == (times == 2)
    check_log(caplog)
    proof(faults=runs)


def test_a_blur_that_fails_when_it_shall_cover_more(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    calls: list[int] = []

    def number(frame: Any, *args: Any, **kwargs: Any) -> int | None:
        calls.append(frame.number)
        return int(frame.number) if calls.count(frame.number) == 2 else None

    hook = Hook(monkeypatch, blur, "anonymize", number)
    runs = 0
    for when, case in attacks(WITH_LAST_LOOK):
        with named(when, case):
            calls.clear()
            found = Fault(WHEN[when], with_first((140, 90, 150, 100)))
            hook.fault = fault = Fault(WHEN[when], raising(BUGS[runs % len(BUGS)]))
            run = world.play(case, {1: found})
            hook.fault = None
            world.check_failed(run, case, fault, Reason.BLUR_ERROR)
            world.check_same(run, case, ALL - fault.at)
        runs += 1
    check_log(caplog)
    proof(faults=runs)
