"""How much room the stored images take: counted once in the background, then kept up by each write."""

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
"""What the names of stored images end in, as they are and encrypted."""
_PAUSE_EVERY_FILES, _PAUSE_SECONDS = 1000, 0.01
_LOWEST_PRIORITY = 19


class Usage:
    """Size and number of the images below a folder. Thread-safe.

    A store may hold millions of files, so the first count runs in a thread of low priority, and
    ``bytes`` and ``images`` are None until it has ended. Images that somebody else removes are counted
    until the next start; who removes them in this process calls ``add`` with negative numbers.
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
        """Begin to count, before the first ``add``; once more when the folder has become another."""
        with self._lock:
            self._stop.set()  # of the count before
            self._stop = threading.Event()
            self._counted = False
            self._bytes = self._images = 0
        self._begin_ns = time.time_ns()
        self._begin = time.monotonic()
        self._thread = self._counter()
        self._thread.start()

    def stop(self) -> None:
        """Give up a count that still runs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def add(self, size: int, images: int = 1) -> None:
        """An image of ``size`` bytes was stored just now."""
        with self._lock:
            self._bytes += size
            self._images += images

    @property
    def bytes(self) -> int | None:
        """Size of all images; None while they are being counted, or if they cannot be."""
        with self._lock:
            return self._bytes if self._counted else None

    @property
    def images(self) -> int | None:
        """Number of all images; None as with ``bytes``."""
        with self._lock:
            return self._images if self._counted else None

    def free_bytes(self) -> int | None:
        """What an unprivileged process may still write there; None if the filesystem does not say."""
        try:
            state = os.statvfs(self.folder)
        except OSError:
            return None
        return state.f_bavail * state.f_frsize

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
            log.warning("store: its size stays unknown: %s: %s", error.filename, error.strerror)
            return
        with self._lock:
            if stop.is_set():
                return
            self._bytes += size
            self._images += images
            self._counted = True

    def _written_meanwhile(self, modified_ns: int) -> bool:
        """Whether a file is one that ``add`` was called for, too.

        Files are stamped some milliseconds early, and a wall clock that was set since the start, as on
        boxes without one of their own, says nothing: then a few images may be counted twice.
        """
        now = time.time_ns()
        was_set = abs((now - self._begin_ns) / 1e9 - (time.monotonic() - self._begin)) > 1
        return not was_set and self._begin_ns < modified_ns <= now


def _images(folder: str | Path, stop: threading.Event) -> Iterator[os.DirEntry[str]]:
    """Images below a folder, one folder open per level. Raises OSError except for what vanished."""
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


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether this is an image of a store, by its name and kind."""
    hidden = entry.name.startswith(".")
    return not hidden and entry.name.endswith(ENDINGS) and entry.is_file(follow_symlinks=False)
