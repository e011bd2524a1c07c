"""Runs of the detector that overlap: what is stored is the same as with one run at a time."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.daemon import detector_threads
from edge.daemon.detector_threads import RUNS_AT_ONCE, DetectorThreads, open_daemon_detector
from edge.daemon.load import LoadLevel
from edge.detection.detector import Detections
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.status.metrics import Metrics
from tests.daemon.playing import (
    FACE,
    KNOWN_FACE,
    SECRET,
    FakeSession,
    Played,
    Truthful,
    check_accounts,
    config,
    force,
    is_known_face,
    make,
    number_of,
    picture,
    stored,
)
from tests.one_view import OneView

PATIENCE_SECONDS = 20.0


def test_runs_are_finished_in_the_order_in_which_they_began() -> None:
    ended = threading.Event()
    threads: DetectorThreads[int] = DetectorThreads(2, ended.set)
    first = threading.Event()
    seen: list[int] = []

    def slow() -> int:
        assert first.wait(PATIENCE_SECONDS)
        return 1

    threads.begin(slow, seen.append)
    threads.begin(lambda: 2, seen.append)
    assert ended.wait(PATIENCE_SECONDS)
    assert not threads.oldest_is_done  # the second has, but it is not its turn
    assert (len(threads), seen) == (2, [])
    first.set()
    threads.make_room()
    assert (len(threads), seen) == (1, [1])
    threads.finish_all()
    assert (len(threads), seen) == (0, [1, 2])
    threads.close()


@pytest.mark.parametrize("runs_at_once", [1, 2])
def test_a_run_alone_is_finished_at_once_and_after_earlier_ones(runs_at_once: int) -> None:
    threads: DetectorThreads[int] = DetectorThreads(runs_at_once, lambda: None)
    seen: list[int] = []
    threads.begin(lambda: 1, seen.append)
    threads.begin(lambda: 2, seen.append, alone=True)
    assert seen == [1, 2]
    assert not threads.oldest_is_done
    threads.close()


def test_an_error_of_the_work_is_one_of_the_caller() -> None:
    threads: DetectorThreads[int] = DetectorThreads(2, lambda: None)
    threads.begin(lambda: 1 // 0, lambda answer: None)
    with pytest.raises(ZeroDivisionError):
        threads.finish_all()
    threads.close()


def test_closing_finishes_what_began_and_ends_the_threads() -> None:
    threads: DetectorThreads[int] = DetectorThreads(2, lambda: None)
    seen: list[int] = []
    for number in range(2):
        threads.begin(lambda number=number: number, seen.append)  # type: ignore[misc]
    assert any(thread.name.startswith("detect") for thread in threading.enumerate())
    threads.close()
    assert seen == [0, 1]
    assert not any(thread.name.startswith("detect") for thread in threading.enumerate())


class Together(Truthful):
    """Keeps how many runs were on at the same time; if ``wanted``, the first waits for another one."""

    def __init__(self, wanted: bool = False) -> None:
        super().__init__()
        self.most = self._now = 0
        self._lock = threading.Lock()
        self._two = threading.Event()
        self._wanted = wanted

    def find(self, pixels: Pixels) -> Detections:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now == 2:
                self._two.set()
        if self._wanted:
            assert self._two.wait(PATIENCE_SECONDS)
        time.sleep(0.002)
        with self._lock:
            self._now -= 1
            return super().find(pixels)


def play(
    chosen: Any, sources: Any, detector: Any, runs_at_once: int, level: LoadLevel = LoadLevel.FULL
) -> Metrics:
    pipeline, metrics = make(chosen, sources, detector, runs_at_once)
    force(pipeline, level)
    pipeline.start()
    while pipeline.tick(PATIENCE_SECONDS):
        pass
    pipeline.stop()
    for source in sources:
        check_accounts(metrics, source.camera)
    return metrics


@pytest.mark.parametrize("cameras", [1, 3])
@pytest.mark.parametrize("last_look", ["always", "off"])
def test_two_runs_of_the_detector_overlap(tmp_path: Path, cameras: int, last_look: str) -> None:
    detector = Together(wanted=True)
    sources = [Played([picture(n) for n in range(9)], name=f"camera{c}") for c in range(cameras)]
    play(config(tmp_path, privacy={"last_look": last_look}), sources, detector, 2)
    assert len(stored(tmp_path)) == 9 * cameras
    assert detector.most >= 2


@pytest.mark.parametrize("level", [LoadLevel.LOWER_RATE, LoadLevel.MOTION_MASK])
def test_on_a_box_in_trouble_no_runs_overlap(tmp_path: Path, level: LoadLevel) -> None:
    detector = Together()
    source = Played([picture(n) for n in range(9)])
    play(config(tmp_path, privacy={"last_look": "always"}), [source], detector, 2, level)
    assert detector.most == 1
    assert len(detector.raw) == 9


def test_frames_that_are_being_detected_on_when_it_stops_are_stored(tmp_path: Path) -> None:
    gate = threading.Event()

    class Gated(Truthful):
        def find(self, pixels: Pixels) -> Detections:
            assert gate.wait(PATIENCE_SECONDS)
            return super().find(pixels)

    source = Played([picture(n) for n in range(2)])
    pipeline, metrics = make(config(tmp_path, privacy={"last_look": "off"}), [source], Gated(), 2)
    pipeline.start()
    while metrics.count("frames_captured", "test") < 2:
        assert pipeline.tick(0.05)
    gate.set()
    pipeline.stop()
    assert [number_of(image) for image in stored(tmp_path)] == [0, 1]
    check_accounts(metrics)


class ByNumber(OneView):
    """Finds FACE where it can be seen, and the known face; faults depend on the number of the picture."""

    session = FakeSession()
    score_begin, score_continue, score_last_look = 0.35, 0.2, 0.35

    def __init__(self, blind: set[int], broken: set[int], slow: set[int]) -> None:
        self._blind, self._broken, self._slow = blind, broken, slow
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def find(self, pixels: Pixels) -> Detections:
        if is_known_face(pixels):
            return KNOWN_FACE
        number, seen = number_of(pixels), bool((pixels == SECRET).all(axis=2).any())
        with self._lock:
            again = number in self._seen
            self._seen.add(number)
        if number in self._slow:
            time.sleep(0.003)
        if number in self._broken and not again:
            raise DetectionError(Reason.DETECTOR_TIMEOUT, "slow")
        found = seen and (again or number not in self._blind)
        boxes: Floats = np.array([FACE] * found, np.float32).reshape(-1, 4)
        return Detections(boxes, np.full(int(found), 0.9, np.float32))


NUMBERS = st.sets(st.integers(0, 15))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blind=NUMBERS,
    broken=NUMBERS,
    slow=NUMBERS,
    before=st.integers(0, 4),
    last_look=st.sampled_from(["always", "covered", "off"]),
    on_failure=st.sampled_from(["drop", "cover"]),
    interval=st.sampled_from([0, 0, 0.1]),
    sweep=st.sampled_from([0, 2]),
    live=st.booleans(),
)
def test_runs_that_overlap_store_what_single_runs_do(
    tmp_path_factory: pytest.TempPathFactory,
    blind: set[int],
    broken: set[int],
    slow: set[int],
    before: int,
    last_look: str,
    on_failure: str,
    interval: float,
    sweep: float,
    live: bool,
) -> None:
    """To the pixel and to the count, whatever the detector misses and however long it takes."""
    results = []
    for runs_at_once in (1, 2):
        folder = tmp_path_factory.mktemp("store")
        chosen = config(
            folder,
            privacy={"last_look": last_look, "on_failure": on_failure, "sweep_seconds": sweep},
            blur={"hold_before_frames": before, "hold_after_seconds": 0.1},
            store={"interval_seconds": interval},
        )
        source = Played([picture(n) for n in range(16)], live=live)
        metrics = play(chosen, [source], ByNumber(blind, broken, slow), runs_at_once)
        counts = {reason: metrics.count("frames_dropped", "test", reason) for reason in Reason}
        whole = {reason: metrics.count("frames_covered_whole", "test", reason) for reason in Reason}
        regions = metrics.count("regions", "test"), metrics.count("regions_held", "test")
        results.append((stored(folder), counts, whole, regions, metrics.count("images_regrown", "test")))
    (one, *told), (two, *also_told) = results
    assert told == also_told
    assert len(one) == len(two)
    assert all((a == b).all() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("cores", "changes", "threads", "runs_at_once"),
    [
        (1, {}, 0, 1),
        (2, {}, 1, 2),
        (3, {}, 1, 2),
        (8, {}, 4, 2),
        (8, {"threads": 3}, 3, 1),
        (8, {"provider": "cuda"}, 0, 1),
    ],
)
def test_two_runs_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, changes: dict[str, Any], threads: int, runs_at_once: int
) -> None:
    opened: list[DetectorConfig] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    monkeypatch.setattr(detector_threads, "read_detector", lambda *_: None)
    monkeypatch.setattr(detector_threads, "open_detector", lambda file, chosen: opened.append(chosen))
    config = DetectorConfig(**{"provider": "cpu", **changes})
    assert open_daemon_detector(config)[1] == runs_at_once
    assert [chosen.threads for chosen in opened] == [threads]
    assert RUNS_AT_ONCE == 2
