"""The store's thread: what it reports when the disk fails, and that no image is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from edge import blur
from edge.config import BlurConfig, StoreConfig
from edge.daemon.writer import QUEUE_LENGTH, Writer
from edge.errors import StoreError
from edge.frames import AnonymizedFrame, RawFrame
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.images import Entry, ImageStore

Make = Callable[..., RawFrame]
PATIENCE_SECONDS = 30
FACE = np.array([[40, 30, 80, 80]], np.float32)


class Disk(ImageStore):
    """Fails as told: None stores, an exception is raised. Waits while its gate is closed."""

    def __init__(self, folder: Path, script: list[Exception | None] | None = None) -> None:
        super().__init__(StoreConfig(folder=folder))
        self._script = script or []
        self.gate = threading.Event()
        self.gate.set()

    def write(self, entries: Sequence[Entry]) -> list[Path | StoreError]:
        assert self.gate.wait(PATIENCE_SECONDS)
        results: list[Path | StoreError] = []
        for entry in entries:
            error = self._script.pop(0) if self._script else None
            if isinstance(error, StoreError):
                results.append(error)
            elif error is not None:
                raise error
            else:
                results += super().write([entry])
        return results


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.add_camera("test")
    return made


@pytest.fixture
def started(metrics: Metrics) -> Iterator[Callable[[ImageStore], Writer]]:
    """Start a writer; it is drained at the end if the test did not do so."""
    writers: list[Writer] = []

    def start(store: ImageStore) -> Writer:
        writers.append(Writer(store, metrics))
        writers[-1].start()
        return writers[-1]

    yield start
    for writer in writers:
        if writer.alive:
            writer.drain()


Start = Callable[[ImageStore], Writer]


def done(metrics: Metrics) -> int:
    failed = metrics.count("frames_dropped", "test", Reason.STORE_ERROR)
    return metrics.count("images_written", "test") + failed


def put_and_wait(writer: Writer, frame: AnonymizedFrame, metrics: Metrics) -> None:
    wanted, deadline = done(metrics) + 1, time.monotonic() + PATIENCE_SECONDS
    writer.put(frame, 0)
    writer.release()
    while done(metrics) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_errors_are_logged_once_with_their_time_and_end(
    tmp_path: Path, raw: Make, metrics: Metrics, started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk = Disk(tmp_path, [None, StoreError("disk full"), OSError("odd"), None, StoreError("again"), None])
    begin, writer, states = datetime.now(timezone.utc), started(disk), []
    for number in range(6):
        put_and_wait(writer, blur.cover_whole(raw(number=number)), metrics)
        states.append((writer.error, writer.error_since))
    assert [error for error, _ in states] == ["", "disk full", "OSError: odd", "", "again", ""]
    times = [since for _, since in states]
    assert times[1] is not None
    assert begin <= times[1] <= datetime.now(timezone.utc)
    assert times[2] == times[1]  # since the first failure
    assert times[3] is times[5] is None
    assert times[4] is not None
    assert times[4] >= times[1]
    told = [record.message for record in caplog.records if record.name == "edge.daemon.writer"]
    assert told == ["store: disk full", "store: works again", "store: again", "store: works again"]
    assert metrics.count("frames_dropped", "test", Reason.STORE_ERROR) == 3
    writer.drain()
    assert writer.usage.images == 3


@pytest.mark.parametrize(
    "error", [StoreError("full"), OSError(5, "EIO"), MemoryError(), ZeroDivisionError(), cv2.error("no")]
)
def test_no_error_ends_the_thread(
    tmp_path: Path, raw: Make, metrics: Metrics, started: Start, error: Exception
) -> None:
    writer = started(Disk(tmp_path, [error]))
    put_and_wait(writer, blur.cover_whole(raw()), metrics)
    assert writer.alive
    assert writer.error
    assert list(tmp_path.rglob("*.jpg")) == []
    put_and_wait(writer, blur.cover_whole(raw()), metrics)
    assert writer.error == ""
    assert len(list(tmp_path.rglob("*.jpg"))) == 1


def test_a_store_that_cannot_be_written_to_says_where(
    tmp_path: Path, raw: Make, metrics: Metrics, started: Start
) -> None:
    (tmp_path / "file").write_bytes(b"")
    writer = started(ImageStore(StoreConfig(folder=tmp_path / "file")))
    put_and_wait(writer, blur.cover_whole(raw()), metrics)
    assert str(tmp_path / "file") in writer.error
    assert writer.last_images == {}
    (tmp_path / "file").unlink()
    put_and_wait(writer, blur.cover_whole(raw()), metrics)
    assert writer.error == ""


def test_a_raw_frame_is_refused(tmp_path: Path, raw: Make, metrics: Metrics, started: Start) -> None:
    """Whoever makes that mistake: no byte of it gets to the disk."""
    writer = started(ImageStore(StoreConfig(folder=tmp_path)))
    put_and_wait(writer, cast(Any, raw()), metrics)
    assert "AnonymizedFrame" in writer.error
    assert [path.name for path in tmp_path.iterdir()] == ["_audit"]


def test_the_last_image_of_each_camera_is_known(
    tmp_path: Path, raw: Make, metrics: Metrics, started: Start
) -> None:
    writer = started(Disk(tmp_path, [None, None, None, StoreError("full")]))
    for camera, number in [("a", 0), ("b", 0), ("a", 1), ("b", 1)]:
        frame = raw(camera=camera, number=number, utc_ns=raw().utc_ns + number * 10**9)
        writer.put(blur.cover_whole(frame), 0)
        writer.release()
    writer.drain()
    assert sorted(writer.last_images) == ["a", "b"]
    assert len(list((tmp_path / "a").rglob("*.jpg"))) == 2
    assert writer.last_images["a"] == max((tmp_path / "a").rglob("*.jpg"))
    assert [writer.last_images["b"]] == list((tmp_path / "b").rglob("*.jpg"))


def test_a_full_queue_waits_and_nothing_is_lost(
    tmp_path: Path, raw: Make, metrics: Metrics, started: Start
) -> None:
    disk = Disk(tmp_path)
    disk.gate.clear()
    writer, total, handed = started(disk), 2 * QUEUE_LENGTH + 5, []

    def fill() -> None:
        for number in range(total):
            writer.put(blur.cover_whole(raw(number=number)), 0)
            writer.release()
            handed.append(number)

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()  # it waits for the disk
    assert len(handed) <= QUEUE_LENGTH // 2 + 1  # those in the queue, with an order each, and the one in hand
    assert done(metrics) == 0
    disk.gate.set()
    thread.join(PATIENCE_SECONDS)
    writer.drain()
    assert metrics.count("images_written", "test") == total
    assert len(list(tmp_path.rglob("*.jpg"))) == total


def test_drain_stores_what_waits_in_order_and_ends(
    tmp_path: Path, raw: Make, metrics: Metrics, started: Start
) -> None:
    disk = Disk(tmp_path, [None, StoreError("full")])
    disk.gate.clear()
    writer = started(disk)
    for number in range(QUEUE_LENGTH):
        writer.put(blur.anonymize(raw(number=number), FACE, BlurConfig()), 1)
    threading.Timer(0.1, disk.gate.set).start()
    writer.release()
    writer.drain()
    assert not writer.alive
    assert metrics.count("images_written", "test") == QUEUE_LENGTH - 1
    assert metrics.count("frames_dropped", "test", Reason.STORE_ERROR) == 1
    assert metrics.count("regions", "test") == metrics.count("regions_held", "test") == QUEUE_LENGTH - 1
