"""Slots, capture threads and the sources that need no hardware."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.sources import Source, backoff, make_source
from edge.sources.capture import Capture
from edge.sources.slot import Slot
from tests.clips import write_clip
from tests.conftest import DATA

Make = Callable[..., RawFrame]


class Scripted(Source):
    """Plays a list: arrays become frames, exceptions are raised."""

    live = True

    def __init__(self, script: list[list[Any]], stop: threading.Event) -> None:
        super().__init__("test", CameraConfig(source="rtsp://user:secret@cam/1"), stop)
        self._script = script
        self.opened = 0

    @property
    def reopens(self) -> bool:
        return self.opened < len(self._script)

    def __iter__(self) -> Iterator[RawFrame]:
        items = self._script[self.opened]
        self.opened += 1
        for item in items:
            if isinstance(item, Exception):
                raise item
            frame = self._frame(item, time.monotonic())
            if frame is not None:
                yield frame


def picture(number: int) -> Pixels:
    return np.full((48, 48, 3), number, np.uint8)


def run(source: Source, stop: threading.Event) -> tuple[Capture, list[Reason]]:
    counted: list[Reason] = []
    capture = Capture(source, stop, threading.Event(), lambda camera, reason: counted.append(reason))
    capture.start()
    deadline = time.monotonic() + 20
    while capture.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    return capture, counted


@pytest.fixture
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.01)


def test_the_newest_frame_wins(raw: Make) -> None:
    slot = Slot(threading.Event(), waits=False)
    first, second = raw(number=0), raw(number=1)
    assert slot.put(first) is None
    assert slot.put(second) is first
    assert slot.take() is second
    assert slot.take() is None


def test_a_waiting_slot_skips_nothing_and_can_be_closed(raw: Make) -> None:
    slot = Slot(threading.Event(), waits=True)
    slot.put(raw(number=0))
    done = threading.Event()

    def put() -> None:
        slot.put(raw(number=1))
        done.set()

    thread = threading.Thread(target=put)
    thread.start()
    assert not done.wait(0.1)
    slot.close()
    assert done.wait(2)
    thread.join()


def test_overtaken_frames_are_counted() -> None:
    stop = threading.Event()
    capture, counted = run(Scripted([[picture(n) for n in range(5)]], stop), stop)
    assert (capture.state, capture.captured) == ("ended", 5)
    assert counted == [Reason.OVERTAKEN] * 4


def test_undecodable_frames_are_counted() -> None:
    stop = threading.Event()
    tiny = np.zeros((4, 4, 3), np.uint8)
    capture, counted = run(Scripted([[None, picture(0), tiny]], stop), stop)
    assert capture.captured == 1
    assert counted == [Reason.UNDECODABLE, Reason.SIZE]


@pytest.mark.usefixtures("_no_pause")
@pytest.mark.parametrize("error", [SourceError("cable out"), RuntimeError("driver bug")])
def test_a_lost_source_is_opened_again(error: Exception) -> None:
    stop = threading.Event()
    source = Scripted([[picture(0), error], [error], [picture(1)]], stop)
    capture, _ = run(source, stop)
    assert (capture.captured, source.opened, capture.state, capture.last_error) == (2, 3, "ended", "")


def test_the_last_error_is_kept_without_the_password() -> None:
    stop = threading.Event()
    capture, _ = run(Scripted([[RuntimeError("driver bug")]], stop), stop)
    assert capture.state == "down"
    assert "driver bug" in capture.last_error
    assert capture.last_error == "rtsp://cam: RuntimeError: driver bug"
    assert "secret" not in capture.last_error


def numbers(source: Source, limit: int = 1000) -> list[RawFrame]:
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == limit:
            break
    return frames


def test_a_video_file_is_played_whole_with_its_own_clock(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12, rate=10)
    config = CameraConfig(source=str(clip), pace=False)
    frames = numbers(make_source("a", config, threading.Event()))
    assert [frame.number for frame in frames] == list(range(12))
    assert [round(frame.media_seconds, 3) for frame in frames] == [n / 10 for n in range(12)]


def test_a_paced_video_takes_its_time_and_loops(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=5, rate=50)
    config = CameraConfig(source=str(clip), pace=True, loop=True)
    begin = time.monotonic()
    frames = numbers(make_source("a", config, threading.Event()), limit=12)
    assert time.monotonic() - begin >= 11 / 50
    assert [frame.number for frame in frames] == list(range(12))
    times = [frame.media_seconds for frame in frames]
    assert times == sorted(times)


@pytest.mark.parametrize("content", [None, b"", b"not a video"])
def test_a_bad_video_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"clip\.mp4"):
        numbers(make_source("a", CameraConfig(source=str(path)), threading.Event()))


def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(SourceError, match="no such device"):
        numbers(make_source("a", CameraConfig(source="/dev/video99"), threading.Event()))


def test_a_stream_that_does_not_answer_is_an_error() -> None:
    config = CameraConfig(source="rtsp://u:secret@127.0.0.1:9/none", open_timeout_seconds=1)
    with pytest.raises(SourceError) as caught:
        numbers(make_source("a", config, threading.Event()))
    assert str(caught.value).startswith("rtsp://127.0.0.1:9: ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://cam/x", "concat://a|b", "udp://0.0.0.0:1"])
def test_only_camera_schemes_are_opened(url: str) -> None:
    with pytest.raises(SourceError, match="scheme"):
        numbers(make_source("a", CameraConfig(source=url), threading.Event()))


def test_a_folder_gives_each_picture_once_and_waits_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sources.ledger.MOST_TRIES", 1)
    for name in ("b.jpg", "a.jpg"):
        shutil.copy(DATA / "astronaut.jpg", tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "broken.jpg").write_bytes(b"broken")
    stop = threading.Event()
    source = make_source("a", CameraConfig(source=str(tmp_path), poll_seconds=0.05), stop)
    frames: list[RawFrame] = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 2:
            shutil.copy(DATA / "hopper.jpg", tmp_path / "c.jpg")
        if len(frames) == 3:
            stop.set()
    assert [(f.width, f.height) for f in frames] == [(512, 512), (512, 512), (512, 600)]
    assert source.undecodable == 1


def test_a_folder_that_goes_away_is_an_error(tmp_path: Path) -> None:
    config = CameraConfig(source=str(tmp_path / "gone"), kind="folder")
    with pytest.raises(SourceError, match="gone"):
        numbers(make_source("a", config, threading.Event()))
