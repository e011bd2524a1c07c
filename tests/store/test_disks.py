"""The store on real filesystems: exFAT, mount points, disks that go and come back, quotas."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge import blur
from edge.audit.run import Options, audit_store
from edge.commands.doctor_store import check_store
from edge.config import AuditConfig, StoreConfig
from edge.errors import StoreError
from edge.frames import RawFrame
from edge.store.durable import write_bytes, write_group
from edge.store.images import Entry, ImageStore
from edge.store.place import check_mounted
from tests.disks import BTRFS, EXFAT, EXT4, FEW_INODES, Disk, Kind, bound, call, disk, why_not
from tests.store.records import records_of

Make = Callable[..., RawFrame]
SMALL_LOG = AuditConfig(rotate_megabytes=1)


def needs(kind: Kind) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(why_not(kind)), reason=why_not(kind) or "-")


def store_at(folder: Path, **keys: object) -> ImageStore:
    made = StoreConfig.model_validate({"folder": folder, "min_free_megabytes": 1, **keys})
    return ImageStore(made, SMALL_LOG)


def write(store: ImageStore, raw: Make, count: int = 3) -> list[Path | StoreError]:
    return store.write([Entry(blur.cover_whole(raw(number=number))) for number in range(count)])


def paths(results: list[Path | StoreError]) -> list[Path]:
    found = [result for result in results if isinstance(result, Path)]
    assert len(found) == len(results), results
    return found


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "usb", EXT4) as made:
        yield made


@needs(EXFAT)
def test_exfat_takes_images_though_it_has_no_hard_links(tmp_path: Path, raw: Make) -> None:
    with disk(tmp_path / "usb", EXFAT) as made:
        with pytest.raises(OSError, match="not permitted"):
            os.link(_touched(made.folder / "a"), made.folder / "b")
        store = store_at(made.folder / "images")
        stored = paths(write(store, raw))
        assert sorted((made.folder / "images").rglob("*.jpg")) == stored
        assert [record["event"] for record in records_of(store.folder)] == ["start", *["image"] * 3]
        with pytest.raises(StoreError, match="File exists"):
            write_bytes(stored[0], b"another")
        assert sorted(os.listdir(made.folder)) == ["a", "images"]
        assert stored[0].read_bytes()[:2] == b"\xff\xd8"
        first, *_ = check_store(StoreConfig(folder=store.folder))
        assert (first.level, "fuseblk" in first.found, "umask" in first.way_out) == ("warn", True, True)
        store.close()


def _touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_name_is_never_taken_where_links_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on FAT, whose driver is not in every kernel; here renameat2 refuses the name."""
    real = os.open

    def refuse(path: object, flags: int, *args: object, **kwargs: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *args, **kwargs)  # type: ignore[arg-type]

    def no_links(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "link", no_links)
    write_bytes(tmp_path / "a", b"first")
    with pytest.raises(StoreError, match="File exists"):
        write_bytes(tmp_path / "a", b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first"}


@needs(EXT4)
def test_a_disk_that_goes_stops_the_store_until_it_is_back(ext4: Disk, raw: Make) -> None:
    """Nothing is written below the mount point, and the log goes on where it was."""
    store = store_at(ext4.folder / "images")
    before = paths(write(store, raw))
    ext4.unmount(lazily=True)
    for _ in range(2):
        with pytest.raises(StoreError, match="another file system than before"):
            write(store, raw)
    for call_it in (store.keep, lambda: store.record("counts", {}), lambda: store.purge(before)):
        with pytest.raises(StoreError, match="another file system than before"):
            call_it()
    assert os.listdir(ext4.folder) == []
    ext4.change_device()
    ext4.mount()
    after = paths(write(store, raw))
    assert sorted(store.folder.rglob("*.jpg")) == sorted([*before, *after])
    events = [record["event"] for record in records_of(store.folder)]
    assert events == ["start", *["image"] * 6]
    store.close()


@needs(EXT4)
def test_a_stored_image_that_somebody_takes_never_counts_as_not_stored(ext4: Disk, raw: Make) -> None:
    """As a program does that fetches images; the audit is to say that they are missing."""
    store = store_at(ext4.folder / "images")
    taken = paths(write(store, raw))[0]
    taken.unlink()
    ext4.unmount(lazily=True)
    with pytest.raises(StoreError, match="another file system than before"):
        write(store, raw)
    ext4.mount()
    paths(write(store, raw))
    store.record("stop", {})
    store.close()
    assert [record["event"] for record in records_of(store.folder)] == ["start", *["image"] * 6, "stop"]
    found = audit_store(store.folder, Options(sample=0), lambda done, total: None)
    (missing,) = [check for check in found.checks if not check]
    assert (missing.name, missing.wrong.count) == ("missing", 1)


@needs(EXT4)
def test_a_disk_that_goes_while_images_are_written_leaves_none_behind(
    ext4: Disk, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(ext4.folder / "images")
    paths(write(store, raw, 1))

    def write_after_unmount(files: list[tuple[Path, bytes]]) -> list[StoreError | None]:
        ext4.unmount(lazily=True)
        for path, _ in files:
            path.parent.mkdir(parents=True, exist_ok=True)
        return write_group(files)

    monkeypatch.setattr("edge.store.images.write_group", write_after_unmount)
    results = write(store, raw)
    assert all("moved or unmounted" in str(result) for result in results), results
    assert [path for path in ext4.folder.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    call("rm", "-r", ext4.folder / "images")
    ext4.mount()
    paths(write(store, raw, 1))
    assert [record["event"] for record in records_of(store.folder)][-2:] == ["not_stored", "image"]
    store.close()


@needs(EXT4)
def test_another_disk_at_the_same_place_is_refused(tmp_path: Path, ext4: Disk, raw: Make) -> None:
    store = store_at(ext4.folder / "images")
    paths(write(store, raw))
    ext4.unmount(lazily=True)
    with disk(tmp_path / "other", EXT4) as other, bound(other.folder, ext4.folder):
        with pytest.raises(StoreError, match="another file system than before"):
            write(store, raw)
        assert os.listdir(other.folder) == ["lost+found"]
    store.close()


@needs(EXT4)
def test_a_mount_point_must_be_mounted(ext4: Disk, raw: Make) -> None:
    folder = ext4.folder / "images"
    config = StoreConfig(folder=folder, mount_point=ext4.folder, min_free_megabytes=1)
    check_mounted(config)
    store = ImageStore(config, SMALL_LOG)
    paths(write(store, raw))
    store.close()
    ext4.unmount()
    with pytest.raises(StoreError, match=r"nothing is mounted at store\.mount_point"):
        ImageStore(config, SMALL_LOG).open()
    (check,) = check_store(config)
    assert check.level == "fail"
    assert os.listdir(ext4.folder) == []
    elsewhere = StoreConfig(folder=ext4.folder.parent / "images", mount_point=ext4.folder)
    with pytest.raises(StoreError, match=r"not below store\.mount_point"):
        check_mounted(elsewhere)


@needs(EXT4)
def test_a_bind_mount_is_a_mount_and_a_store(tmp_path: Path, ext4: Disk, raw: Make) -> None:
    """Of a folder of the very same filesystem, as containers have it; the camera's folder is another one."""
    inside, place = tmp_path / "inside", tmp_path / "my disk"
    inside.mkdir()
    (ext4.folder / "front").mkdir()
    with bound(inside, place), bound(ext4.folder / "front", _made(inside / "test")):
        store = store_at(place, mount_point=place)
        with bound(ext4.folder / "front", _made(place / "test")):
            stored = paths(write(store, raw))
            assert len(list((ext4.folder / "front").rglob("*.jpg"))) == len(stored) == 3
        store.close()


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@needs(EXT4)
def test_a_read_only_store_says_so_and_works_again(tmp_path: Path, ext4: Disk, raw: Make) -> None:
    store = store_at(ext4.folder)
    with bound(ext4.folder, tmp_path / "place", "ro"):
        refused = store_at(tmp_path / "place" / "images")
        with pytest.raises(StoreError, match="Read-only file system"):
            write(refused, raw)
        call("mount", "-o", "remount,bind,rw", tmp_path / "place")
        paths(write(refused, raw))
        refused.close()
    store.close()


def fill(store: ImageStore, raw: Make) -> tuple[list[Path], str]:
    """Store images until it fails twice in a row: those stored, and the last error."""
    stored: list[Path] = []
    while True:
        errors = []
        for _ in range(2):
            try:
                results = write(store, raw, 8)
            except StoreError as error:
                errors.append(str(error))
                continue
            stored += [result for result in results if isinstance(result, Path)]
            errors += [str(result) for result in results[-1:] if isinstance(result, StoreError)]
        assert sorted(store.folder.rglob("*.png")) == sorted(stored)  # no half image, none without a record
        if len(errors) == 2:
            return stored, errors[-1]


@pytest.mark.sweep
@needs(BTRFS)
def test_a_quota_of_the_filesystem_is_named_and_ends(tmp_path: Path, raw: Make) -> None:
    with disk(tmp_path / "usb", BTRFS) as made:
        call("btrfs", "quota", "enable", made.folder)
        call("btrfs", "qgroup", "limit", "3M", made.folder)
        store = store_at(made.folder / "images", format="png")
        stored, error = fill(store, raw)
        assert "quota exceeded" in error
        call("btrfs", "qgroup", "limit", "16M", made.folder)
        stored += paths(write(store, raw, 8))
        assert sorted(store.folder.rglob("*.png")) == sorted(stored)
        records_of(store.folder)
        store.close()


@needs(FEW_INODES)
def test_a_disk_without_inodes_is_named_and_ends(tmp_path: Path, raw: Make) -> None:
    with disk(tmp_path / "usb", FEW_INODES) as made:
        store = store_at(made.folder / "images", format="png")
        stored, error = fill(store, raw)
        assert "no inodes are left" in error
        for path in stored[:9]:
            path.unlink()
        stored = stored[9:] + paths(write(store, raw, 8))
        assert sorted(store.folder.rglob("*.png")) == sorted(stored)
        records_of(store.folder)
        store.close()
