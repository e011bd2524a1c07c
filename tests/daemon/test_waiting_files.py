"""While the detector is blind, files and folders wait, and none of their frames is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge.config import CameraConfig
from edge.daemon.pipeline import Pipeline
from edge.reasons import Reason
from edge.sources import make_source
from edge.sources.slot import Slot
from edge.status.metrics import Metrics
from tests.clips import write_clip
from tests.daemon.blind import ALWAYS, NEVER, PATIENCE_SECONDS, Eyes, Make, audit, numbers
from tests.daemon.playing import NO_HOLD, Played, Truthful, check_accounts, config, make, picture, stored


def reading(camera: CameraConfig, folder: Path, detector: Truthful) -> tuple[Pipeline, Metrics]:
    """A pipeline of a real source, which ends with it."""
    source = make_source("test", camera, threading.Event())
    pipeline, metrics = make(config(folder, privacy=NEVER), [source], detector)
    source._stop = pipeline._stop
    return pipeline, metrics


def wait_blind(pipeline: Pipeline, eyes: Eyes, ticks: int = 30) -> None:
    """Some ticks of a blind detector: it runs on no frame, and the process goes on."""
    eyes.blind = True
    pipeline._next_known_face = 0.0
    for _ in range(ticks):
        assert pipeline.tick(0.01)
    assert pipeline.troubles == ["the known face is not found"]
    eyes.blind = False


def tick_until(pipeline: Pipeline, condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        pipeline.tick(0.01)
    raise AssertionError("waited too long")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(12):
        assert cv2.imwrite(str(inbox / f"{number:02d}.png"), picture(number))
    return inbox


def test_a_folder_waits_and_nothing_of_it_is_lost(tmp_path: Path, pictures: Path, eyes: Eyes) -> None:
    """Of the pictures that came before, those since the last success are discarded, and read again."""
    camera = CameraConfig(source=str(pictures), kind="folder", poll_seconds=0.01)
    detector = Truthful()
    pipeline, metrics = reading(camera, tmp_path / "store", detector)

    pipeline.start()
    wait_blind(pipeline, eyes)  # before the detector has run on any of them
    assert detector.looks == 0
    tick_until(pipeline, lambda: len(detector.raw) >= 4)
    pipeline._next_known_face = 0.0
    tick_until(pipeline, lambda: len(detector.raw) >= 7)
    seen = len(detector.raw)
    wait_blind(pipeline, eyes)
    assert len(detector.raw) == seen

    def all_stored() -> bool:
        pipeline._next_known_face = 0.0  # what waits for a check is stored now
        return metrics.count("images_written", "test") >= 12

    tick_until(pipeline, all_stored)
    pipeline.stop()
    check_accounts(metrics)
    assert metrics.count("frames_dropped", "test", Reason.RETRIED) >= 1
    assert sorted(numbers(tmp_path / "store")) == list(range(12))
    dropped = {reason: metrics.count("frames_dropped", "test", reason) for reason in Reason}
    assert {reason for reason, count in dropped.items() if count} <= {Reason.RETRIED}
    assert pipeline.ledgers.lost("test") == {}
    assert audit(tmp_path / "store")


@pytest.mark.parametrize("pace", [False, True])
def test_a_video_waits_and_nothing_of_it_is_lost(tmp_path: Path, eyes: Eyes, pace: bool) -> None:
    """At its own rate it goes on where it was, and does not hurry to catch up: nothing is overtaken."""
    clip = write_clip(tmp_path / "clip.mp4", frames=8, rate=20)
    camera = CameraConfig(source=str(clip), kind="video", pace=pace)
    pipeline, metrics = reading(camera, tmp_path / "store", Truthful())
    eyes.blind = True
    pipeline._next_known_face = 0.0
    assert pipeline.tick(0.01)
    pipeline.start()
    wait_blind(pipeline, eyes, ticks=60)  # longer than the clip lasts
    assert metrics.count("images_written", "test") == 0
    while pipeline.tick(0.01):
        pass
    pipeline.stop()
    check_accounts(metrics)
    dropped = {reason: metrics.count("frames_dropped", "test", reason) for reason in Reason}
    assert {reason for reason, count in dropped.items() if count} == set()
    assert len(stored(tmp_path / "store")) == metrics.count("frames_captured", "test") == 8


def test_a_file_that_waits_when_the_pipeline_stops_is_counted(tmp_path: Path, eyes: Eyes) -> None:
    pipeline, metrics = make(
        config(tmp_path, privacy=ALWAYS), [Played([picture(n) for n in range(5)])], Truthful()
    )
    pipeline.start()
    wait_blind(pipeline, eyes)
    eyes.blind = True
    pipeline.stop()
    check_accounts(metrics)
    assert metrics.count("frames_dropped", "test", Reason.KNOWN_FACE) >= 1
    assert stored(tmp_path) == []


def test_a_live_camera_beside_a_file_does_not_wait(tmp_path: Path, eyes: Eyes) -> None:
    live = Played([picture(n) for n in range(6)], live=True, name="live")
    file = Played([picture(n) for n in range(6)], name="file")
    pipeline, metrics = make(config(tmp_path, privacy=ALWAYS, blur=NO_HOLD), [live, file], Truthful())
    eyes.blind = True
    pipeline.start()
    tick_until(pipeline, lambda: metrics.count("frames_dropped", "live", Reason.KNOWN_FACE) == 6)
    assert pipeline.tick(0.01)
    eyes.blind = False
    while pipeline.tick(0.01):
        pass
    pipeline.stop()
    assert len(list((tmp_path / "file").rglob("*.png"))) == 6
    assert not (tmp_path / "live").exists()


def test_a_slot_that_is_held_keeps_its_frame(raw: Make) -> None:
    slot = Slot(threading.Event(), waits=False)
    slot.held = True
    first, second = raw(number=1), raw(number=2)
    assert slot.put(first) is None
    thread = threading.Thread(target=slot.put, args=(second,))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    slot.held = False
    assert slot.take() is first
    thread.join(PATIENCE_SECONDS)
    assert slot.take() is second
