"""What happens when the disk is full, the quota is used up or images are too old: the oldest are removed.

``store.min_free_megabytes`` stays free on the disk, ``store.quota_megabytes`` limits the size of all images,
and ``store.max_age_days`` their age. Each removal is recorded in the audit log before it is done. If removing
images cannot make enough room, nothing is stored and the store reports an error; edge/daemon/writer.py then
counts the frame as ``store_error``.

If free space cannot be measured, or the measurement is impossible, the disk counts as full. If removing
images does not increase the free space (because of snapshots, for instance), no more are removed for this
reason until it has increased.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from edge.config import StoreConfig
from edge.errors import StoreError
from edge.store.durable import flush_folder
from edge.store.recorded_times import RecordedTimes
from edge.store.usage import Usage, is_image, is_sound

Purge = Callable[[list[str], str], None]
"""Records that images (paths below the store) are about to be removed, and why. Raises StoreError."""
Now = Callable[[], datetime | None]
"""The time (UTC) by which ages count, or None while the clock is in doubt (edge/store/trusted_clock.py)."""

MEGABYTE = 1_000_000
_AGE_EVERY_SECONDS = 60.0
_GROUP = 64
"""At most this many images are removed with one record."""
_MOST = 10_000
"""At most this many paths are held in memory. All images of a day at one per second took 36 MB."""
_HEADROOM_BYTES = 8 * MEGABYTE
"""How much more than needed is removed, so that the next image need not wait for another removal."""


class Retention:
    """Enforces the limits of the configuration section ``[store]``. For one thread."""

    def __init__(self, config: StoreConfig, usage: Usage, purge: Purge, now: Now) -> None:
        self._folder = config.folder
        self._reserve = int(config.min_free_megabytes * MEGABYTE)
        self._quota = None if config.quota_megabytes is None else int(config.quota_megabytes * MEGABYTE)
        self._age = None if config.max_age_days is None else timedelta(days=config.max_age_days)
        self._usage = usage
        self._purge = purge
        self._now = now
        self._times = RecordedTimes(config.folder)
        self._oldest: deque[Path] = deque()
        self._next_age = 0.0
        self._stuck_at: int | None = None  # free bytes after a removal that did not make room
        self._unfinished: set[Path] = set()  # recorded by ``remove``, but not removed yet

    def make_room(self, size: int) -> None:
        """Remove images so that ``size`` more bytes may be written. Raises StoreError if there is no room."""
        self.enforce_age()
        used = self._usage.bytes
        if self._quota is not None and used is not None and used + size > self._quota:
            self._remove(used + size - self._quota, "quota")
        self._keep_reserve(size)

    def enforce_age(self) -> None:
        """Remove images that are too old, at most once a minute. Raises StoreError."""
        if self._age is None or time.monotonic() < self._next_age:
            return
        now = self._now()
        if now is None:
            return
        limit = now - self._age
        self._times.refresh()
        while self._peek() is not None:
            some = itertools.islice(self._oldest, _GROUP)
            old = list(itertools.takewhile(lambda path: self._is_older(path, limit), some))
            if not old:
                break
            self._remove_group(old, "age")
        self._next_age = time.monotonic() + _AGE_EVERY_SECONDS

    def _is_older(self, path: Path, limit: datetime) -> bool:
        """Whether an image is older than ``limit``. Names sort in the order of the chain, but only where no
        record is left does the time in a name count."""
        stored = self._times.of_image(path)
        return path.name < f"{limit:%Y%m%dT%H%M%S}" if stored is None else stored < limit.timestamp()

    def remove(self, images: Sequence[Path], why: str) -> dict[Path, StoreError]:
        """Remove these images; return those that could not be removed, so that the caller can try again.

        Images that are gone already are not recorded, and a second attempt is not recorded again. Raises
        StoreError when the removal cannot be recorded, or the store cannot be read.
        """
        self._oldest.clear()  # some of these may be among them
        failed: dict[Path, StoreError] = {}
        for begin in range(0, len(images), _GROUP):
            group = [path for path in images[begin : begin + _GROUP] if _is_there(path)]
            fresh = [path for path in group if path not in self._unfinished]
            if fresh:
                self._record(fresh, why)
                self._unfinished.update(fresh)
            for path in group:
                try:
                    self._unlink(path)
                except StoreError as error:
                    failed[path] = error
                else:
                    self._unfinished.discard(path)
            for folder in {path.parent for path in group}:
                _flush_removals(folder)
        return failed

    def _keep_reserve(self, size: int) -> None:
        free = free_bytes(self._folder)
        if self._stuck_at is not None and free > self._stuck_at:
            self._stuck_at = None
        missing = self._reserve + size - free
        if missing <= 0:
            return
        if self._stuck_at is None:
            removed = self._remove(missing + _HEADROOM_BYTES, "min_free")
            after = free_bytes(self._folder)
            if after - size >= self._reserve:
                return
            if removed and after <= free:
                self._stuck_at = after
            free = after
        text = (
            f"full: {free / MEGABYTE:.0f} MB free, store.min_free_megabytes is {self._reserve / MEGABYTE:g}"
        )
        if self._stuck_at is not None:
            text += "; removing images did not free any space (snapshots?), so no more are removed"
        raise StoreError(f"{self._folder}: {text}")

    def _remove(self, size: int, why: str) -> int:
        """Remove the oldest images until ``size`` bytes are gone; return how many bytes were removed."""
        gone = 0
        while gone < size and self._peek() is not None:
            group: list[Path] = []
            planned = 0
            for path in self._oldest:
                if gone + planned >= size or len(group) >= _GROUP:
                    break
                group.append(path)
                with contextlib.suppress(OSError):
                    planned += path.stat().st_size
            gone += self._remove_group(group, why)
        return gone

    def _remove_group(self, group: list[Path], why: str) -> int:
        self._record(group, why)
        gone = 0
        for path in group:
            gone += self._unlink(path)
            self._oldest.remove(path)
        for folder in {path.parent for path in group}:
            _flush_removals(folder)
        return gone

    def _record(self, group: list[Path], why: str) -> None:
        self._purge([path.relative_to(self._folder).as_posix() for path in group], why)

    def _unlink(self, path: Path) -> int:
        """Remove one image whose removal is recorded, and return its size. Raises StoreError."""
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # already removed by someone else
            return 0
        except OSError as error:
            raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error
        self._usage.add(-size, -1)
        return size

    def _peek(self) -> Path | None:
        """The oldest image; refills ``_oldest`` from the oldest day that has any. Raises StoreError."""
        if not self._oldest:
            try:
                self._oldest.extend(_oldest_images(self._folder))
            except OSError as error:
                raise StoreError(f"{self._folder}: cannot be read: {error.strerror or error}") from error
        return self._oldest[0] if self._oldest else None


def free_bytes(folder: Path) -> int:
    """How many bytes an unprivileged process may still write on a filesystem.

    Raises StoreError when this cannot be found out, because the call fails or gives impossible figures.
    """
    try:
        state = os.statvfs(folder)
    except OSError as error:
        raise StoreError(
            f"{folder}: free space is unknown, which counts as full: {error.strerror}"
        ) from error
    if not is_sound(state):
        raise StoreError(
            f"{folder}: free space is unknown, which counts as full: the filesystem reports {state.f_bavail} "
            f"free of {state.f_blocks} blocks of {state.f_frsize} bytes"
        )
    if state.f_files > 0 and state.f_favail == 0:
        raise StoreError(f"{folder}: full: no inodes are left, so no file can be created")
    return state.f_bavail * state.f_frsize


def has_images(store: Path) -> bool:
    """Whether any camera has an image in this store. Raises StoreError."""
    try:
        return bool(_oldest_images(store))
    except OSError as error:
        raise StoreError(f"{store}: cannot be read: {error.strerror or error}") from error


def _is_there(path: Path) -> bool:
    """Whether there is a file of this name. Raises StoreError when that cannot be found out."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _flush_removals(folder: Path) -> None:
    """Make removals from a folder durable, and remove the folder if it is empty. Raises StoreError."""
    try:
        if any(folder.iterdir()):
            flush_folder(folder)
        else:
            folder.rmdir()
            flush_folder(folder.parent)
    except FileNotFoundError:  # already removed by someone else
        return
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error


def _oldest_images(store: Path) -> list[Path]:
    """Images of all cameras on the oldest day that has any, oldest first, ``_MOST`` at most."""
    days: dict[str, list[Path]] = {}
    for camera in _folders(store):
        for day in _folders(camera):
            days.setdefault(day.name, []).append(day)
    for name in sorted(days):
        images = heapq.nsmallest(_MOST, itertools.chain.from_iterable(map(_images, days[name])))
        if images:
            return [Path(path) for _, path in images]
    return []


def _images(day: Path) -> Iterator[tuple[str, str]]:
    """Name and path of each image in a folder."""
    with os.scandir(day) as entries:
        for entry in entries:
            if is_image(entry):
                yield entry.name, entry.path


def _folders(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "_")) and path.is_dir() and not path.is_symlink()
    ]
