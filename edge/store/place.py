"""Where the store lies: on which filesystem, and whether that is mounted.

A disk that is not mounted, or was pulled out, leaves an empty folder behind. What is written there fills
another disk, and is hidden as soon as the right one is mounted again.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from edge.config import StoreConfig
from edge.errors import StoreError
from edge.store.durable import flush_new_folder, make_folder


class Place:
    """Where the store of this process is; ``known`` is the filesystem on which it began."""

    def __init__(self, config: StoreConfig) -> None:
        self._config = config
        self.known: int | None = None

    def check(self, *, continues: bool) -> int:
        """The filesystem on which the folder lies now. Raises StoreError when ``store.mount_point`` is not
        mounted, and when this is not the known one, unless the log there ``continues`` that of before."""
        check_mounted(self._config)
        here = filesystem_of(self._config.folder)
        if self.known not in (None, here) and not continues:
            raise StoreError(
                f"{self._config.folder}: the store is another file system than before: was its disk "
                "unmounted? Mount it again, or restart edge to store there"
            )
        return here


class DayFolders:
    """The folders of days, each flushed once per process: the process that made one may have failed, or been
    killed, before its name was durable."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._durable: set[Path] = set()

    def make(self, folder: Path) -> None:
        """Make the folder of a camera's day. Raises StoreError."""
        if folder in self._durable and folder.is_dir():
            return
        make_folder(folder)
        flush_new_folder(folder, self._store)
        self._durable.add(folder)

    def forget(self) -> None:
        """The store was replaced: its folders are others now."""
        self._durable.clear()


def check_mounted(config: StoreConfig) -> None:
    """Raise StoreError unless the store lies below ``store.mount_point`` and something is mounted there."""
    if config.mount_point is None:
        return
    point, folder = Path(os.path.realpath(config.mount_point)), Path(os.path.realpath(config.folder))
    if not folder.is_relative_to(point):
        raise StoreError(f"{folder}: not below store.mount_point, {point}; correct one of the two")
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError as error:
        raise StoreError(f"/proc/self/mountinfo: {error.strerror}; is {point} mounted?") from error
    if os.fsencode(point) not in {_unescaped(line.split()[4]) for line in lines}:
        raise StoreError(f"{point}: nothing is mounted at store.mount_point; mount the store's disk there")


def take_away(paths: Iterable[Path]) -> list[StoreError | None]:
    """Remove images that are not where their records are, because the disk went while they were written;
    return an error for each."""
    errors: list[StoreError | None] = []
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
        errors.append(StoreError(f"{path}: the store was moved or unmounted while it was written"))
    return errors


def filesystem_of(folder: Path) -> int:
    """The number of the device of a folder, or of the nearest folder above it that exists. A disk may get
    another number when it comes back; then its log tells. Raises StoreError."""
    while True:
        try:
            return os.stat(folder).st_dev
        except (FileNotFoundError, NotADirectoryError):
            if folder == folder.parent:
                raise
            folder = folder.parent
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror or error}") from error


def _unescaped(name: bytes) -> bytes:
    r"""A path as /proc writes it: space, tab, newline and backslash are octal numbers.

    >>> _unescaped(rb"/mnt/my\040disk")
    b'/mnt/my disk'
    """
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), name)
