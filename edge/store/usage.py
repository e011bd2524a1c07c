"""Measure how much room the stored images take: counted once in the background, then kept up to date."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edge.store.encryption import SUFFIX

log = logging.getLogger(__name__)

ENDINGS = tuple(image + maybe for image in (".jpg", ".png", ".webp") for maybe in ("", SUFFIX))
"""The endings of names of stored images, plain and encrypted."""
_PAUSE_EVERY_FILES, _PAUSE_SECONDS = 1000, 0.01
_LOWEST_PRIORITY = 19


class Usage:
    """Size and number of the images below a folder. Thread-safe.

    A store may hold millions of files, so the first count runs in a thread of low priority, and ``bytes`` and
    ``images`` are None until it has ended. Images that another program removes stay counted until the next
    start; code of this process that removes images calls ``add`` with negative numbers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._counted = False
        self._bytes = 0
        self._images = 0
        self._thread = self._counter()

    def start(self) -> None:
        """Begin to count. To be called before the first ``add``, and again if the folder was replaced."""
        with self._lock:
            self._stop.set()  # ends an earlier count
            self._stop = threading.Event()
            self._counted = False
            self._bytes = self._images = 0
        self._begin_ns = time.time_ns()
        self._begin = time.monotonic()
        self._thread = self._counter()
        self._thread.start()

    def stop(self) -> None:
        """Stop the count if it is still running."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def add(self, size: int, images: int = 1) -> None:
        """Note that an image of ``size`` bytes was stored just now."""
        with self._lock:
            self._bytes += size
            self._images += images

    @property
    def bytes(self) -> int | None:
        """Size of all images; None while they are being counted, or if they cannot be counted."""
        with self._lock:
            return self._bytes if self._counted else None

    @property
    def images(self) -> int | None:
        """Number of all images; None as with ``bytes``."""
        with self._lock:
            return self._images if self._counted else None

    def free_bytes(self) -> int | None:
        """How much an unprivileged process may still write there; None if the filesystem does not say, or
        says what cannot be."""
        try:
            state = os.statvfs(self.folder)
        except OSError:
            return None
        return state.f_bavail * state.f_frsize if is_sound(state) else None

    def _counter(self) -> threading.Thread:
        return threading.Thread(target=self._count, args=(self._stop,), name="usage", daemon=True)

    def _count(self, stop: threading.Event) -> None:
        # Linux gives each thread its own priority: setpriority(2), C library/kernel differences.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        size = images = 0
        try:
            for number, entry in enumerate(_images(self.folder, stop), 1):
                with contextlib.suppress(FileNotFoundError):  # removed since its folder was read
                    state = entry.stat(follow_symlinks=False)
                    if not self._written_meanwhile(state.st_mtime_ns):
                        size += state.st_size
                        images += 1
                if number % _PAUSE_EVERY_FILES == 0:
                    stop.wait(_PAUSE_SECONDS)
        except OSError as error:
            log.warning("store: its size remains unknown: %s: %s", error.filename, error.strerror)
            return
        with self._lock:
            if stop.is_set():
                return
            self._bytes += size
            self._images += images
            self._counted = True

    def _written_meanwhile(self, modified_ns: int) -> bool:
        """Whether ``add`` has been called for this file as well.

        Timestamps of files are a few milliseconds early. They say nothing if the wall clock was set since the
        start, as on boxes without a battery clock; a few images may then be counted twice.
        """
        now = time.time_ns()
        was_set = abs((now - self._begin_ns) / 1e9 - (time.monotonic() - self._begin)) > 1
        return not was_set and self._begin_ns < modified_ns <= now


def _images(folder: str | Path, stop: threading.Event) -> Iterator[os.DirEntry[str]]:
    """Images below a folder, with one open folder per level. Raises OSError, but not for vanished files."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if stop.is_set():
                    return
                if entry.is_dir(follow_symlinks=False):
                    yield from _images(entry.path, stop)
                elif is_image(entry):
                    yield entry
    except FileNotFoundError:  # removed since its parent was read
        return


def is_sound(state: os.statvfs_result) -> bool:
    """Whether what a filesystem says of its size can be."""
    return 0 <= state.f_bavail <= state.f_blocks and state.f_blocks > 0 and state.f_frsize > 0


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether this is a stored image, judging by its name and file type."""
    return is_image_name(entry.name) and entry.is_file(follow_symlinks=False)


def is_image_name(name: str) -> bool:
    """Whether a stored image may have this name."""
    return not name.startswith(".") and name.endswith(ENDINGS)
