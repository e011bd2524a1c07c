"""The disk or share of a file or folder goes away while it is read: it is waited for, and nothing of it is
lost. A file that is deleted is not waited for."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.config import CameraConfig
from edge.daemon.pipeline import Pipeline
from edge.errors import PictureError
from edge.pictures import read_picture
from edge.sources import folder as folder_source
from edge.sources.volume import Volume
from tests.daemon.blind import Eyes, audit, numbers
from tests.daemon.files import ALL, FRAMES, LOSSLESS, lost, only_retried, reading, source_of, tick_until
from tests.daemon.playing import Truthful, check_accounts, picture
from tests.disks import EXT4, Disk, bound, disk, why_not

needs_disk = pytest.mark.skipif(bool(why_not(EXT4)), reason=why_not(EXT4) or "-")
LATE = 7_000_000


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.backoff.FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr("edge.sources.backoff.LONGEST_BACKOFF_SECONDS", 0.05)
    monkeypatch.setattr("edge.sources.ledger.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("edge.sources.ledger.POLL_SECONDS", 0.01)


@pytest.fixture
def usb(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "usb", EXT4) as made:
        yield made


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Disk]:
    """One on which files lie in one piece."""
    with disk(tmp_path / "large", replace(EXT4, megabytes=64)) as made:
        yield made


def error_of(pipeline: Pipeline) -> str:
    return pipeline.lanes["test"].capture.last_error


def is_away(pipeline: Pipeline) -> bool:
    return pipeline.lanes["test"].capture.state == "down" and "waits until that is back" in error_of(pipeline)


class Holds(Truthful):
    """At one look of its own, another frame than the last one fails, so that the file is read again."""

    def __init__(self, at: int, then: Any) -> None:
        self._at, self._then = at, then
        super().__init__()

    def find(self, pixels: Any) -> Any:
        found = super().find(pixels)
        if self.looks == self._at:
            self._then()
            raise ValueError("the detector has a bad moment")
        return found


@needs_disk
@pytest.mark.parametrize("kind", ["folder", "video"])
def test_a_disk_that_is_unmounted_and_mounted_again_costs_no_frame(
    tmp_path: Path, usb: Disk, eyes: Eyes, kind: str
) -> None:
    camera = source_of(usb.folder, kind)
    detector = Holds(7, lambda: usb.unmount(lazily=True))
    pipeline, metrics = reading(camera, tmp_path / "store", detector)
    pipeline.start()
    tick_until(pipeline, lambda: is_away(pipeline))
    assert f"nothing is mounted at {usb.folder} any more" in error_of(pipeline)
    for _ in range(30):
        assert pipeline.tick(0.01)  # the process goes on
    usb.change_device()
    usb.mount()
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= FRAMES)
    pipeline.stop()
    check_accounts(metrics)
    assert sorted(numbers(tmp_path / "store")) == ALL
    assert only_retried(metrics)
    assert lost(pipeline) == {}
    assert audit(tmp_path / "store")


def write_long_clip(path: Path) -> None:
    """A video of ``picture(0)`` and those that follow, with noise beside them, so that it is longer than what
    FFmpeg reads before the first frame."""
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, LOSSLESS, 25, (480, 360))
    for number in ALL:
        frame = noise.integers(100, 150, (360, 480, 3), np.uint8)
        frame[:120, :160] = picture(number)
        writer.write(frame)
    writer.release()


@needs_disk
def test_a_disk_that_does_not_answer_while_a_video_is_read(
    tmp_path: Path, large: Disk, eyes: Eyes, caplog: pytest.LogCaptureFixture
) -> None:
    """The file behind the loop device is cut, so that reading gives EIO, and then is whole again."""
    usb = large
    clip, image, whole = usb.folder / "clip.avi", usb.folder.with_suffix(".img"), tmp_path / "whole.img"
    write_long_clip(clip)
    usb.unmount()
    shutil.copyfile(image, whole)
    usb.mount(["-o", "ro,noload"])
    first = whole.read_bytes().index(b"AVI LIST")
    camera = CameraConfig(source=str(clip), kind="video", pace=False)

    def cut() -> None:
        os.truncate(image, first + LATE)
        with clip.open("rb") as file:  # what the kernel has of it
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    pipeline, metrics = reading(camera, tmp_path / "store", Holds(4, cut))
    pipeline.start()
    tick_until(pipeline, lambda: is_away(pipeline))
    assert os.strerror(errno.EIO) in error_of(pipeline)
    for _ in range(100):
        assert pipeline.tick(0.005)
    assert caplog.text.count("waits until that is back") == 1  # trying again says nothing new
    shutil.copyfile(whole, image)
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= FRAMES)
    pipeline.stop()
    assert sorted(numbers(tmp_path / "store")) == ALL
    assert lost(pipeline) == {}
    assert audit(tmp_path / "store")


@pytest.mark.parametrize("deleted", ["file", "folder"])
def test_a_video_that_is_deleted_is_not_waited_for(tmp_path: Path, eyes: Eyes, deleted: str) -> None:
    camera = source_of(_made(tmp_path / "videos"), "video")
    clip = Path(camera.source)
    take = clip.unlink if deleted == "file" else lambda: shutil.rmtree(clip.parent)
    pipeline, _ = reading(camera, tmp_path / "store", Holds(FRAMES, take))
    pipeline.start()
    tick_until(pipeline, lambda: False)  # to its end
    pipeline.stop()
    assert pipeline.lanes["test"].capture.state == "down"
    assert error_of(pipeline).endswith("No such file or directory")
    assert 0 < len(numbers(tmp_path / "store")) < FRAMES


@needs_disk
def test_a_folder_of_the_same_disk_that_is_mounted_elsewhere_is_a_volume(tmp_path: Path, usb: Disk) -> None:
    """As in a container: the device has the same number whether it is mounted or not."""
    inside, place = _made(usb.folder / "inside"), usb.folder / "place"
    (inside / "clip.avi").write_bytes(b"...")
    volume = Volume(str(place / "clip.avi"))
    assert volume.away() == ""  # nobody knows yet
    with bound(inside, place):
        volume.note()
        assert volume.away() == volume.unreadable() == ""
        (place / "clip.avi").unlink()
        assert volume.away() == ""
    assert f"nothing is mounted at {place} any more" in volume.away()
    place.rmdir()
    assert f"nothing is mounted at {place} any more" in volume.away()


@needs_disk
def test_another_disk_at_the_same_place_is_not_the_volume(tmp_path: Path, usb: Disk) -> None:
    (usb.folder / "clip.avi").write_bytes(b"...")
    volume = Volume(str(usb.folder / "clip.avi"))
    volume.note()
    usb.unmount()
    with disk(tmp_path / "other", EXT4) as other, bound(other.folder, usb.folder):
        assert volume.away() == f"{usb.folder} is another file system than before"
    usb.mount()
    assert volume.away() == ""


def test_a_picture_that_the_disk_does_not_give_is_never_given_up(
    tmp_path: Path, eyes: Eyes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = read_picture
    tries: list[Path] = []

    def read(path: Path, **kwargs: Any) -> Any:
        if path.name == "03.png" and len(tries) < 5:
            tries.append(path)
            error = OSError(errno.EIO, os.strerror(errno.EIO))
            raise PictureError(f"cannot be read: {error.strerror}") from error
        return real(path, **kwargs)

    monkeypatch.setattr(folder_source, "read_picture", read)
    pipeline, metrics = reading(source_of(tmp_path, "folder"), tmp_path / "store", Truthful())
    pipeline.start()
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= FRAMES)
    pipeline.stop()
    assert sorted(numbers(tmp_path / "store")) == ALL
    assert caplog.text.count("picture '03.png': cannot be read: Input/output error; it is tried again") == 1


def test_a_folder_at_which_nothing_is_mounted_yet_forgets_nothing(tmp_path: Path, eyes: Eyes) -> None:
    """The box starts before the share is there, and finds the empty folder."""
    camera = source_of(tmp_path, "folder")
    inbox, share = Path(camera.source), tmp_path / "share"
    for empty in (False, True, False):
        if empty:
            inbox.rename(share)
            inbox.mkdir()
        elif share.exists():
            inbox.rmdir()
            share.rename(inbox)
        pipeline, _ = reading(camera, tmp_path / "store", Truthful())
        pipeline.start()
        tick_until(pipeline, lambda: len(numbers(tmp_path / "store")) >= FRAMES)
        for _ in range(30):
            assert pipeline.tick(0.01)
        pipeline.stop()
    assert sorted(numbers(tmp_path / "store")) == ALL


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
