"""Access to a store that is not trusted: follow no links, wait for no pipes, open nothing outside it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edge.audit.findings import Findings
from edge.errors import StoreError
from edge.store import log_format
from edge.store.clock_evidence import NOTE
from edge.store.durable import is_temporary
from edge.store.positions import is_position

_DEEPEST = 8
"""The store itself makes three levels of folders. Deeper ones than this are reported and not entered."""
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextlib.contextmanager
def opened_folder(folder: Path) -> Iterator[int]:
    """Open the store's folder and give its file descriptor. Raises StoreError."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            f"{folder}: {error.strerror or error}; give the folder set as store.folder"
        ) from error
    try:
        yield handle
    finally:
        os.close(handle)


def is_below(path: str) -> bool:
    """Whether a path in a record stays within the store.

    >>> is_below("front/2026-01-02/a.jpg"), is_below("../a.jpg"), is_below("/a.jpg"), is_below("a//b")
    (True, False, False, False)
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def open_below(store: int, path: str) -> int:
    """Open a regular file for reading. No part of its path may be a link. Raises OSError."""
    with _parent(store, path) as (folder, name):
        _refuse_special(os.stat(name, dir_fd=folder, follow_symlinks=False))
        handle = os.open(name, os.O_RDONLY | _OPEN, dir_fd=folder)
    try:
        _refuse_special(os.fstat(handle))  # it may have been replaced in the meantime
    except OSError:
        os.close(handle)
        raise
    return handle


def exists(store: int, path: str) -> bool:
    """Whether anything has this name, even a broken link."""
    try:
        with _parent(store, path) as (folder, name):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:  # if in doubt, do not report it as gone
        return True
    return True


def log_names(store: int) -> list[str]:
    """Names of the log files, oldest first. Raises OSError if the folder of the log is missing."""
    handle = os.open(log_format.FOLDER, _FOLDER, dir_fd=store)
    try:
        names = [name for name in os.listdir(handle) if is_log_name(name)]
    finally:
        os.close(handle)
    return sorted(names, key=log_format.first_number)


def is_log_name(name: str) -> bool:
    """Whether a file of this name in the folder of the log is a log file.

    >>> is_log_name("000000000001.jsonl"), is_log_name("1.jsonl"), is_log_name("notes.jsonl")
    (True, False, False)
    """
    digits = name.removesuffix(".jsonl")
    if digits == name or not (digits.isascii() and digits.isdecimal()):
        return False
    return name == log_format.file_name(int(digits)) and int(digits) > 0


def list_files(store: int, findings: Findings) -> set[str]:
    """Paths of all regular files except log files. Anything else but folders is reported as wrong."""
    files: set[str] = set()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            handle = _open_folder(store, folder)
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, handle)
                for entry in stack.enter_context(os.scandir(handle)):
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    _sort_in(entry, path, files, folders, findings)
        except FileNotFoundError:  # the last image of a day was removed in the meantime
            continue
        except OSError as error:
            findings.wrong("extra", folder or ".", f"cannot be read: {error.strerror or error}")
    return files


def _sort_in(
    entry: os.DirEntry[str], path: str, files: set[str], folders: list[str], findings: Findings
) -> None:
    findings.checked("extra")
    if entry.is_dir(follow_symlinks=False):
        if path.count("/") < _DEEPEST:
            folders.append(path)
        else:
            findings.wrong("extra", path, "is a folder where the store makes none; it was not searched")
    elif not entry.is_file(follow_symlinks=False):
        with contextlib.suppress(FileNotFoundError):
            kind = stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
            findings.wrong(
                "extra", path, f"is {_KINDS.get(kind, 'a special file')}; only regular files belong here"
            )
    elif is_temporary(entry.name):
        findings.note("extra", path, "is being written, or was when the power failed")
    elif path == f"{log_format.FOLDER}/{NOTE}":
        findings.note("extra", path, "says that a person has confirmed the clock; the box has yet to read it")
    else:
        own = path.startswith(f"{log_format.FOLDER}/") and path.count("/") == 1
        if not (own and (is_log_name(entry.name) or is_position(entry.name))):
            files.add(path)


def _open_folder(store: int, path: str) -> int:
    if not path:
        return os.open(".", _FOLDER, dir_fd=store)
    with _parent(store, path) as (folder, name):
        return os.open(name, _FOLDER, dir_fd=folder)


@contextlib.contextmanager
def _parent(store: int, path: str) -> Iterator[tuple[int, str]]:
    """The parent folder of a path, opened one level at a time, and the last part of the path."""
    *folders, name = path.split("/")
    here = os.dup(store)
    try:
        for folder in folders:
            below = os.open(folder, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
        yield here, name
    finally:
        os.close(here)


def _refuse_special(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        kind = _KINDS.get(stat.S_IFMT(state.st_mode), "a folder or special file")
        raise OSError(0, f"is {kind} instead of a regular file")
