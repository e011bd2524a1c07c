"""The store's thread: what it says when the disk fails, and that nothing is lost on the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import blur
from edge.config import StoreConfig
from edge.errors import StoreError
from edge.frames import AnonymizedFrame, RawFrame
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.images import ImageStore
from edge.writer import QUEUE_LENGTH, Writer

Make = Callable[..., RawFrame]


class Disk(ImageStore):
    """Fails as told: None stores, an exception is raised."""

    def __init__(self, folder: Path, script: list[Exception | None]) -> None:
        super().__init__(StoreConfig(folder=folder))
        self._script = script
        self.gate = threading.Event()
        self.gate.set()

    def write(self, frame: AnonymizedFrame) -> Path:
        self.gate.wait(30)
        error = self._script.pop(0) if self._script else None
        if error is not None:
            raise error
        return super().write(frame)


def test_errors_are_told_once_with_their_time_and_end(
    tmp_path: Path, raw: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk = Disk(tmp_path, [None, StoreError("disk full"), OSError("odd"), None])
    metrics = Metrics()
    metrics.add_camera("test")
    writer = Writer(disk, metrics)
    writer.start()
    states = []
    for number in range(4):
        writer.put(blur.cover_whole(raw(number=number)), 0)
        while not writer._jobs.empty():
            threading.Event().wait(0.001)
        deadline = threading.Event()
        for _ in range(2000):
            done = metrics.count("images_written", "test") + metrics.count(
                "frames_dropped", "test", Reason.STORE_ERROR
            )
            if done == number + 1:
                break
            deadline.wait(0.005)
        states.append((writer.error, writer.error_since))
    writer.drain()
    assert [error for error, _ in states] == ["", "disk full", "OSError: odd", ""]
    assert states[1][1] is not None
    assert states[1][1] == states[2][1]  # since the first failure
    assert states[3][1] is None
    told = [record.message for record in caplog.records if record.name == "edge.writer"]
    assert told == ["store: disk full", "store: works again"]
    assert writer.last_images["test"].is_file()
    assert writer.usage.images == 2
    assert not writer.alive


def test_a_full_queue_waits_and_nothing_is_lost(tmp_path: Path, raw: Make) -> None:
    disk = Disk(tmp_path, [])
    disk.gate.clear()
    metrics = Metrics()
    writer = Writer(disk, metrics)
    writer.start()
    total = QUEUE_LENGTH + 5

    def fill() -> None:
        for number in range(total):
            writer.put(blur.cover_whole(raw(number=number)), 0)

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()  # it waits for the disk
    disk.gate.set()
    thread.join(30)
    writer.drain()
    assert metrics.count("images_written", "test") == total
    assert len(list(tmp_path.rglob("*.jpg"))) == total
