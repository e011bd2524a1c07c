"""A name appears only when all of its bytes are on the disk, whatever fails on the way."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import blur
from edge.boxes import NO_BOXES
from edge.config import BlurConfig, StoreConfig
from edge.errors import StoreError
from edge.frames import AnonymizedFrame, RawFrame
from edge.store.durable import make_folder, new_file, write_bytes
from edge.store.encode import encode
from edge.store.images import Entry, ImageStore

Make = Callable[..., RawFrame]


@pytest.fixture
def safe(raw: Make) -> AnonymizedFrame:
    pixels = np.zeros((120, 160, 3), np.uint8)
    cv2.circle(pixels, (80, 60), 40, (30, 160, 220), -1)
    return blur.anonymize(raw(pixels), NO_BOXES, BlurConfig())


@pytest.fixture(params=["without a name", "with a temporary name"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with O_TMPFILE, and again as on a filesystem that lacks it."""
    if request.param == "with a temporary name":
        real = os.open

        def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return real(path, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)


@pytest.mark.usefixtures("_both_ways")
def test_a_file_is_written_private_and_whole(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"first")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="File exists"):
        write_bytes(tmp_path / "a", b"second")
    write_bytes(tmp_path / "a", b"third", replace=True)
    assert (tmp_path / "a").read_bytes() == b"third"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("replace", [False, True])
def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path, replace: bool) -> None:
    def fail_halfway() -> None:
        with new_file(tmp_path / "a", replace=replace) as file:
            file.write(b"half")
            file.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(
    ("call", "replace"), [("fsync", True), ("fsync", False), ("link", False), ("replace", True)]
)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, replace: bool, code: int
) -> None:
    write_bytes(tmp_path / "kept", b"old")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StoreError, match=os.strerror(code)):
        write_bytes(tmp_path / ("kept" if replace else "fresh"), b"new", replace=replace)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"kept": b"old"}


@pytest.mark.usefixtures("_both_ways")
def test_bytes_are_flushed_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def record(name: str) -> None:
        real = getattr(os, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            kind = "folder" if name == "fsync" and os.path.isdir(f"/proc/self/fd/{args[0]}") else "file"
            steps.append(f"{name} {kind}" if name == "fsync" else name)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, wrapped)

    for name in ("fsync", "link", "replace"):
        record(name)
    write_bytes(tmp_path / "a", b"x")
    assert steps == ["fsync file", "link", "fsync folder"]
    steps.clear()
    write_bytes(tmp_path / "a", b"y", replace=True)
    assert steps[0] == "fsync file"
    assert steps[-2:] == ["replace", "fsync folder"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        make_folder(tmp_path / "file" / "below")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_link_under_the_name_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a").symlink_to(victim)
    with pytest.raises(StoreError):
        write_bytes(tmp_path / "a", b"x")
    write_bytes(tmp_path / "a", b"x", replace=True)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()


def test_names_come_from_time_and_record_number_alone(tmp_path: Path, safe: AnonymizedFrame) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path))
    first, second = store.write([Entry(safe), Entry(safe)])
    assert isinstance(first, Path)
    assert isinstance(second, Path)
    assert first.relative_to(tmp_path).as_posix() == "test/2023-11-14/20231114T221320.000Z-000002.jpg"
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z-000003\.jpg", second.name)
    assert sorted(tmp_path.rglob("*.jpg")) == [first, second]


@pytest.mark.parametrize(("kind", "lossless"), [("jpeg", False), ("png", True), ("webp", False)])
def test_formats_come_back(tmp_path: Path, safe: AnonymizedFrame, kind: Any, lossless: bool) -> None:
    (path,) = ImageStore(StoreConfig(folder=tmp_path, format=kind)).write([Entry(safe)])
    back = cv2.imread(str(path))
    assert back is not None
    difference = np.abs(back.astype(int) - safe.pixels).mean()
    assert difference == 0 if lossless else difference < 3


def test_an_unknown_format_is_refused(safe: AnonymizedFrame) -> None:
    with pytest.raises(StoreError, match="unknown image format 'gif'"):
        encode(safe, "gif", 90)
