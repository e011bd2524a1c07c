"""Durable and atomic files: a name appears only when all of its bytes are on the disk.

The bytes go to a file without a name (``O_TMPFILE``), are flushed, and only then get the name; at
last the folder is flushed. Where a filesystem has no such files, a temporary name that begins with a
dot takes its place. The order follows open(2) and fsync(2); a rename without fsync was measured to
lose every file since the last flush when the power goes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge.errors import StoreError

FILE_MODE, FOLDER_MODE = 0o600, 0o700

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, flushed. Raises StoreError."""
    try:
        if folder.is_dir():
            return
        missing = [folder]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=FOLDER_MODE)
            _flush_folder(path.parent)
    except OSError as error:
        raise StoreError(f"folder {folder}: {error.strerror or error}") from error


def write_bytes(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file durably. Without ``replace`` an existing name is refused. Raises StoreError."""
    with new_file(path, replace=replace) as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write (and seek) in, which gets its name when the block ends without an error.

    Raises StoreError. After any error nothing is left behind under the name.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    temporary: str | None = None
    try:
        handle, temporary = _open(folder)
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if temporary is None:
                temporary = path.name if not replace else _temporary_name()
                # dst_dir_fd makes Python follow the link in /proc; without it the answer is EXDEV
                os.link(f"/proc/self/fd/{handle}", temporary, dst_dir_fd=folder, follow_symlinks=True)
            if replace:
                os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            elif temporary != path.name:
                os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        _remove_temporary(temporary, path.name, folder)
        temporary = None
        os.fsync(folder)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    finally:
        _remove_temporary(temporary, path.name, folder)
        os.close(folder)


def _remove_temporary(temporary: str | None, final: str, folder: int) -> None:
    if temporary is not None and temporary != final:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)


def _open(folder: int) -> tuple[int, str | None]:
    """Open a file without a name, or with a temporary one, which is then returned too."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, FILE_MODE, dir_fd=folder), None
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
    name = _temporary_name()
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(name, flags, FILE_MODE, dir_fd=folder), name


def _temporary_name() -> str:
    return f".{secrets.token_hex(8)}.part"


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
