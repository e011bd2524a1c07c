"""A box that is too slow or too hot; and everything that can go wrong, all together."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.daemon import pipeline as pipeline_module
from edge.daemon.load import LoadLevel
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.detection import known_face, visibility
from edge.detection.detector import Detections
from edge.errors import DetectionError, KnownFaceError, StoreError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.store.images import ImageStore
from tests.daemon.playing import (
    NO_HOLD,
    SECRET,
    Played,
    Stepped,
    Truthful,
    broken,
    check_accounts,
    config,
    force,
    is_whole,
    make,
    mark,
    no_rest,
    no_secret,
    number_of,
    picture,
    run,
    step,
    stored,
)


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_stopped_box_detects_nothing_and_stores_nothing(tmp_path: Path, on_failure: str) -> None:
    detector = Truthful()
    chosen = config(tmp_path, privacy={"on_failure": on_failure})
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(8)], live=True)], detector)
    force(pipeline, LoadLevel.STOPPED)
    run(pipeline)
    check_accounts(metrics)
    assert detector.looks == 0
    assert stored(tmp_path) == []
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 8
    status = read_status(pipeline)
    assert status.load_level == "stopped"
    assert any("too slow or too hot" in problem for problem in status.problems)
    assert any("load" in text for text in status.degraded)


def test_stopping_drops_what_waits_and_starting_again_stores(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def each(pipeline: Pipeline, number: int) -> None:
        no_rest(pipeline)
        force(pipeline, LoadLevel.STOPPED if 8 <= number < 12 else LoadLevel.FULL)

    chosen = config(tmp_path, blur={"hold_before_frames": 3})
    detector = Truthful()
    _, metrics = step(chosen, 20, detector, each, live=True)
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 4 + 3  # the three that waited, too
    assert [number_of(image) for image in stored(tmp_path)] == [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]
    assert detector.raw == [n for n in range(20) if not 8 <= n < 12]
    told = [record.message for record in caplog.records if record.message.startswith("load: ")]
    assert len(told) == 2


def test_a_file_waits_while_the_box_is_stopped(tmp_path: Path) -> None:
    """The detector does not run, and no frame is lost; the same file goes on later."""
    detector = Truthful()
    pipeline, metrics = make(config(tmp_path), [Played([picture(n) for n in range(12)])], detector)
    runs = []
    pipeline.start()
    for tick in range(200):
        force(pipeline, LoadLevel.STOPPED if 5 <= tick < 40 else LoadLevel.FULL)
        more = pipeline.tick(0.01)
        if 5 <= tick < 40:
            runs.append(detector.looks)
            assert more
        if not more:
            break
    assert not more
    pipeline.stop()
    check_accounts(metrics)
    assert len(set(runs)) == 1
    assert [number_of(image) for image in stored(tmp_path)] == list(range(12))


def test_a_file_that_waits_when_the_process_ends_is_counted(tmp_path: Path) -> None:
    detector = Truthful()
    pipeline, metrics = make(config(tmp_path), [Played([picture(n) for n in range(5)])], detector)
    force(pipeline, LoadLevel.STOPPED)
    pipeline.start()
    assert pipeline.tick(1)
    assert pipeline.tick(0.1)
    pipeline.stop()
    check_accounts(metrics)
    assert detector.looks == 0
    assert metrics.count("frames_dropped", "test", Reason.LOAD) >= 1
    assert stored(tmp_path) == []


def test_a_lower_rate_rests_after_each_detection(tmp_path: Path) -> None:
    class Slow(Truthful):
        def find(self, pixels: Pixels) -> Detections:
            time.sleep(0.02)
            return super().find(pixels)

    detector = Slow()
    pipeline, metrics = make(
        config(tmp_path, blur=NO_HOLD), [Played([picture(n) for n in range(20)], live=True)], detector
    )
    force(pipeline, LoadLevel.LOWER_RATE)
    run(pipeline)
    check_accounts(metrics)
    dropped = metrics.count("frames_dropped", "test", Reason.LOAD)
    assert 1 <= dropped < 20
    assert no_secret(tmp_path) == 20 - dropped
    assert [number_of(image) for image in stored(tmp_path)] == detector.raw


@pytest.mark.parametrize(
    ("level", "rest"),
    [
        (LoadLevel.FULL, 0.0),
        (LoadLevel.LOWER_RATE, 0.6),
        (LoadLevel.MOTION_MASK, 1.8),
    ],
)
def test_the_rest_leaves_the_box_idle_for_the_rest_of_the_time(
    tmp_path: Path, level: LoadLevel, rest: float
) -> None:
    """Two live cameras that take 0.2 and 0.4 s; a third gave nothing for long, and a file does not count."""
    sources = [Played([], live=name != "file", name=name) for name in ("a", "b", "gone", "file")]
    pipeline, _ = make(config(tmp_path), list(sources), Truthful())
    pipeline.load.level = level
    now = 1000.0
    for name, work, ago in (("a", 0.2, 1.0), ("b", 0.4, 2.0), ("gone", 9.0, 11.0), ("file", 9.0, 0.0)):
        lane = pipeline.lanes[name]
        lane.seconds_per_frame, lane.last_detection = work, now - ago
    assert pipeline._round_seconds(now) == pytest.approx(0.6)
    assert pipeline._pause_seconds(now) == pytest.approx(rest)


@pytest.mark.parametrize(
    ("level", "numbers"),
    [
        (LoadLevel.FULL, [0, 5, 10, 15, 20]),
        (LoadLevel.LOWER_RATE, [0, 10, 20]),
        (LoadLevel.MOTION_MASK, [1, 21]),  # nothing to compare the first with
    ],
)
def test_intervals_are_longer_on_lower_levels(tmp_path: Path, level: LoadLevel, numbers: list[int]) -> None:
    def each(pipeline: Pipeline, number: int) -> None:
        no_rest(pipeline)
        force(pipeline, level)

    chosen = config(tmp_path, store={"interval_seconds": 0.199}, blur=NO_HOLD)
    _, metrics = step(chosen, 25, Truthful(), each, live=True)
    assert [number_of(image) for image in stored(tmp_path)] == numbers
    first = 1 if level == LoadLevel.MOTION_MASK else 0
    assert metrics.count("frames_dropped", "test", Reason.NOT_DUE) == 25 - len(numbers) - first


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_what_moves_is_covered_when_the_detector_misses_it(tmp_path: Path, on_failure: str) -> None:
    frames = []
    for n in range(6):
        pixels = np.full((360, 640, 3), 60, np.uint8)
        mark(pixels, n)
        pixels[100:132, 100 + 16 * n : 132 + 16 * n] = SECRET
        frames.append(pixels)
    detector = Truthful()
    detector.blind_to = set(range(6))
    chosen = config(tmp_path, blur=NO_HOLD, privacy={"last_look": "off", "on_failure": on_failure})
    pipeline, metrics = make(chosen, [Played(frames, live=True)], detector)
    force(pipeline, LoadLevel.MOTION_MASK)
    no_rest(pipeline)
    run(pipeline)
    check_accounts(metrics)
    whole = [is_whole(image) for image in stored(tmp_path)]
    if on_failure == "drop":
        assert metrics.count("frames_dropped", "test", Reason.LOAD) == 1
        assert whole == [False] * 5
    else:
        assert metrics.count("frames_covered_whole", "test", Reason.LOAD) == 1
        assert whole == [True] + [False] * 5
    assert no_secret(tmp_path) == len(whole)


def test_each_change_of_level_forgets_what_moved(tmp_path: Path) -> None:
    """What was before is too long ago to compare with."""

    def each(pipeline: Pipeline, number: int) -> None:
        no_rest(pipeline)
        force(pipeline, LoadLevel.LOWER_RATE if number == 3 else LoadLevel.MOTION_MASK)

    _, metrics = step(config(tmp_path, blur=NO_HOLD), 8, Truthful(), each, live=True)
    assert [number_of(image) for image in stored(tmp_path)] == [1, 2, 3, 5, 6, 7]
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 2


def test_a_detector_that_fails_under_motion_mask_is_counted_as_such(tmp_path: Path) -> None:
    def each(pipeline: Pipeline, number: int) -> None:
        no_rest(pipeline)
        force(pipeline, LoadLevel.MOTION_MASK)

    chosen = config(tmp_path, privacy={"last_look": "off"}, blur=NO_HOLD)
    _, metrics = step(chosen, 6, Truthful({3: broken()}), each, live=True)
    assert [number_of(image) for image in stored(tmp_path)] == [1, 2, 4, 5]
    assert metrics.count("frames_dropped", "test", Reason.DETECTOR_ERROR) == 1


def test_heat_goes_all_the_way_down_and_up_again_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The real load, on a clock that only the test moves."""
    caplog.set_level(logging.INFO)
    clock, heat = {"now": time.monotonic()}, {"celsius": 95.0}
    monkeypatch.setattr(pipeline_module, "hottest", lambda: heat["celsius"])
    pipeline, _ = make(
        config(tmp_path, load={"step_down_seconds": 2, "step_up_seconds": 5}), [Played([])], Truthful()
    )
    monkeypatch.setattr(time, "monotonic", lambda: clock["now"])
    levels: list[str] = []

    def pass_seconds(count: int) -> None:
        for _ in range(count):
            clock["now"] += 1
            pipeline._check_load()
            status = read_status(pipeline)
            assert bool(status.degraded) == (status.load_level != "full")
            assert any("stopped" in problem for problem in status.problems) == (
                status.load_level == "stopped"
            )
            if not levels or levels[-1] != status.load_level:
                levels.append(status.load_level)

    pass_seconds(30)
    assert read_status(pipeline).temperature_celsius == 95
    assert "95 degrees" in " ".join(pipeline.troubles)
    heat["celsius"] = 60
    pass_seconds(60)
    down = ["full", "lower_rate", "motion_mask", "stopped"]
    assert levels == [*down, *down[-2::-1]]
    assert pipeline.troubles == []
    assert len([r for r in caplog.records if r.message.startswith("load: ")]) == 6


# All at once

Event = tuple[str, LoadLevel, bool]
"""What happens to the eyes, the level, and whether the store fails."""
EVENT: st.SearchStrategy[Event] = st.tuples(
    st.sampled_from(["well", "well", "well", "dark", "blind light", "no known face", "odd known face"]),
    st.sampled_from([LoadLevel.FULL, LoadLevel.FULL, *LoadLevel]),
    st.sampled_from([False, False, True]),
)
FAULTS = {
    "raise": broken(),
    "slow": broken(DetectionError(Reason.DETECTOR_TIMEOUT, "slow")),
    "memory": broken(MemoryError()),
}


class Chaos:
    """Puts events into a pipeline and keeps which frames the detector was shown."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now: str = "well"
        self.disk_fails = False
        real_write = ImageStore.write

        def write(store: ImageStore, entries: Any) -> Any:
            if self.disk_fails:
                raise StoreError("disk full")
            return real_write(store, entries)

        def check(detector: Any) -> float:
            if self.now == "no known face":
                raise KnownFaceError("not found")
            if self.now == "odd known face":
                raise RuntimeError("bug")
            return 0.9

        def problem(pixels: Pixels) -> Reason | None:
            if self.now == "blind light":
                raise RuntimeError("bug")
            return Reason.TOO_DARK if self.now == "dark" else None

        patch.setattr(ImageStore, "write", write)
        patch.setattr(known_face, "check", check)
        patch.setattr(visibility, "problem", problem)
        patch.setattr(pipeline_module, "KNOWN_FACE_RETRY_SECONDS", 0.0)

    def each(self, pipeline: Pipeline, event: Event) -> None:
        self.now, level, self.disk_fails = event
        force(pipeline, level)


def check_promises(folder: Path, metrics: Any, detector: Truthful) -> None:
    count = no_secret(folder)
    images = stored(folder)
    assert count == metrics.count("images_written", "test")
    shown = [number_of(image) for image in images if not is_whole(image)]
    assert set(shown) <= set(detector.raw)
    assert len(set(shown)) == len(shown)
    assert metrics.count("regions_held", "test") <= metrics.count("regions", "test")
    whole = sum(metrics.count("frames_covered_whole", "test", reason) for reason in Reason)
    assert sum(is_whole(image) for image in images) <= whole
    check_accounts(metrics)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_comes_together_no_face_is_stored(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An event for each frame, drawn at random; then the promises."""
    draw, folder = data.draw, tmp_path_factory.mktemp("store")
    events: list[Event] = draw(st.lists(EVENT, min_size=1, max_size=14))
    calls = st.dictionaries(st.integers(0, 30), st.sampled_from(sorted(FAULTS)), max_size=8)
    detector = Truthful({call: FAULTS[name] for call, name in draw(calls).items()})
    live = draw(st.booleans())
    chosen = config(
        folder,
        privacy={
            "on_failure": draw(st.sampled_from(["drop", "cover"])),
            "last_look": draw(st.sampled_from(["always", "covered", "sampled", "off"])),
            "sweep_seconds": draw(st.sampled_from([0, 0.1, 2])),
            "known_face_interval_seconds": 1e-9,
            "check_visibility": True,
        },
        blur={
            "hold_before_frames": draw(st.integers(0, 4)),
            "hold_after_seconds": draw(st.sampled_from([0, 0.1, 1])),
            "fill": draw(st.sampled_from(["infill", "solid"])),
        },
        store={"interval_seconds": draw(st.sampled_from([0, 0, 0.1]))},
    )
    with pytest.MonkeyPatch.context() as patch:
        chaos = Chaos(patch)
        source = Stepped([picture(n) for n in range(len(events))], live)
        pipeline, metrics = make(chosen, [source], detector, draw(st.sampled_from([1, 2])))
        if draw(st.booleans()):
            no_rest(pipeline)
        pipeline.start()
        for event in events:
            chaos.each(pipeline, event)
            source.go()
            # A file waits on a box that is stopped, or blind: then no tick can take it.
            stopped = LoadLevel.STOPPED in (event[1], pipeline.load.level)
            blind = "known face" in event[0] or pipeline.known_face_error
            pipeline.tick(0.01 if not live and (stopped or blind) else 30)
        source.go()
        pipeline.stop()
    check_promises(folder, metrics, detector)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blind=st.sets(st.integers(0, 11)),
    faults=st.sets(st.integers(0, 40), max_size=6),
    live=st.booleans(),
    before=st.integers(0, 4),
)
def test_the_last_look_makes_up_for_a_detector_that_sometimes_misses(
    tmp_path_factory: pytest.TempPathFactory, blind: set[int], faults: set[int], live: bool, before: int
) -> None:
    """It misses the face in some pictures the first time, and sometimes fails."""

    class Moody(Truthful):
        def find(self, pixels: Pixels) -> Detections:
            first = number_of(pixels) not in self.raw
            found = super().find(pixels)
            return found.at_least(2.0) if first and number_of(pixels) in blind else found

    folder, detector = tmp_path_factory.mktemp("store"), Moody(dict.fromkeys(faults, broken()))
    chosen = config(folder, blur={"hold_before_frames": before, "hold_after_seconds": 0})
    _, metrics = step(chosen, 12, detector, lambda pipeline, number: None, live)
    check_promises(folder, metrics, detector)


def test_visibility_is_checked_before_detection_on_every_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "problem", lambda pixels: Reason.OBSTRUCTED)
    for level in LoadLevel:
        detector = Truthful()

        def each(pipeline: Pipeline, number: int, level: LoadLevel = level) -> None:
            no_rest(pipeline)
            force(pipeline, level)

        chosen = config(tmp_path, privacy={"check_visibility": True}, blur=NO_HOLD)
        _, metrics = step(chosen, 3, detector, each, live=True)
        reason = Reason.LOAD if level == LoadLevel.STOPPED else Reason.OBSTRUCTED
        assert metrics.count("frames_dropped", "test", reason) == 3
        assert detector.looks == 0
    assert stored(tmp_path) == []
