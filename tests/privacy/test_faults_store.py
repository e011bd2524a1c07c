"""The encoder and the disk fail at any step of storing any image: what is stored is whole, and counted."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import cv2
import pytest

from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import healthy
from edge.reasons import Reason
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, FRAMES, WHEN, number_of
from tests.privacy.faults_cases import CASES, attacks
from tests.privacy.faults_disk import (
    CODES,
    ENCODERS,
    LIES,
    SHARED_STEPS,
    STEPS,
    Torn,
    disk_error,
    makes_file,
    refuse_nameless,
)
from tests.privacy.faults_tools import Fault, Hook, raising
from tests.privacy.faults_world import World, check_log, named, until_the_end


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, trusted: None) -> World:
    """On a disk: it is the store that is attacked."""
    return World(tmp_path_factory.mktemp("store"))


# The encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_an_image_that_cannot_be_encoded_is_dropped_alone(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    hook = Hook(monkeypatch, cv2, "imencode", lambda ending, pixels, options: number_of(pixels))
    runs = 0
    for when, case in attacks(CASES, list(ENCODERS).index(name)):
        with named(name, when, case):
            hook.fault = fault = Fault(WHEN[when], ENCODERS[name])
            run = world.play(case)
            hook.fault = None
            fault.check_fired()
            world.check_stored(run, case, lost=fault.at, dropped={Reason.STORE_ERROR: len(fault.at)})
            world.check_same(run, case, ALL - fault.at)
            assert bool(run.pipeline.writer.error) == (FRAMES - 1 in fault.at)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def until_the_thread_is_dead(pipeline: Pipeline) -> None:
    assert healthy(pipeline)
    until_the_end(pipeline)
    pipeline.writer._thread.join(60)
    assert not healthy(pipeline)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_thread_of_the_store_dies_it_is_seen_and_what_is_stored_is_right(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    hook = Hook(monkeypatch, cv2, "imencode", lambda ending, pixels, options: number_of(pixels))
    runs = 0
    for when, case in attacks(case for case in CASES if case.before == 0):
        with named(when, case):
            hook.fault = fault = Fault(WHEN[when], raising(SystemExit()))
            run = world.play(case, ticks=until_the_thread_is_dead, unanswered=FRAMES)
            hook.fault = None
            assert fault.fired == [min(fault.at)]
            assert run.numbers <= set(range(min(fault.at)))
            world.check_same(run, case, run.numbers)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


# The disk


def calls(when: str) -> Iterable[int]:
    """Which calls of a step to attack that images may share."""
    return range(1000) if when == "every" else WHEN[when]


class Step:
    """Puts faults in the place of a step, by the number of its calls in a run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, wanted: Callable[..., bool]) -> None:
        self._wanted = wanted
        self._calls = itertools.count()
        self._hook = Hook(monkeypatch, os, name, self._number)

    def _number(self, *args: Any, **kwargs: Any) -> int | None:
        return next(self._calls) if self._wanted(*args, **kwargs) else None

    def arm(self, fault: Fault | None) -> None:
        self._calls = itertools.count()
        self._hook.fault = fault


@pytest.mark.parametrize("nameless", [True, False], ids=["without a name", "with a temporary name"])
@pytest.mark.parametrize("name", STEPS)
def test_an_image_that_the_disk_refuses_is_dropped_alone(
    world: World,
    name: str,
    nameless: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proof: Proof,
) -> None:
    function, wanted = STEPS[name]
    if not nameless:
        refuse_nameless(monkeypatch)
        wanted = partial(makes_file, os.O_CREAT) if name == "open" else wanted
    fdopen = os.fdopen
    step = Step(monkeypatch, function, wanted)
    runs = 0
    for (when, case), code in zip(attacks(CASES), itertools.cycle(CODES), strict=False):
        with named(name, when, case, errno.errorcode[code]):
            error = disk_error(code)
            act = error if name != "write" else lambda *args, error=error: Torn(fdopen(*args), error)
            fault = Fault(WHEN[when], act)
            step.arm(fault)
            run = world.play(case)
            step.arm(None)
            fault.check_fired()
            world.check_stored(run, case, lost=fault.at, dropped={Reason.STORE_ERROR: len(fault.at)})
            world.check_same(run, case, ALL - fault.at)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("name", SHARED_STEPS)
def test_images_that_the_disk_refuses_together_are_dropped(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    step = Step(monkeypatch, *SHARED_STEPS[name])
    runs = 0
    for (when, case), code in zip(attacks(CASES), itertools.cycle(CODES), strict=False):
        with named(name, when, case, errno.errorcode[code]):
            fault = Fault(calls(when), disk_error(code))
            step.arm(fault)
            run = world.play(case)
            step.arm(None)
            if not fault.fired:
                continue  # there were fewer groups than that
            lost = ALL - run.numbers
            world.check_stored(run, case, lost=lost, dropped={Reason.STORE_ERROR: len(lost)} if lost else {})
            world.check_same(run, case, run.numbers)
            if when == "every":
                assert lost == ALL
        runs += 1
    assert runs >= 3
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize("name", LIES)
def test_a_disk_that_lies_about_its_room_counts_as_full(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    step = Step(monkeypatch, *SHARED_STEPS["ask for room"])
    runs = 0
    for when, case in attacks(CASES, list(LIES).index(name)):
        with named(name, when, case):
            fault = Fault(calls(when), lambda path: LIES[name])
            step.arm(fault)
            run = world.play(case)
            step.arm(None)
            if not fault.fired:
                continue
            lost = ALL - run.numbers
            assert lost
            world.check_stored(run, case, lost=lost, dropped={Reason.STORE_ERROR: len(lost)})
            world.check_same(run, case, run.numbers)
        runs += 1
    assert runs >= 3
    check_log(caplog)
    proof(faults=runs)
