"""Whether the disk or network share of a file or folder has gone away, which passes, or the file itself has.

A share that is unmounted leaves an empty folder behind, or none, so a missing file alone says nothing. What
tells is the mount: the path lay on one of its own when it was last read, and now nothing is mounted there.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from edge.masking import label

PASSING = frozenset(
    {
        errno.EIO,
        errno.ENXIO,
        errno.ENODEV,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ENOMEDIUM,
        errno.EREMOTEIO,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ESHUTDOWN,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
    }
)
"""Errors of a disk or share that does not answer. They say nothing about the file."""
_BLOCK_BYTES = 1 << 20


def passes(error: OSError) -> bool:
    """Whether an error says that the volume does not answer."""
    return error.errno in PASSING


class Volume:
    """The volume of one path, for one thread at a time. Until ``note``, nothing can be away."""

    def __init__(self, path: str) -> None:
        self._path = self._real = Path(path)
        self._point: Path | None = None
        self._device = 0
        self._stuck = 0  # where in the file reading failed

    def note(self) -> None:
        """The path can be read now. Raises OSError."""
        self._real = Path(os.path.realpath(self._path))
        self._device = os.stat(self._real).st_dev
        self._point = _mount_point(self._real)

    def away(self) -> str:
        """Why the volume is not there; empty when it is."""
        if self._point is None:
            return ""
        try:
            if not _is_mount(self._point):
                return f"nothing is mounted at {label(str(self._point))} any more"
            here, device = _nearest(self._real)
        except OSError as error:
            return _text(error)
        other = here != self._real and device != self._device
        return f"{label(str(here))} is another file system than before" if other else ""

    def unreadable(self) -> str:
        """Why the file cannot be read to its end, if that is because the volume is away; empty otherwise.
        Reads all of it, so it is for a file with which something is wrong."""
        self._stuck = 0
        while True:
            why, size = self._read()
            if why or not size:
                return why or self.away()
            self._stuck += size

    def blocked(self) -> str:
        """The same, but only where reading failed before, so that it costs little to try again."""
        return self._read()[0]

    def _read(self) -> tuple[str, int]:
        """Why one more block cannot be read, and how many bytes it has."""
        why = self.away()
        if why:
            return why, 0
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(self._stuck)
                return "", len(file.read(_BLOCK_BYTES))
        except OSError as error:
            return _text(error), 0


def _text(error: OSError) -> str:
    """What an error says that passes; empty for another."""
    return os.strerror(error.errno or 0) if passes(error) else ""


def _nearest(path: Path) -> tuple[Path, int]:
    """A path, or the folder above it that exists, and the number of its device. Raises OSError."""
    while True:
        try:
            return path, os.stat(path).st_dev
        except (FileNotFoundError, NotADirectoryError):
            path = path.parent


def _mount_point(path: Path) -> Path:
    """The folder at which the volume is mounted on which a path lies. Raises OSError."""
    here = path if path.is_dir() else path.parent
    while here != here.parent and not _is_mount(here):
        here = here.parent
    return here


def _is_mount(folder: Path) -> bool:
    """Whether something is mounted at a folder; the root always counts. Unlike ``os.path.ismount``, this also
    sees folders of the same disk (bind mounts). Raises OSError, but not for a folder that is not there."""
    if folder == folder.parent:
        return True
    try:
        return _mount_number(folder) != _mount_number(folder.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _mount_number(folder: Path) -> int:
    """What tells one mount from another: the kernel's number, or that of the device where it gives none, as
    in some sandboxes. Raises OSError."""
    handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        text = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii")
        device = os.fstat(handle).st_dev
    finally:
        os.close(handle)
    found = re.search(r"^mnt_id:\s*(\d+)$", text, re.MULTILINE)
    return device if found is None else int(found[1])
