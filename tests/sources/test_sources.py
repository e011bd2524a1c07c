"""Each kind of source without its hardware: turned, cropped and refused pictures, clocks, stand-ins."""

from __future__ import annotations

import logging
import math
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import Pixels, RawFrame
from edge.sources import Source, backoff, base, live, make_source
from edge.sources.live import Arrival, Arrivals
from edge.sources.stream import StreamSource
from edge.sources.stream_clock import StreamClock
from tests.clips import write_clip
from tests.conftest import DATA
from tests.watch import watching


def frames_of(config: CameraConfig, limit: int) -> list[RawFrame]:
    return list(islice(iter(make_source("yard", config, threading.Event())), limit))


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


class Device:
    """Stands in for cv2.VideoCapture: ``read`` asks ``pictures`` with the number of its call."""

    def __init__(self, pictures: Callable[[int], Pixels | None], opens: bool = True) -> None:
        self.pictures = pictures
        self.opens = opens
        self.opened: list[tuple[object, ...]] = []
        self.settings: dict[int, float] = {}
        self.released = 0
        self.calls = 0

    def __call__(self, *arguments: object) -> Device:
        self.opened.append(arguments)
        return self

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def get(self, key: int) -> float:
        raise AssertionError("only RTSP has a clock")

    def read(self) -> tuple[bool, Pixels | None]:
        time.sleep(0.005)
        self.calls += 1
        picture = self.pictures(self.calls)
        return picture is not None, picture

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def device_file(tmp_path: Path) -> Path:
    path = tmp_path / "video0"
    path.write_bytes(b"")
    return path


def v4l2(path: Path, **keys: object) -> CameraConfig:
    return CameraConfig.model_validate(
        {"source": str(path), "kind": "v4l2", "read_timeout_seconds": 1, **keys}
    )


def test_v4l2_asks_for_what_was_configured(device_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(noise)
    monkeypatch.setattr(cv2, "VideoCapture", device)
    frames = frames_of(v4l2(device_file, width_pixels=64, height_pixels=48, rate_fps=30), 3)
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert device.opened == [(str(device_file), cv2.CAP_V4L2)]
    assert device.settings == {
        cv2.CAP_PROP_FRAME_WIDTH: 64,
        cv2.CAP_PROP_FRAME_HEIGHT: 48,
        cv2.CAP_PROP_FPS: 30,
        cv2.CAP_PROP_BUFFERSIZE: 1,
    }


def test_v4l2_says_what_is_wrong(device_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Device(noise, opens=False))
    with pytest.raises(SourceError, match="another program"):
        frames_of(v4l2(device_file), 1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceError, match="group"):
        frames_of(v4l2(device_file), 1)
    device_file.unlink()
    with pytest.raises(SourceError, match="no such device"):
        frames_of(v4l2(device_file), 1)


def test_an_unplugged_camera_that_repeats_itself_is_stale_then_down(
    device_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.05)
    device = Device(lambda call: noise(min(call, 5)))
    monkeypatch.setattr(cv2, "VideoCapture", device)
    stop = threading.Event()
    with watching(make_source("yard", v4l2(device_file, stale_after_seconds=0.3), stop), stop) as watch:
        watch.until_state("live")
        watch.until_state("stale")
        assert "frozen" in watch.capture.last_error
        device_file.unlink()
        watch.until_state("down")
        assert "no such device" in watch.capture.last_error
    assert device.released == len(device.opened)


def test_a_driver_that_never_returns_is_abandoned(device_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(base, "HANG_MARGIN_SECONDS", 0.1)
    gate = threading.Event()

    def pictures(call: int) -> Pixels | None:
        if call == 4:
            gate.wait()
        return noise(call)

    device = Device(pictures)
    monkeypatch.setattr(cv2, "VideoCapture", device)
    stop = threading.Event()
    config = v4l2(device_file, open_timeout_seconds=0.1, read_timeout_seconds=0.2)
    with watching(make_source("yard", config, stop), stop) as watch:
        watch.until_state("down")
        assert "hangs" in watch.capture.last_error
        watch.until_state("live")
        assert watch.capture.hanging == 1
        gate.set()
        watch.until(lambda: watch.capture.hanging == 0)
    assert len(device.opened) == device.released == 2


PIPELINE = (
    "rtspsrc location=rtsp://u:secret@cam/1 user-pw=secret ! video/x-raw(memory:NVMM),width=1 ! appsink"
)


def test_gstreamer_says_what_to_do_where_opencv_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:      NO\n")
    with pytest.raises(SourceError, match="system's OpenCV") as caught:
        frames_of(CameraConfig(source=PIPELINE), 1)
    assert "gstreamer rtspsrc ! video/x-raw ! appsink" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("version", "timeouts"), [("4.6.0", 0), ("4.8.0", 4), ("5.0.0-dev", 4)])
def test_gstreamer_opens_the_pipeline(monkeypatch: pytest.MonkeyPatch, version: str, timeouts: int) -> None:
    device = Device(noise)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:      YES (1.20.3)\n")
    monkeypatch.setattr(cv2, "VideoCapture", device)
    monkeypatch.setattr(cv2, "__version__", version)
    assert len(frames_of(CameraConfig(source=PIPELINE), 2)) == 2
    ((source, backend, options),) = device.opened
    assert (source, backend) == (PIPELINE, cv2.CAP_GSTREAMER)
    assert isinstance(options, list)
    assert len(options) == timeouts
    device.opens = False
    with pytest.raises(SourceError, match=r"gst-launch-1\.0"):
        frames_of(CameraConfig(source=PIPELINE), 2)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 1), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.uint16),
    ],
)
def test_pictures_that_are_not_8_bit_bgr_are_refused(
    device_file: Path, monkeypatch: pytest.MonkeyPatch, pixels: Pixels
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Device(lambda _: pixels))
    source = make_source("yard", v4l2(device_file, read_timeout_seconds=0.3), threading.Event())
    with pytest.raises(SourceError, match="expected 8-bit BGR"):
        list(source)
    assert source.undecodable > 3


@pytest.mark.parametrize("left", [0.0, 0.25])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pictures_are_turned_then_cropped(tmp_path: Path, degrees: int, left: float) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2)
    plain = frames_of(CameraConfig(source=str(clip), pace=False), 1)[0].pixels
    keys = {"rotate_degrees": degrees, "crop": (left, 0.5, 1.0, 0.75)}
    frame = frames_of(CameraConfig.model_validate({"source": str(clip), "pace": False, **keys}), 1)[0]
    turned = np.rot90(plain, -degrees // 90)
    height, width = turned.shape[:2]
    assert np.array_equal(frame.pixels, turned[height // 2 : height * 3 // 4, round(width * left) :])
    assert frame.pixels.flags.c_contiguous
    assert frame.pixels.flags.owndata  # what was cut off is not kept

    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(DATA / "hopper.jpg", folder)
    frame = frames_of(CameraConfig.model_validate({"source": str(folder), "poll_seconds": 0.05, **keys}), 1)[
        0
    ]
    sides = (600, 512) if degrees in (90, 270) else (512, 600)
    assert (frame.width, frame.height) == (round(sides[0] * (1 - left)), sides[1] // 4)


def test_a_crop_that_leaves_too_little_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=5)
    config = CameraConfig(source=str(clip), pace=False, crop=(0.0, 0.0, 0.02, 1.0))
    source = make_source("yard", config, threading.Event())
    with caplog.at_level(logging.WARNING), pytest.raises(SourceError):
        list(source)
    assert (source.wrong_size, source.undecodable) == (5, 0)
    (record,) = caplog.records
    assert "crop leaves 13x360 pixels" in record.getMessage()
    assert "cameras.yard.crop" in record.getMessage()


def test_a_renewed_source_goes_on_with_the_numbers(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3)
    source: Source = make_source("yard", CameraConfig(source=str(clip), pace=False), threading.Event())
    list(source)
    source.abandoned = True
    fresh = source.renewed()
    assert not fresh.abandoned
    assert [frame.number for frame in fresh] == [3, 4, 5]


def settled(rate: float = 25.0, opened: float = 1.0, seconds: float = 2.0) -> tuple[StreamClock, float]:
    """A clock that has seen a stream in time for so long; presentation times begin at 0 and run with
    arrival minus ``opened``."""
    clock = StreamClock(opened=0.0)
    count = round(seconds * rate)
    for number in range(count):
        clock.lag(number / rate, opened + number / rate)
    return clock, count / rate


def test_a_stream_in_time_has_no_lag_whatever_its_clock_drifts() -> None:
    chance = random.Random(1)
    for drift in (-3e-4, 3e-4):
        clock, worst = StreamClock(0.0), 0.0
        for number in range(200_000):  # more than two hours
            arrived = 1 + number / 25 + chance.uniform(0, 0.02)
            lag = clock.lag(number / 25 * (1 + drift), arrived)
            worst = max(worst, lag) if number > 100 else worst
        assert worst < 0.05


def test_what_piled_up_while_opening_counts_as_old() -> None:
    clock = StreamClock(opened=10.0)
    ages = [clock.lag(n / 30, 13.0 + n / 1000) for n in range(90)]  # three seconds of pictures at once
    assert ages[0] == 3
    assert all(age >= 3 - n / 30 for n, age in enumerate(ages))
    ages = [clock.lag(3 + n / 30, 13.1 + n / 30) for n in range(30)]
    assert max(ages[10:]) < 0.01


@pytest.mark.parametrize("rate", [0.5, 1, 5, 30])
def test_a_slow_camera_is_not_taken_for_late(rate: float) -> None:
    clock, now = settled(rate, opened=4.0, seconds=12)
    assert clock.lag(now, 4 + now) < 0.01
    assert 0.9 < clock.lag(now + 1 / rate, 5 + now + 1 / rate) < 1.1


def test_a_clock_that_is_set_begins_anew() -> None:
    clock, now = settled()
    assert clock.lag(now + 3600, 1 + now) == 0.0  # forward: never more late than nothing
    assert clock.lag(0.0, 1 + now + 0.04) == 0.0  # back
    assert clock.lag(0.04, 1 + now + 2.08) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("time_of_all", [0.0, 7.5, float("nan")])
def test_a_clock_that_stands_still_tells_nothing(time_of_all: float) -> None:
    clock = StreamClock(opened=0.0)
    lags = [clock.lag(time_of_all, 3 + number / 25) for number in range(100)]
    assert set(lags[30:]) == {0.0}


@pytest.mark.parametrize(("piled_up", "first"), [(False, 0), (True, 5)])
def test_pictures_that_piled_up_while_opening_are_thrown_away(piled_up: bool, first: int) -> None:
    def queue() -> Arrivals:
        """Five pictures at once, then one every 50 ms; each is filled with its number."""
        for count in range(100):
            if count >= 5:
                time.sleep(0.05)
            yield Arrival(np.full((48, 48, 3), count, np.uint8))

    source = StreamSource("cam", CameraConfig(source="http://cam/1"), threading.Event())
    frames = source._read_live(queue(), piled_up=piled_up)
    assert next(frames).pixels[0, 0, 0] == first
    assert next(frames).pixels[0, 0, 0] == first + 1


@pytest.mark.parametrize(("key_seconds", "limit"), [(0.04, 10), (1.0, 30), (4.0, 60), (math.nan, 60)])
def test_a_camera_without_an_intact_picture_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, key_seconds: float, limit: float
) -> None:
    """The sooner, the more often it sends a key frame: after noise it may never find the next picture."""
    source = StreamSource(
        "cam", CameraConfig(source="http://cam/1", read_timeout_seconds=10), threading.Event()
    )
    now = 100.0
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now))

    def broken() -> Arrivals:
        nonlocal now
        source.key_seconds = key_seconds
        while True:
            now += 0.2
            yield None

    with pytest.raises(SourceError, match="no intact picture"):
        next(source._read_live(broken()))
    assert now - 100 == pytest.approx(limit, abs=0.3)
