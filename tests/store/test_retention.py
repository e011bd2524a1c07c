"""Which images are removed, in which order, after being recorded; and when the disk counts as full."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge import blur
from edge.boxes import NO_BOXES
from edge.config import BlurConfig, StoreConfig
from edge.errors import StoreError
from edge.frames import RawFrame
from edge.store import retention
from edge.store.images import Entry, ImageStore
from edge.store.retention import MEGABYTE, Retention, free_bytes
from edge.store.usage import Usage
from tests.store.records import records_of

Make = Callable[..., RawFrame]
SIZE = 100_000


class Disk:
    """A store with images of 100 kB, and a probe for free space that says what the test wants."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, free: int = 10**10) -> None:
        self.folder = folder
        self.free = free
        self.grows = True  # whether removing images makes room
        self.purged: list[tuple[str, str]] = []
        self.usage = Usage(folder)
        monkeypatch.setattr(retention, "_HEADROOM_BYTES", 0)
        monkeypatch.setattr(retention, "free_bytes", self.probe)

    def probe(self, folder: Path) -> int:
        gone = sum(not (self.folder / name).exists() for name, _ in self.purged)
        return self.free + (gone * SIZE if self.grows else 0)

    def image(self, camera: str, day: str, second: int) -> Path:
        path = self.folder / camera / day / f"{day.replace('-', '')}T0000{second:02d}.000Z-000001.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * SIZE)
        return path

    def record(self, images: list[str], why: str) -> None:
        assert all((self.folder / image).exists() for image in images)  # recorded before it is done
        self.purged += [(image, why) for image in images]

    def retention(self, **limits: float) -> Retention:
        self.usage = Usage(self.folder)
        self.usage.start()
        self.usage._thread.join()
        config = StoreConfig.model_validate({"folder": self.folder, **limits})
        return Retention(config, self.usage, self.record, lambda: datetime.now(timezone.utc))

    @property
    def left(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.jpg"))


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def fill(disk: Disk) -> list[Path]:
    """Six images of two cameras over three days, oldest first."""
    return [
        disk.image("front", "2026-01-01", 1),
        disk.image("back", "2026-01-01", 2),
        disk.image("front", "2026-01-01", 3),
        disk.image("back", "2026-01-02", 1),
        disk.image("front", "2026-01-02", 1),
        disk.image("front", "2026-01-03", 1),
    ]


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_with_room_nothing_goes(disk: Disk) -> None:
    fill(disk)
    disk.retention().make_room(SIZE)
    assert disk.purged == []


def test_the_quota_takes_the_oldest_of_all_cameras(disk: Disk) -> None:
    paths = fill(disk)
    quota = disk.retention(quota_megabytes=(4 * SIZE) / MEGABYTE + 0.6)
    quota.make_room(0)  # 6 images, 10 fit
    assert disk.purged == []
    quota = disk.retention(quota_megabytes=1)
    disk.usage.add(7 * SIZE)  # others that were stored since
    quota.make_room(SIZE)  # 1.3 MB and 0.1 to come
    assert disk.purged == [(name, "quota") for name in names(paths[:4], disk.folder)]
    assert disk.left == sorted(names(paths[4:], disk.folder))
    assert not (disk.folder / "back" / "2026-01-01").exists()  # an empty day goes too


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_oldest_go_first_however_few_are_known_at_a_time(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(retention, "_MOST", most)
    paths = fill(disk)
    quota = disk.retention(quota_megabytes=1)
    disk.usage.add(9 * SIZE)
    quota.make_room(0)  # 1.5 MB
    assert disk.purged == [(name, "quota") for name in names(paths[:5], disk.folder)]
    disk.free = 0
    with pytest.raises(StoreError, match="full"):
        quota.make_room(SIZE)
    assert disk.left == []


def test_the_reserve_takes_the_oldest_until_there_is_room(disk: Disk) -> None:
    paths = fill(disk)
    disk.free = 2 * MEGABYTE
    disk.retention(min_free_megabytes=2).make_room(SIZE + 1)
    assert disk.purged == [(name, "min_free") for name in names(paths[:2], disk.folder)]


def test_without_images_to_remove_the_store_is_full(disk: Disk) -> None:
    disk.free = MEGABYTE
    room = disk.retention(min_free_megabytes=2)
    with pytest.raises(StoreError, match=r"full: 1 MB free, store\.min_free_megabytes is 2"):
        room.make_room(1)
    disk.free = 3 * MEGABYTE
    room.make_room(1)  # goes on by itself


def test_a_probe_that_does_not_see_removals_removes_no_more(disk: Disk) -> None:
    """As where snapshots keep what is removed: the store must not be emptied for nothing."""
    fill(disk)
    disk.free, disk.grows = 2 * MEGABYTE, False
    room = disk.retention(min_free_megabytes=2)
    for _ in range(3):
        with pytest.raises(StoreError, match="did not free any space"):
            room.make_room(SIZE)
    assert len(disk.purged) == 1
    disk.grows = True  # now it is seen
    room.make_room(SIZE)
    assert len(disk.purged) == 1
    room.make_room(2 * SIZE)
    assert len(disk.purged) == 2


def test_age_takes_what_is_older(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime.now(timezone.utc)
    old = [disk.image("front", f"{today - timedelta(days=days):%Y-%m-%d}", 0) for days in (400, 31, 30)]
    fresh = disk.image("front", f"{today - timedelta(days=28):%Y-%m-%d}", 0)
    room = disk.retention(max_age_days=29)
    room.make_room(0)
    assert disk.purged == [(name, "age") for name in names(old, disk.folder)]
    assert disk.left == names([fresh], disk.folder)


def test_anything_but_images_of_cameras_stays(disk: Disk) -> None:
    (disk.folder / "_audit").mkdir()
    (disk.folder / "_audit" / "000000000001.jsonl").write_text("{}")
    keep = disk.folder / "front" / "2020-01-01"
    keep.mkdir(parents=True)
    (keep / "notes.txt").write_text("mine")
    (keep / "link.jpg").symlink_to(keep / "notes.txt")
    disk.free = MEGABYTE
    with pytest.raises(StoreError, match="full"):
        disk.retention(min_free_megabytes=2).make_room(1)
    assert (keep / "notes.txt").exists()
    assert (keep / "link.jpg").is_symlink()
    assert disk.purged == []


def test_an_image_that_cannot_be_removed_is_named(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(disk)
    disk.free = MEGABYTE

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=r"cannot be removed: Operation not permitted"):
        disk.retention(min_free_megabytes=2).make_room(1)


@pytest.mark.parametrize(
    "answer",
    [
        {"f_blocks": 0},
        {"f_bavail": 11},
        {"f_bavail": -1},
        {"f_frsize": 0},
        {"f_files": 10, "f_favail": 0},
    ],
)
def test_a_probe_that_lies_counts_as_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, int]
) -> None:
    sound = {"f_blocks": 10, "f_bavail": 5, "f_frsize": 4096, "f_files": 0, "f_favail": 0}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**sound))
    assert free_bytes(tmp_path) == 5 * 4096
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**(sound | answer)))
    with pytest.raises(StoreError, match="full"):
        free_bytes(tmp_path)


def test_a_probe_that_fails_counts_as_full_and_removes_nothing(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path))
    entry = Entry(blur.cover_whole(raw()))
    assert isinstance(store.write([entry])[0], Path)

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", fail)
        with pytest.raises(StoreError, match="free space is unknown, which counts as full"):
            store.write([entry])
    assert isinstance(store.write([entry])[0], Path)
    assert [record["event"] for record in records_of(tmp_path)] == ["start", "image", "image"]


def test_a_real_store_keeps_its_quota_and_records_it(tmp_path: Path, raw: Make) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path, format="png", quota_megabytes=1))
    store.usage.start()
    store.usage._thread.join()
    for number in range(12):
        (result,) = store.write([Entry(blur.anonymize(raw(number=number), NO_BOXES, BlurConfig()))])
        assert isinstance(result, Path)
        assert (store.usage.bytes or 0) <= MEGABYTE
    records = records_of(tmp_path)
    purged = [image for record in records if record["event"] == "purged" for image in record["images"]]
    written = [record["image"] for record in records if record["event"] == "image"]
    assert purged
    assert purged == written[: len(purged)]
    assert sorted(purged + [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")]) == sorted(
        written
    )
