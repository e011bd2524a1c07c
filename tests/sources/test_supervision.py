"""A camera that hangs, freezes, repeats itself or is late: its state, and how it recovers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.sources import Source, backoff, base, health
from edge.sources.capture import MOST_ABANDONED
from edge.sources.repeats import same
from tests.watch import Watch, watching


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(backoff, "LONGEST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr(base, "HANG_MARGIN_SECONDS", 0.1)


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


class Camera(Source):
    """Gives ``fresh`` different pictures per opening, then does as ``end`` says."""

    live = True

    def __init__(self, stop: threading.Event, end: str, fresh: int = 3, **keys: object) -> None:
        quick = {"source": "rtsp://u:secret@cam/1", "open_timeout_seconds": 0.1, "read_timeout_seconds": 0.1}
        super().__init__("test", CameraConfig.model_validate({**quick, **keys}), stop)
        self.end = end
        self.fresh = fresh
        self.gate = threading.Event()  # shared by all copies
        self.opened: list[Source] = []  # so is this

    def __iter__(self) -> Iterator[RawFrame]:
        self.opened.append(self)
        for _ in range(self.fresh):
            yield self.made(noise(self._number))
        if self.end == "hang" or (self.end == "hang once" and len(self.opened) == 1):
            self.gate.wait()  # like C code, it ignores everything
            yield self.made(np.zeros((48, 64, 3), np.uint8))
        while self.end == "freeze" and not self._stop.wait(0.01):
            yield self.made(np.full((48, 64, 3), 9, np.uint8))
        while self.end == "late" and not self._stop.wait(0.01):
            frame = self._frame(noise(self._number), 0, time.monotonic() - 3)
            assert frame is not None
            yield frame
        while self.end in ("play", "hang once") and not self._stop.wait(0.01):
            yield self.made(noise(self._number))
        if self.end == "fail":
            raise SourceError("cable out")

    def made(self, pixels: Pixels) -> RawFrame:
        frame = self._frame(pixels, time.monotonic())
        assert frame is not None
        return frame


def zeros(watch: Watch) -> int:
    return sum(not frame.pixels.any() for frame in watch.frames)


def test_a_source_that_hangs_is_replaced_and_never_heard_again() -> None:
    stop = threading.Event()
    camera = Camera(stop, "hang once")
    with watching(camera, stop) as watch:
        watch.until(lambda: "down" in watch.states)
        text = watch.capture.last_error
        assert "hangs" in text
        assert text.startswith("rtsp://cam: ")
        assert "secret" not in text
        before = watch.capture.source
        watch.until_state("live")
        assert watch.capture.source is not before
        assert not watch.capture.needs_restart
        camera.gate.set()  # it wakes up
        watch.during(0.3)
        assert zeros(watch) == 0
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("capture-test") == 1
    assert watch.capture.connections == 2
    numbers = [frame.number for frame in watch.frames]
    assert numbers == sorted(set(numbers))


def test_a_source_that_hangs_does_not_disturb_another() -> None:
    stop = threading.Event()
    bad = Camera(stop, "hang", fresh=0)
    with watching(Camera(stop, "play"), stop) as good:
        with watching(bad, stop) as watch:
            for _ in range(100):
                watch.tick()
                good.tick()
            seen = len(good.frames)
            assert seen > 20
            stop.clear()
            bad.gate.set()
        assert good.states[-1] == "live"


def test_after_three_threads_only_a_restart_helps_unless_one_wakes_up() -> None:
    stop = threading.Event()
    camera = Camera(stop, "hang", fresh=0)
    with watching(camera, stop) as watch:
        watch.until(lambda: watch.capture.needs_restart)
        assert len(camera.opened) == MOST_ABANDONED
        assert "restart the service" in watch.capture.last_error
        watch.during(0.5)
        assert (len(camera.opened), watch.capture.state) == (MOST_ABANDONED, "down")
        assert watch.capture.alive
        camera.end = "play"
        watch.capture.source.__dict__["end"] = "play"
        camera.gate.set()
        watch.until_state("live")
        assert not watch.capture.needs_restart
        assert zeros(watch) == 0


def test_several_that_hang_are_joined_within_one_bound() -> None:
    stop = threading.Event()
    cameras = [Camera(stop, "hang", fresh=0, open_timeout_seconds=300) for _ in range(4)]
    watches = [Watch(camera, stop) for camera in cameras]
    for watch in watches:
        watch.tick()
    stop.set()
    begin = time.monotonic()
    joined = [watch.capture.join(max(0.0, begin + 0.5 - time.monotonic())) for watch in watches]
    assert time.monotonic() - begin < 3
    assert joined == [False] * 4
    for camera in cameras:
        camera.gate.set()
    for watch in watches:
        watch.capture._reader.thread.join(10)
        assert watch.capture.slot.take() is None  # what it brought is thrown away


def test_the_same_picture_again_is_counted_and_not_handed_on() -> None:
    stop = threading.Event()
    with watching(Camera(stop, "freeze"), stop) as watch:
        watch.until(lambda: watch.counts[Reason.REPEATED] >= 10)
    assert len(watch.frames) <= 4
    assert watch.capture.captured >= 14


def test_a_frozen_camera_is_stale_and_opened_again_until_it_moves() -> None:
    stop = threading.Event()
    camera = Camera(stop, "freeze", fresh=0, stale_after_seconds=0.2)
    with watching(camera, stop) as watch:
        watch.until(lambda: len(camera.opened) >= 3)
        assert watch.capture.state == "stale"
        assert "frozen" in watch.capture.last_error
        assert watch.capture.connections == 1
        assert len(watch.frames) == 1
        camera.end = "play"
        watch.until_state("live")
        assert watch.capture.connections == 2
        assert watch.capture.last_error == ""


def test_a_file_may_repeat_itself() -> None:
    stop = threading.Event()
    camera = Camera(stop, "freeze", stale_after_seconds=0.1)
    camera.__dict__["live"] = False
    with watching(camera, stop) as watch:
        watch.until(lambda: len(watch.frames) >= 30)
    assert watch.counts[Reason.REPEATED] == 0


def test_a_camera_without_fresh_pictures_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.3)
    stop = threading.Event()
    camera = Camera(stop, "hang", open_timeout_seconds=100)
    with watching(camera, stop) as watch:
        watch.until_state("live")
        live_since = watch.capture.since
        watch.until_state("stale")
        assert "no fresh picture" in watch.capture.last_error
        gap = watch.capture.since - live_since
        assert timedelta(seconds=0.2) < gap < timedelta(seconds=20)
        assert datetime.now(timezone.utc) >= watch.capture.since
        camera.end = "play"
        camera.gate.set()
        watch.until_state("live")
    assert watch.capture.connections == 1


def test_late_pictures_are_handed_on_with_their_age_but_do_not_make_a_camera_live() -> None:
    stop = threading.Event()
    with watching(Camera(stop, "late", fresh=0), stop) as watch:
        watch.until(lambda: len(watch.frames) >= 5)
        assert watch.states == ["connecting"]
        assert watch.capture.connections == 0
    assert min(watch.ages) >= 3


def test_pauses_grow_to_a_minute_and_begin_anew_after_a_good_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(backoff, "LONGEST_BACKOFF_SECONDS", 60.0)
    stop = threading.Event()
    pauses: list[float] = []

    def wait(seconds: float | None = None) -> bool:
        assert seconds is not None
        pauses.append(seconds)
        if len(pauses) == 9:
            camera.fresh = 1
        if len(pauses) == 12:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(stop, "wait", wait)
    camera = Camera(stop, "fail", fresh=0)
    with watching(camera, stop) as watch:
        watch.until(lambda: not watch.capture.alive)
    growing = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(0.8 * n <= pause <= min(60, 1.2 * n) for n, pause in zip(growing, pauses[:9], strict=True))
    assert all(0.8 <= pause <= 1.2 for pause in pauses[9:])
    assert len(set(pauses)) > 9
    assert watch.capture.last_error == "cable out"


def test_undecodable_pictures_are_counted_while_none_is_good() -> None:
    stop = threading.Event()

    class Broken(Camera):
        def __iter__(self) -> Iterator[RawFrame]:
            while not self._stop.wait(0.01):
                frame = self._frame(None, 0)
                assert frame is None
            yield from ()

    with watching(Broken(stop, "play"), stop) as watch:
        watch.until(lambda: watch.counts[Reason.UNDECODABLE] >= 5)
        watch.during(0.5)
        assert watch.states == ["connecting"]  # it hangs not: it gives signs of life


def test_equal_pictures_are_equal_in_every_pixel() -> None:
    first = noise(1)
    second = first.copy()
    assert same(first, second)
    second[-1, -1, -1] ^= 1
    assert not same(first, second)
    assert not same(first, first[:-1])
