"""Hold, motion, visibility and the known face fail, at any frame: nothing raw is stored."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.daemon.camera_lane import CameraLane
from edge.daemon.load import LoadLevel
from edge.daemon.pipeline import Pipeline
from edge.detection import known_face, visibility
from edge.detection.detector import Detections, Detector
from edge.detection.motion import Motion
from edge.errors import DetectionError, KnownFaceError
from edge.hold import Hold
from edge.reasons import Reason
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, FRAMES, WHEN, number_of
from tests.privacy.faults_cases import CASES, Case, attacks, some
from tests.privacy.faults_tools import BUGS, Act, Fault, Hook, Script, raising, shots
from tests.privacy.faults_world import World, check_log, named

# Hold


def lost_with(at: frozenset[int], before: int) -> set[int]:
    """Frames that are lost when hold fails ``at`` these: they themselves, and what waited."""
    lost: set[int] = set()
    line: list[int] = []
    for number in sorted(ALL):
        line.append(number)
        if number in at:
            lost.update(line)
            line = []
        line = line[-before:] if before else []
    return lost


@pytest.mark.parametrize("name", ["push", "_join", "_cover_undetected"])
def test_when_hold_fails_all_that_waits_is_dropped(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    outer = Hook(monkeypatch, Hold, "push", lambda self, frame, found: frame.number)
    inner = outer if name == "push" else Hook(monkeypatch, Hold, name, lambda *args: outer.last)
    runs = 0
    for when, case in attacks(CASES, len(name)):
        with named(name, when, case):
            inner.fault = fault = Fault(WHEN[when], raising(BUGS[runs % len(BUGS)]))
            run = world.play(case)
            inner.fault = None
            fault.check_fired()
            lost = lost_with(fault.at, case.before)
            world.check_stored(run, case, lost=lost, dropped={Reason.HOLD_ERROR: len(lost)})
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def test_when_hold_fails_at_a_cut_all_that_waited_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    """What came before the cut was due just then."""
    outer = Hook(monkeypatch, Hold, "push", lambda self, frame, found: frame.number)
    hook = Hook(monkeypatch, Hold, "_join", lambda *args: outer.last)
    case, runs = Case(before=3), 0
    world.reference(case)
    for number in range(1, FRAMES):
        with named(f"frame {number}"):
            items = shots()
            items[number:] = [replace(item, media=item.media + 100) for item in items[number:]]
            hook.fault = fault = Fault({number}, raising(RuntimeError("bug")))
            run = world.play(case, source=Script(items))
            hook.fault = None
            fault.check_fired()
            assert number not in run.numbers
            assert set(run.dropped) == {Reason.HOLD_ERROR}
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def test_numbers_that_are_none_never_lead_to_a_picture(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    """They got past the checks of the session: blur refuses each frame to which hold carries them."""
    real = CameraLane._everything

    def everything(*args: Any) -> Detections:
        found = real(*args)
        assert found is not None
        return Detections(np.full_like(found.boxes, np.nan), found.scores)

    hook = Hook(monkeypatch, CameraLane, "_everything", lambda self, frame, *_: number_of(frame.pixels))
    runs = 0
    for when, case in attacks([case for case in CASES if case.last_look == "off"]):
        with named(when, case):
            hook.fault = fault = Fault(WHEN[when], everything)
            run = world.play(case)
            hook.fault = None
            fault.check_fired()
            assert not run.numbers & fault.at
            assert run.dropped == {Reason.BLUR_ERROR: FRAMES - len(run.numbers)}
            world.check_not_less(run, case)
            if case.before == case.after == 0:
                world.check_same(run, case, ALL - fault.at)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


# Visibility, motion, the known face


PROBLEMS = [Reason.TOO_DARK, Reason.TOO_BLURRED, Reason.TOO_BRIGHT, Reason.OBSTRUCTED]


@pytest.mark.parametrize("reason", [*PROBLEMS, Reason.DETECTOR_ERROR])
def test_the_detector_does_not_run_on_a_frame_too_bad_for_it(
    world: World,
    reason: Reason,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proof: Proof,
) -> None:
    monkeypatch.setattr(visibility, "problem", lambda pixels: None)
    hook = Hook(monkeypatch, visibility, "problem", number_of)
    runs = 0
    for when, case in attacks(CASES, list(Reason).index(reason)):
        with named(when, case):
            error = BUGS[runs % len(BUGS)]
            act = raising(error) if reason == Reason.DETECTOR_ERROR else lambda pixels: reason
            hook.fault = fault = Fault(WHEN[when], act)
            run = world.play(case, visibility=True)
            hook.fault = None
            world.check_failed(run, case, fault, reason)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def by_motion(pipeline: Pipeline) -> None:
    """The box is at its last level: all that moves is covered too."""

    def update(*args: Any) -> LoadLevel:
        pipeline.load.level = LoadLevel.MOTION_MASK
        return LoadLevel.MOTION_MASK

    pipeline.load.update = update  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("result", ["error", "NaN", "shape"])
def test_motion_that_fails_never_leads_to_a_picture(
    world: World, result: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    hook = Hook(monkeypatch, Motion, "boxes", lambda self, pixels: number_of(pixels))
    acts: dict[str, Act] = {
        "error": raising(RuntimeError("bug")),
        "NaN": lambda self, pixels: np.full((1, 4), np.nan, np.float32),
        "shape": lambda self, pixels: np.zeros((2, 5), np.float32),
    }
    runs = 0
    for when, case in attacks(CASES):
        with named(when, case):
            hook.fault = fault = Fault(WHEN[when], acts[result])
            run = world.play(case, prepare=by_motion)
            hook.fault = None
            fault.check_fired()
            # The first frame of which motion hears has nothing to be compared with.
            unknown = set(sorted(ALL - fault.at)[:1])
            failed = run.dropped if case.on_failure == "drop" else run.covered_whole
            assert failed.get(Reason.LOAD, 0) == len(unknown)
            if result == "NaN":  # hold carries it on, and blur refuses it
                assert not run.numbers & fault.at
                assert run.dropped[Reason.BLUR_ERROR] >= len(fault.at)
            else:
                assert failed[Reason.DETECTOR_ERROR] == len(fault.at)
                assert set(failed) <= {Reason.LOAD, Reason.DETECTOR_ERROR}
                gone = (unknown | fault.at) if case.on_failure == "drop" else set()
                assert run.numbers == ALL - gone
                assert run.wholes >= (unknown | fault.at) - gone
        runs += 1
    check_log(caplog)
    proof(faults=runs)


@pytest.mark.parametrize(
    "error", [KnownFaceError("not found"), DetectionError(Reason.OVERFLOW, "many"), MemoryError()]
)
def test_once_the_known_face_is_not_found_nothing_is_stored(
    world: World,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    proof: Proof,
) -> None:
    """It is checked before each frame, and before the end. What waits in the delay line goes, too, and so
    does the image that was made after it had last been found."""
    runs = 0
    for number, case in some(itertools.product(range(FRAMES), CASES)):
        with named(f"from frame {number} on", case):
            fired: list[int] = []

            def check(detector: Detector, number: int = number, fired: list[int] = fired) -> float:
                if number == 0 or world.inner.looks[number - 1]:
                    fired.append(number)
                    raise error
                return 1.0

            monkeypatch.setattr(known_face, "check", check)
            run = world.play(case, source=Script(shots(), live=True), known_face_seconds=1e-6)
            waits = max(0, number - case.before)
            unacknowledged = {waits - 1} if waits else set()
            lost = set(range(waits, FRAMES)) | unacknowledged
            world.check_stored(run, case, lost=lost, dropped={Reason.KNOWN_FACE: len(lost)})
            assert run.pipeline.known_face_error
            assert len(fired) == 2
        runs += 1
    check_log(caplog)
    proof(faults=runs)
