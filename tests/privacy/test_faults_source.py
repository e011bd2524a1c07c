"""Whatever a camera delivers, and however it breaks, nothing is stored that a correct run may not store."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from edge.boxes import NO_BOXES
from edge.daemon import pipeline as pipeline_module
from edge.daemon.pipeline import Pipeline
from edge.detection.detector import Detections
from edge.errors import SourceError
from edge.frames import RawFrame
from edge.reasons import Reason
from edge.sources import backoff
from tests.privacy.conftest import Proof
from tests.privacy.faults import ALL, FRAMES, HEIGHT, WHEN, picture
from tests.privacy.faults_cases import DROPPING, attacks, some, with_live, without_lookahead
from tests.privacy.faults_deliveries import BREAKS, USELESS, WRONG_SIZE
from tests.privacy.faults_tools import Script, shot, shots
from tests.privacy.faults_world import World, check_log, named


@pytest.fixture(autouse=True)
def _reopened_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(backoff, "LONGEST_BACKOFF_SECONDS", 0.001)


# Pictures that are none


@pytest.mark.parametrize("name", [*USELESS, *WRONG_SIZE])
def test_a_picture_that_is_none_is_counted_and_nothing_else(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs, useless = 0, USELESS | WRONG_SIZE
    reason = Reason.SIZE if name in WRONG_SIZE else Reason.UNDECODABLE
    for when, case in attacks(DROPPING, list(useless).index(name), 3):
        with named(name, when, case):
            items: list[object] = []
            for item in shots():
                items += [useless[name], item] if item.number in WHEN[when] else [item]
            run = world.play(case, source=Script(items))
            world.check_stored(run, case, dropped={reason: len(WHEN[when])})
            world.check_same(run, case, ALL)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def test_a_change_of_size_uncovers_nothing(
    world: World, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case, live in with_live():
        with named(when, case, "live" if live else "file"):
            at = WHEN[when]
            items = [shot(number, scale=2 if number in at else 1) for number in sorted(ALL)]
            run = world.play(case, source=Script(items, live))
            cuts = [n for n in range(1, FRAMES) if (n in at) != (n - 1 in at)]
            lost = without_lookahead(cuts, case.before, live, sorted(ALL))
            world.check_stored(run, case, lost=lost, dropped={Reason.NO_LOOKAHEAD: len(lost)} if lost else {})
            sizes = {number: len(stored.pixels) for number, stored in run.images.items()}
            assert sizes == {n: HEIGHT * (2 if n in at else 1) for n in run.numbers}
        runs += 1
    check_log(caplog)
    proof(faults=runs)


# Sources that break


@pytest.mark.parametrize("name", BREAKS)
def test_a_source_that_breaks_leaves_only_what_it_gave(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    """A camera is opened again and goes on; of a file there is no more."""
    runs = 0
    for when, case, live in with_live(list(BREAKS).index(name)):
        with named(name, when, case, "live" if live else "file"):
            items: list[object] = []
            for item in shots():
                items += [BREAKS[name], item] if item.number in WHEN[when] else [item]
            run = world.play(case, source=Script(items, live))
            given = ALL if live else frozenset(range(min(WHEN[when])))
            lost = without_lookahead([], case.before, live, sorted(given))
            dropped = {Reason.NO_LOOKAHEAD: len(lost)} if lost else {}
            world.check_stored(run, case, lost=lost | (ALL - given), dropped=dropped)
            if live:
                world.check_same(run, case, run.numbers)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


NO_FRAMES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "pixels": lambda: picture(0),
    "text": lambda: "frame",
    "detections": lambda: Detections(NO_BOXES, NO_BOXES[:, 0]),
}


@pytest.mark.parametrize("name", NO_FRAMES)
def test_what_is_no_frame_counts_as_a_source_that_breaks(
    world: World, name: str, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for when, case, live in with_live(list(NO_FRAMES).index(name)):
        with named(name, when, case, "live" if live else "file"):
            items: list[object] = []
            for item in shots():
                items += [NO_FRAMES[name], item] if item.number in WHEN[when] else [item]
            run = world.play(case, source=Script(items, live))
            given = ALL if live else frozenset(range(min(WHEN[when])))
            lost = without_lookahead([], case.before, live, sorted(given))
            dropped = {Reason.NO_LOOKAHEAD: len(lost)} if lost else {}
            world.check_stored(run, case, lost=lost | (ALL - given), dropped=dropped)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def test_a_source_that_ends_early_leaves_what_it_gave(
    world: World, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    runs = 0
    for case, live, count in some(itertools.product(DROPPING, (True, False), range(FRAMES))):
        with named(case, "live" if live else "file", f"{count} frames"):
            run = world.play(case, source=Script(shots()[:count], live))
            lost = without_lookahead([], case.before, live, list(range(count)))
            dropped = {Reason.NO_LOOKAHEAD: len(lost)} if lost else {}
            world.check_stored(run, case, lost=lost | set(range(count, FRAMES)), dropped=dropped)
        runs += 1
    check_log(caplog)
    proof(faults=runs)


def test_a_source_that_hangs_leaves_what_it_gave(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proof: Proof
) -> None:
    monkeypatch.setattr(pipeline_module, "STOP_SECONDS", 0.001)
    runs = 0
    for case, count in some(itertools.product(DROPPING, range(FRAMES))):
        hangs, release = threading.Event(), threading.Event()

        def hang(hangs: threading.Event = hangs, release: threading.Event = release) -> RawFrame:
            hangs.set()  # so all frames before have been handed over
            assert release.wait(60)
            raise SourceError("too late")

        def ticks(pipeline: Pipeline, hangs: threading.Event = hangs) -> None:
            while not hangs.is_set():
                assert pipeline.tick(0.05)
            assert pipeline.tick(0)

        with named(case, f"{count} frames"):
            try:
                run = world.play(case, source=Script([*shots()[:count], hang, shot(count)]), ticks=ticks)
            finally:
                release.set()
            world.check_stored(run, case, lost=range(count, FRAMES))
        runs += 1
    check_log(caplog)
    proof(faults=runs)
