"""Room on the disk: a reserve that stays free, a quota, an age; the oldest images go first, on record.

A probe for free space that fails, or that says what cannot be, counts as a full disk. So does one that
shows no more room after images were removed (snapshots, for instance): nothing is removed for it again
until it does.
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
from edge.store.usage import Usage, is_image

Purge = Callable[[list[str], str], None]
"""Puts on record that images (paths below the store) are about to be removed, and why. Raises StoreError."""
Now = Callable[[], datetime | None]
"""The time (UTC), or None while nothing may be removed by age (edge/store/clock.py)."""

MEGABYTE = 1_000_000
_AGE_EVERY_SECONDS = 60.0
_GROUP = 64
"""Images that one record names at most."""
_MOST = 10_000
"""Images that are known at a time: those of one camera's day, at one per second, took 36 MB."""
_HEADROOM_BYTES = 8 * MEGABYTE
"""So much more than needed is removed, so that the next image need not wait for another removal."""


class Retention:
    """Keeps the limits of ``[store]``. For one thread."""

    def __init__(self, config: StoreConfig, usage: Usage, purge: Purge, now: Now) -> None:
        self._folder = config.folder
        self._reserve = int(config.min_free_megabytes * MEGABYTE)
        self._quota = None if config.quota_megabytes is None else int(config.quota_megabytes * MEGABYTE)
        self._age = None if config.max_age_days is None else timedelta(days=config.max_age_days)
        self._usage = usage
        self._purge = purge
        self._now = now
        self._oldest: deque[Path] = deque()
        self._next_age = 0.0
        self._vain: int | None = None  # free bytes when removing images was seen to be in vain
        self._unfinished: set[Path] = set()  # by ``remove``: on record, and not removed yet

    def make_room(self, size: int) -> None:
        """Remove what must go before ``size`` bytes more may be written. Raises StoreError: full."""
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
        # Names begin with the UTC time of capture, and so compare like times.
        limit = f"{now - self._age:%Y%m%dT%H%M%S}"
        while (oldest := self._peek()) is not None and oldest.name < limit:
            old = itertools.takewhile(lambda path: path.name < limit, self._oldest)
            self._remove_group(list(itertools.islice(old, _GROUP)), "age")
        self._next_age = time.monotonic() + _AGE_EVERY_SECONDS

    def remove(self, images: Sequence[Path], why: str) -> dict[Path, StoreError]:
        """Remove just these images; return those that could not be, so that the caller can try again.

        One that is gone already is not put on record, and one that was on record before is not once more.
        Raises StoreError when they cannot be put on record, or nobody can tell whether they are there.
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
                _settle(folder)
        return failed

    def _keep_reserve(self, size: int) -> None:
        free = free_bytes(self._folder)
        if self._vain is not None and free > self._vain:
            self._vain = None
        missing = self._reserve + size - free
        if missing <= 0:
            return
        if self._vain is None:
            removed = self._remove(missing + _HEADROOM_BYTES, "min_free")
            after = free_bytes(self._folder)
            if after - size >= self._reserve:
                return
            if removed and after <= free:
                self._vain = after
            free = after
        text = (
            f"full: {free / MEGABYTE:.0f} MB free, store.min_free_megabytes is {self._reserve / MEGABYTE:g}"
        )
        if self._vain is not None:
            text += "; removing images did not make room (snapshots?), so no more are removed"
        raise StoreError(f"{self._folder}: {text}")

    def _remove(self, size: int, why: str) -> int:
        """Remove the oldest images until ``size`` bytes are gone; return how many bytes were."""
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
            _settle(folder)
        return gone

    def _record(self, group: list[Path], why: str) -> None:
        self._purge([path.relative_to(self._folder).as_posix() for path in group], why)

    def _unlink(self, path: Path) -> int:
        """Remove one image, which is on record, and return its size. Raises StoreError."""
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # somebody else was quicker
            return 0
        except OSError as error:
            raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error
        self._usage.add(-size, -1)
        return size

    def _peek(self) -> Path | None:
        """The oldest image there is, as far as the images of the oldest day go."""
        if not self._oldest:
            try:
                self._oldest.extend(_oldest_images(self._folder))
            except OSError as error:
                raise StoreError(f"{self._folder}: cannot be read: {error.strerror or error}") from error
        return self._oldest[0] if self._oldest else None


def free_bytes(folder: Path) -> int:
    """What an unprivileged process may still write on a filesystem, in bytes.

    Raises StoreError when nobody can tell: the probe fails, or its answer cannot be.
    """
    try:
        state = os.statvfs(folder)
    except OSError as error:
        raise StoreError(
            f"{folder}: free space is unknown, which counts as full: {error.strerror}"
        ) from error
    sound = 0 <= state.f_bavail <= state.f_blocks and state.f_blocks > 0 and state.f_frsize > 0
    if not sound:
        raise StoreError(
            f"{folder}: free space is unknown, which counts as full: the filesystem says {state.f_bavail} "
            f"free of {state.f_blocks} blocks of {state.f_frsize} bytes"
        )
    if state.f_files > 0 and state.f_favail == 0:
        raise StoreError(f"{folder}: full: no inodes left, so no file can be made")
    return state.f_bavail * state.f_frsize


def has_images(store: Path) -> bool:
    """Whether any camera has an image in this store. Raises StoreError."""
    try:
        return bool(_oldest_images(store))
    except OSError as error:
        raise StoreError(f"{store}: cannot be read: {error.strerror or error}") from error


def _is_there(path: Path) -> bool:
    """Raises StoreError when nobody can tell."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _settle(folder: Path) -> None:
    """Make removals durable; a folder without files goes too. Raises StoreError."""
    try:
        if any(folder.iterdir()):
            flush_folder(folder)
        else:
            folder.rmdir()
            flush_folder(folder.parent)
    except FileNotFoundError:  # somebody else was quicker
        return
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error


def _oldest_images(store: Path) -> list[Path]:
    """The oldest images of the oldest day that has any, over all cameras, oldest first; ``_MOST`` at most."""
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
