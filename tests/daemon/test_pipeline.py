"""Whatever goes wrong with a frame, it is dropped or covered whole, and counted by reason."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import blur as blur_module
from edge.config import Config
from edge.daemon import pipeline as pipeline_module
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.detection.detector import Detections
from edge.errors import DetectionError, StoreError
from edge.frames import Pixels, RawFrame
from edge.hold import Hold
from edge.reasons import Reason
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.encode import encode
from tests.daemon.playing import (
    SECRET,
    FakeDetector,
    Played,
    check_accounts,
    config_without_last_look,
    fail,
    make,
    picture,
    run,
    stored,
)

RUNS_AT_ONCE = 1


@pytest.fixture(autouse=True, params=[1, 2], ids=["one run", "two runs"])
def runs_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many runs of the detector may overlap."""
    monkeypatch.setattr(sys.modules[__name__], "RUNS_AT_ONCE", request.param)


def play(
    settings: Config, sources: list[Source], detector: FakeDetector | None = None
) -> tuple[Pipeline, Metrics]:
    pipeline, metrics = make(settings, sources, detector or FakeDetector(), RUNS_AT_ONCE)
    run(pipeline)
    return pipeline, metrics


def test_every_frame_is_stored_with_the_face_covered(tmp_path: Path) -> None:
    _, metrics = play(config_without_last_look(tmp_path), [Played([picture(n) for n in range(12)])])
    images = stored(tmp_path)
    assert len(images) == metrics.count("images_written", "test") == 12
    assert all((image != SECRET).all() for image in images)
    assert metrics.count("regions", "test") == 12
    check_accounts(metrics)


def test_frames_that_wait_are_packed_and_stored_as_they_were(tmp_path: Path) -> None:
    packed: list[int] = []

    class Packing(Played):
        def __iter__(self) -> Iterator[RawFrame]:
            for frame in super().__iter__():
                number, kept = frame.number, frame.pixels

                def pack(number: int = number, kept: Pixels = kept) -> Callable[[], Pixels]:
                    packed.append(number)
                    return kept.copy

                times = frame.media_seconds, frame.captured, frame.utc_ns
                yield RawFrame(kept, frame.camera, number, *times, pack=pack)

    pictures = [picture(number) for number in range(12)]
    for folder, source in (("plain", Played(pictures)), ("packed", Packing(pictures))):
        play(config_without_last_look(tmp_path / folder, blur={"hold_before_frames": 3}), [source])
    assert packed == list(range(12))
    plain, again = (stored(tmp_path / folder) for folder in ("plain", "packed"))
    assert len(plain) == 12
    np.testing.assert_array_equal(plain, again)
    packed.clear()
    play(config_without_last_look(tmp_path / "no hold", blur={"hold_before_frames": 0}), [Packing(pictures)])
    assert packed == []
    assert len(stored(tmp_path / "no hold")) == 12


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (fail(DetectionError(Reason.DETECTOR_ERROR, "broken")), Reason.DETECTOR_ERROR),
        (fail(DetectionError(Reason.DETECTOR_TIMEOUT, "slow")), Reason.DETECTOR_TIMEOUT),
        (fail(DetectionError(Reason.DETECTOR_OUTPUT, "NaN")), Reason.DETECTOR_OUTPUT),
        (fail(DetectionError(Reason.OVERFLOW, "many")), Reason.OVERFLOW),
        (fail(MemoryError()), Reason.DETECTOR_ERROR),
        (fail(ZeroDivisionError()), Reason.DETECTOR_ERROR),
    ],
)
@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_frame_on_which_detection_failed_never_shows(
    tmp_path: Path, trouble: Callable[[], Detections], reason: Reason, on_failure: str
) -> None:
    settings = config_without_last_look(
        tmp_path,
        blur={"hold_before_frames": 2, "hold_after_seconds": 0},
        privacy={"on_failure": on_failure},
    )
    _, metrics = play(
        settings, [Played([picture(n) for n in range(9)])], FakeDetector({3: trouble, 4: trouble})
    )
    images = stored(tmp_path)
    assert all((image != SECRET).all() for image in images)
    if on_failure == "drop":
        assert len(images) == 7
        assert metrics.count("frames_dropped", "test", reason) == 2
    else:
        assert len(images) == 9
        assert [bool((image == blur_module.GREY).all()) for image in images].count(True) == 2
        assert metrics.count("frames_covered_whole", "test", reason) == 2
    check_accounts(metrics)


def test_a_missed_face_stays_covered(tmp_path: Path) -> None:
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    trouble = {n: (lambda: nothing) for n in (0, 1, 5, 6, 7)}
    _, metrics = play(
        config_without_last_look(tmp_path), [Played([picture(n) for n in range(12)])], FakeDetector(trouble)
    )
    assert all((image != SECRET).all() for image in stored(tmp_path))
    assert metrics.count("regions_held", "test") >= 5
    check_accounts(metrics)


def test_hold_that_fails_drops_all_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Hold.push
    calls = []

    def push(self: Hold, frame: RawFrame, found: Detections | None) -> Any:
        calls.append(frame.number)
        if frame.number == 7:
            raise RuntimeError("bug")
        return real(self, frame, found)

    monkeypatch.setattr(Hold, "push", push)
    settings = config_without_last_look(tmp_path, blur={"hold_before_frames": 5})
    _, metrics = play(settings, [Played([picture(n) for n in range(20)])])
    assert metrics.count("frames_dropped", "test", Reason.HOLD_ERROR) == 6  # five waited
    assert len(stored(tmp_path)) == 14
    check_accounts(metrics)


def test_blur_that_fails_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ValueError("bug")

    monkeypatch.setattr(blur_module, "anonymize", broken)
    _, metrics = play(config_without_last_look(tmp_path), [Played([picture(n) for n in range(8)])])
    assert stored(tmp_path) == []
    assert metrics.count("frames_dropped", "test", Reason.BLUR_ERROR) == 8
    check_accounts(metrics)


@pytest.mark.parametrize("error", [StoreError("disk full"), OSError("odd")])
def test_a_store_that_fails_is_counted_and_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = encode
    calls = count()

    def failing(*args: Any) -> bytes:
        if next(calls) in (2, 3):
            raise error
        return real(*args)

    monkeypatch.setattr("edge.store.encoded.encode", failing)
    pipeline, metrics = play(config_without_last_look(tmp_path), [Played([picture(n) for n in range(8)])])
    assert metrics.count("frames_dropped", "test", Reason.STORE_ERROR) == 2
    assert len(stored(tmp_path)) == 6
    assert pipeline.writer.error == ""
    check_accounts(metrics)


def test_repeated_pictures_of_a_live_camera_are_dropped(tmp_path: Path) -> None:
    frames = [picture(n // 2) for n in range(8)]
    settings = config_without_last_look(tmp_path, blur={"hold_before_frames": 0})
    _, metrics = play(settings, [Played(frames, live=True)])
    assert metrics.count("frames_dropped", "test", Reason.REPEATED) == 4
    assert len(stored(tmp_path)) == 4
    check_accounts(metrics)


def test_old_pictures_of_a_live_camera_are_dropped(tmp_path: Path) -> None:
    settings = config_without_last_look(tmp_path, blur={"hold_before_frames": 0})
    _, metrics = play(settings, [Played([picture(n) for n in range(4)], live=True, age=3.0)])
    assert metrics.count("frames_dropped", "test", Reason.STALE) == 4
    assert stored(tmp_path) == []
    check_accounts(metrics)


def test_a_live_camera_that_stops_stores_no_frame_without_lookahead(tmp_path: Path) -> None:
    settings = config_without_last_look(tmp_path, blur={"hold_before_frames": 5})
    _, metrics = play(settings, [Played([picture(n) for n in range(12)], live=True)])
    assert metrics.count("frames_dropped", "test", Reason.NO_LOOKAHEAD) == 5
    assert len(stored(tmp_path)) == 7
    check_accounts(metrics)


def test_an_interval_stores_fewer_images_and_still_detects_on_all(tmp_path: Path) -> None:
    settings = config_without_last_look(tmp_path, store={"interval_seconds": 0.2})
    _, metrics = play(settings, [Played([picture(n) for n in range(25)])])
    assert len(stored(tmp_path)) == 5
    assert metrics.count("frames_dropped", "test", Reason.NOT_DUE) == 20
    check_accounts(metrics)


def test_a_change_of_size_is_no_trouble(tmp_path: Path) -> None:
    large = [np.asarray(cv2.resize(picture(n), (320, 240)), np.uint8) for n in range(6)]
    frames = [picture(n) for n in range(6)] + large
    _, metrics = play(config_without_last_look(tmp_path), [Played(frames)])
    assert [image.shape[0] for image in stored(tmp_path)] == [120] * 6 + [240] * 6
    check_accounts(metrics)


def test_several_cameras_share_one_detector(tmp_path: Path) -> None:
    sources: list[Source] = [
        Played([picture(n) for n in range(count)], name=name) for name, count in (("a", 6), ("b", 9))
    ]
    pipeline, metrics = play(config_without_last_look(tmp_path), sources)
    assert len(list((tmp_path / "a").rglob("*.png"))) == 6
    assert len(list((tmp_path / "b").rglob("*.png"))) == 9
    check_accounts(metrics, "a")
    check_accounts(metrics, "b")
    status = read_status(pipeline)
    assert [(c.name, c.written, c.state) for c in status.cameras] == [("a", 6, "ended"), ("b", 9, "ended")]


def test_a_source_that_hangs_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "STOP_SECONDS", 0.1)
    release = threading.Event()

    class Hanging(Played):
        def __iter__(self) -> Iterator[RawFrame]:
            release.wait(30)
            return
            yield

    good = Played([picture(n) for n in range(6)], name="good")
    sources = [Hanging([], name="bad"), good]
    settings = config_without_last_look(tmp_path)
    pipeline, metrics = make(settings, list(sources), FakeDetector(), RUNS_AT_ONCE)
    pipeline.start()
    deadline = time.monotonic() + 10
    while metrics.count("frames_captured", "good") < 6 and time.monotonic() < deadline:
        assert pipeline.tick(0.05)
    pipeline.stop()
    release.set()
    assert len(list((tmp_path / "good").rglob("*.png"))) == 6
