"""How the encoder and the disk fail: the steps of storing an image, and what may go wrong at each."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import pytest

from tests.privacy.faults_tools import Act, raising

CODES = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT]
AWAY = [errno.ESTALE, errno.EIO, errno.ENOENT, errno.ENOTCONN]
"""How a volume answers that is not there."""
DAY = re.compile(r"/\d{4}-\d\d-\d\d(/|$)")


def disk_error(code: int) -> Act:
    return raising(OSError(code, os.strerror(code)))


ENCODERS: dict[str, Act] = {
    "says that it failed": lambda *args: (False, None),
    "raises": raising(cv2.error("OpenCV: out of memory")),
    "MemoryError": raising(MemoryError()),
    "returns nothing": lambda *args: None,
}


def where(handle: int | None) -> str:
    return "" if handle is None else os.readlink(f"/proc/self/fd/{handle}")


def in_day(path: str) -> bool:
    """Whether this is where images lie, or one of them."""
    return DAY.search(path) is not None and "/_audit" not in path


def makes_file(how: int, path: Any, flags: int, mode: int = 0, *, dir_fd: int | None = None) -> bool:
    return flags & how == how and in_day(where(dir_fd))


def is_folder(handle: int) -> bool:
    return in_day(where(handle)) and os.path.isdir(f"/proc/self/fd/{handle}")


def called_by(modules: tuple[str, ...], *args: Any, **kwargs: Any) -> bool:
    """Whether one of these modules calls, itself or through ``Path``; others ask the same functions for other
    reasons."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(("tests.", "pathlib")):
        frame = frame.f_back
    return frame.f_globals["__name__"] in modules


STEPS: dict[str, tuple[str, Callable[..., bool]]] = {
    "open": ("open", partial(makes_file, os.O_TMPFILE)),
    "write": ("fdopen", lambda handle, *args, **kwargs: in_day(where(handle))),
    "flush": ("fsync", lambda handle: in_day(where(handle)) and not is_folder(handle)),
    "name": ("link", lambda source, path, **folders: in_day(where(folders.get("dst_dir_fd")))),
}
"""Steps that each image takes by itself: the function, and whether a call of it is that step."""
SHARED_STEPS: dict[str, tuple[str, Callable[..., bool]]] = {
    "make a folder": ("mkdir", lambda path, *args, **kwargs: in_day(str(path))),
    "open a folder": ("open", lambda path, flags, *args, **kwargs: in_day(str(path))),
    "flush a folder": ("fsync", is_folder),
    "record": ("write", lambda handle, data: "/_audit/" in where(handle)),
    "flush a record": ("fdatasync", lambda handle: "/_audit/" in where(handle)),
    "ask for room": ("statvfs", partial(called_by, ("edge.store.retention",))),
}
"""Steps that images take together, as they happen to wait, so that one failure may cost several."""
VOLUME_STEPS: dict[str, tuple[str, Callable[..., bool]]] = {
    "find the volume": ("stat", partial(called_by, ("edge.store.place", "edge.store.audit_log"))),
    "room for the status": ("statvfs", partial(called_by, ("edge.store.usage",))),
}
"""Questions about the store's filesystem that belong to no image."""


class Torn:
    """A file of which the disk takes the first half only."""

    def __init__(self, file: Any, error: Act) -> None:
        self._file, self._error = file, error

    def __enter__(self) -> Torn:
        return self

    def __exit__(self, *args: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._error()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def refuse_nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a filesystem that lacks O_TMPFILE."""
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)


LIES = {
    "no number": os.statvfs_result([4096, 4096, 1000, 2000, 2000, 10, 10, 10, 0, 255]),
    "negative": os.statvfs_result([4096, 4096, 1000, 10, -10, 10, 10, 10, 0, 255]),
    "no blocks": os.statvfs_result([4096, 0, 0, 0, 0, 10, 10, 10, 0, 255]),
    "no inodes": os.statvfs_result([4096, 4096, 1000, 999, 999, 10, 0, 0, 0, 255]),
}
