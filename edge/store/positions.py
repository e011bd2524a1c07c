"""How far files and folders have been read: ``FOLDER/_audit/position-CAMERA.txt``, lines of text.

The position lies beside the images, on the same disk, and is written after them: a crash, or an older copy of
the store, repeats pictures and never leaves one out. Whoever removes the file lets its camera start over.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from edge.errors import StoreError
from edge.store import log_format
from edge.store.durable import FILE_MODE, write_bytes

_NAME = re.compile(r"position-[a-z0-9_-]{1,32}\.txt")


def is_position(name: str) -> bool:
    """Whether a file of this name in the folder of the log is a position.

    >>> is_position("position-front.txt"), is_position("position-.txt"), is_position("notes.txt")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def path_of(store: Path, camera: str) -> Path:
    """Where the position of a camera is kept."""
    return store / log_format.FOLDER / f"position-{camera}.txt"


def read(store: Path, camera: str) -> list[str]:
    """The lines of a position; none without one. Raises StoreError."""
    path = path_of(store, camera)
    try:
        text = path.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    return text.split("\n")[:-1]  # a last line without an end was cut short


def keep(store: Path, camera: str, lines: Sequence[str], *, whole: bool) -> bool:
    """Add lines durably, or write them in the place of all others. Raises StoreError.

    Returns False, with nothing done, when there is no file to add to.
    """
    path = path_of(store, camera)
    data = "".join(f"{line}\n" for line in lines).encode("ascii")
    if whole:
        write_bytes(path, data, replace=True)
        return True
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    try:
        size = os.fstat(handle).st_size
        try:
            if os.write(handle, data) != len(data):
                raise StoreError(f"{path}: could not be written whole")
            os.fdatasync(handle)
        except (OSError, StoreError):
            with contextlib.suppress(OSError):
                os.ftruncate(handle, size)
            raise
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    finally:
        os.close(handle)
    return True
