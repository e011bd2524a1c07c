"""Durable and atomic files: a name appears only when all of its bytes are on the disk.

The bytes go to a file without a name (``O_TMPFILE``) and are flushed; only then does the file get its name,
and the folder is flushed as well. On filesystems without ``O_TMPFILE`` a temporary name that begins with a
dot is used instead. The order follows open(2) and fsync(2). A rename without fsync was measured to lose every
file since the last flush when the power fails.

An existing name is never taken: ``link`` refuses it, and on filesystems without hard links (exFAT, FAT) so
does ``renameat2``. Where that is missing as well (exFAT by FUSE), the name is looked up first, which is safe
for the store because only one process at a time writes there (edge/store/audit_log.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from edge.errors import StoreError

FILE_MODE, FOLDER_MODE = 0o600, 0o700

_FALLOC_FL_KEEP_SIZE = 1  # linux/falloc.h
_RENAME_NOREPLACE = 1  # linux/fs.h
_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
_NO_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_RENAME2 = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and flush them. Raises StoreError."""
    try:
        if folder.is_dir():
            return
        missing = [folder]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, FOLDER_MODE)
            flush_folder(path.parent)
    except OSError as error:
        raise StoreError(f"folder {folder}: {error.strerror or error}") from error


def write_bytes(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file durably. Raises StoreError, also when the name exists and ``replace`` is false."""
    with new_file(path, replace=replace) as file:
        file.write(data)


def write_group(files: Sequence[tuple[Path, bytes]]) -> list[StoreError | None]:
    """Write new files as durably and atomically as ``write_bytes``, but flush each folder only once.

    Returns for each file None, or the error for which it was not written; in that case nothing is left under
    its name. Existing names are refused.
    """
    results: list[StoreError | None] = []
    named: dict[Path, list[int]] = {}
    for index, (path, data) in enumerate(files):
        try:
            with _file_without_flushed_name(path, replace=False) as file:
                file.write(data)
        except StoreError as error:
            results.append(error)
        else:
            results.append(None)
            named.setdefault(path.parent, []).append(index)
    for folder, members in named.items():
        try:
            flush_folder(folder)
        except OSError as error:
            # It is unknown which of these names would survive a power failure.
            for index in members:
                path = files[index][0]
                with contextlib.suppress(OSError):
                    path.unlink()
                results[index] = StoreError(f"{path}: {error.strerror or error}")
    return results


@contextlib.contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write to and seek in; it gets its name when the block ends without an error.

    Raises StoreError. After an error nothing is left under the name, unless ``replace`` is set and the
    existing file had already been replaced.
    """
    with _file_without_flushed_name(path, replace=replace) as file:
        yield file
    try:
        flush_folder(path.parent)
    except OSError as error:
        if not replace:
            with contextlib.suppress(OSError):
                path.unlink()
        raise StoreError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _file_without_flushed_name(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Like ``new_file``, but without flushing the folder: a power failure may still undo the name."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    temporary: str | None = None
    named = False
    try:
        handle, temporary = _open(folder)
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if temporary is None:
                temporary = path.name if not replace else _temporary_name()
                # dst_dir_fd makes Python follow the link in /proc; without it linking fails with EXDEV
                os.link(f"/proc/self/fd/{handle}", temporary, dst_dir_fd=folder, follow_symlinks=True)
                named = not replace
            if replace:
                os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            elif temporary != path.name:
                _rename_to_new(temporary, path.name, folder)
                named = True
        _remove_temporary(temporary, path.name, folder)
        temporary = None
    except OSError as error:
        if named:  # closing the file or removing the temporary name failed
            with contextlib.suppress(OSError):
                os.unlink(path.name, dir_fd=folder)
        raise StoreError(f"{path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            _remove_temporary(temporary, path.name, folder)
        os.close(folder)


def _rename_to_new(temporary: str, final: str, folder: int) -> None:
    """Give a file its final name unless that exists; the temporary one may stay. Raises OSError."""
    try:
        os.link(temporary, final, src_dir_fd=folder, dst_dir_fd=folder)
        return
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        names = os.fsencode(temporary), os.fsencode(final)
        if renameat2(folder, names[0], folder, names[1], _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in _NO_RENAME2:
            raise OSError(code, os.strerror(code))
    if _exists(final, folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(temporary, final, src_dir_fd=folder, dst_dir_fd=folder)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove_temporary(temporary: str | None, final: str, folder: int) -> None:
    if temporary is not None and temporary != final:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)


def _open(folder: int) -> tuple[int, str | None]:
    """Open a file without a name, or with a temporary name, which is then returned too."""
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


def try_folder(folder: Path) -> None:
    """Write a little into a folder, flush it, and leave nothing. Raises StoreError."""
    try:
        where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            handle, temporary = _open(where)
            try:
                os.write(handle, bytes(4096))
                os.fsync(handle)
            finally:
                os.close(handle)
                _remove_temporary(temporary, "", where)
        finally:
            os.close(where)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error


def reserve(handle: int, size: int) -> None:
    """Reserve ``size`` bytes for a file without changing its length, so that it can grow on a full disk.

    Does nothing on filesystems that do not support this. Raises OSError when there is no room.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
    if fallocate is None:
        return
    length = ctypes.c_int64(size)
    if fallocate(handle, _FALLOC_FL_KEEP_SIZE, ctypes.c_int64(0), length) != 0:
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code))


def is_temporary(name: str) -> bool:
    """Whether this is a temporary name given by this module."""
    return re.fullmatch(r"\.[0-9a-f]{16}\.part", name) is not None


def flush_new_folder(folder: Path, root: Path) -> None:
    """Make the names of ``folder`` and of its parent, which lies in ``root``, durable. Raises StoreError."""
    try:
        flush_folder(folder.parent)
        flush_folder(root)
    except OSError as error:
        raise StoreError(f"folder {folder}: {error.strerror or error}") from error


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
