"""The store of one appliance: images and their audit log, within the limits of the configuration.

Names consist of the UTC time and the number of a record, and of nothing that a camera supplies. An image
counts as stored when its record, its bytes and its name are on the disk, in this order, so every image in the
store is known to the log.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import edge
from edge.config import AuditConfig, StoreConfig
from edge.errors import StoreError, UnstorableError
from edge.frames import AnonymizedFrame
from edge.store import log_format
from edge.store.audit_log import AuditLog, Tail
from edge.store.durable import make_folder, try_folder, write_group
from edge.store.encode import ENDINGS, encode
from edge.store.encryption import SUFFIX, encrypt, recipient_of
from edge.store.place import DayFolders, Place, take_away
from edge.store.recovery import finish_removals, images_without_name, remove_temporaries
from edge.store.retention import MEGABYTE, Retention, has_images
from edge.store.trusted_clock import Clock
from edge.store.usage import Usage

log = logging.getLogger(__name__)

KNOWN_FACE = "known_face"
"""The recorded reason for which images are taken back."""


@dataclass(frozen=True, eq=False)
class Entry:
    """An image to store, and what is recorded about it.

    ``held``: how many of its regions were added by hold. ``dropped`` and ``covered_whole`` count frames of
    this camera by reason, since the start.
    """

    frame: AnonymizedFrame
    held: int = 0
    regrown: bool = False
    escalated: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    covered_whole: Mapping[str, int] = field(default_factory=dict)


class ImageStore:
    """Images as ``FOLDER/CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ-NNNNNN.ending`` (UTC), the log in
    ``FOLDER/_audit``.

    For one thread, but ``usage``, ``audit_number``, ``audit_head`` and ``clock_doubt`` may be read from any.
    ``encode_seconds`` and ``write_seconds`` say how long the last group took, per image.
    """

    def __init__(
        self,
        config: StoreConfig,
        audit: AuditConfig | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        detector: str = "",
    ) -> None:
        """``settings`` (without secrets) and ``detector`` (sha256 of its file) are recorded.

        Raises ConfigError when ``store.recipient`` is not a public key, or pyrage is not installed.
        """
        audit = audit or AuditConfig()
        self.folder = config.folder
        self._place = Place(config)
        self.usage = Usage(config.folder)
        self._format = config.format
        self._quality = config.quality
        self._recipient = None if config.recipient is None else recipient_of(config.recipient)
        self._ending = ENDINGS[config.format] + ("" if self._recipient is None else SUFFIX)
        self._boxes = audit.boxes
        self._keep_days = audit.keep_days
        self._settings = dict(settings or {})
        self._origin = {"detector": detector, "config": log_format.fingerprint(self._settings)}
        self._clock = Clock(config.clock_confirmed)
        self._removes_by_age = config.max_age_days is not None or audit.keep_days is not None
        self._log = AuditLog(config.folder, int(audit.rotate_megabytes * MEGABYTE), self._clock)
        self._retention = Retention(config, self.usage, self._record_purge, self._clock.now)
        self._unstored: list[str] = []
        self._days = DayFolders(config.folder)
        self._started = False
        self.encode_seconds = self.write_seconds = 0.0

    @property
    def audit_number(self) -> int:
        """Number of the last record."""
        return self._log.last[0]

    @property
    def audit_head(self) -> str:
        """Hash of the last record. Whoever saves it can later tell that nothing up to it was changed."""
        return self._log.last[1]

    @property
    def clock_doubt(self) -> str:
        """Why removal by age, which the configuration asks for, is off; otherwise empty."""
        return self._clock.doubt if self._removes_by_age else ""

    def open(self) -> None:
        """Lock the store and record the start, unless that was done. A folder that was renamed or removed is
        made again, with a log of its own. Raises StoreError, also on another filesystem than before."""
        if self._log.in_place:
            return
        self._log.close()
        here = self._place.check(continues=self._log.continues)
        if self._started and not self._log.continues:
            log.warning("store: %s was moved or replaced; starting a new store there", self.folder)
            self._started, self._unstored = False, []  # their records are in the log that is gone
            self._days.forget()
            self.usage.start()
        make_folder(self.folder)
        tail = self._log.open()
        try:
            self._begin(tail)
        except BaseException:
            self._log.close()  # nothing may be recorded before the start
            raise
        self._place.known = here

    def _begin(self, tail: Tail) -> None:
        lost = images_without_name(self.folder, tail.records)
        remove_temporaries(self.folder, tail.records)
        finish_removals(self.folder, tail.records, KNOWN_FACE)
        if not self._started:
            self._clock.judge(tail.records, images=not tail.records and has_images(self.folder))
            start = {"version": edge.__version__, "settings": self._settings, **self._origin}
            event: dict[str, Any] = {"event": "start", **start, "not_stored": lost}
            if tail.damaged:
                event["damaged"] = tail.damaged
            self._log.append([event])
            self._started = True
        else:  # the log was closed after an error
            self._unstored = list(dict.fromkeys([*self._unstored, *lost]))
            if tail.damaged:  # a failed write that could not be undone
                self._log.append([{**self._not_stored(), "damaged": tail.damaged}])
                self._unstored = []

    def write(self, entries: Sequence[Entry]) -> list[Path | StoreError]:
        """Store images durably, flushing log and folders once for all; return a path or an error for each.

        Anything but an AnonymizedFrame gets an error. Raises StoreError when none of them can be stored.
        """
        begin = time.perf_counter()
        self.open()
        numbers = itertools.count(self.audit_number + 1)
        results: list[Path | StoreError] = []
        ready: list[tuple[Entry, Path, bytes]] = []
        for entry in entries:
            try:
                data = self._encode(entry.frame)
                path = _free_path(self.folder, entry.frame, self._ending, numbers)
            except StoreError as error:
                results.append(UnstorableError(str(error)))
            except (OSError, MemoryError) as error:
                results.append(StoreError(f"{type(error).__name__}: {error}"))
            # No error of one image, whatever it is, may prevent the others from being stored.
            except Exception as error:
                results.append(UnstorableError(f"{type(error).__name__}: {error}"))
            else:
                ready.append((entry, path, data))
                results.append(path)
        encoded = time.perf_counter()
        failed = self._store(ready) if ready else {}
        count = max(1, len(entries))
        self.encode_seconds = (encoded - begin) / count
        self.write_seconds = (time.perf_counter() - encoded) / count
        return [failed.get(result, result) if isinstance(result, Path) else result for result in results]

    def take_back(self, images: Sequence[Path]) -> dict[Path, StoreError]:
        """Remove images that ``write`` returned because the detector no longer finds the known face; return
        those that could not be removed, so that the caller can try again.

        Raises StoreError when a removal cannot be recorded. Some images may have been removed by then; all of
        them may be passed again.
        """
        self.open()
        return self._retention.remove(images, KNOWN_FACE)

    def keep(self) -> None:
        """Remove old images and old log files, while the clock can be relied on. To be called regularly, also
        while no images come. Raises StoreError."""
        self.open()
        self._retention.enforce_age()
        now = None if self._keep_days is None else self._clock.now()
        if now is not None and self._keep_days is not None:
            limit = now.timestamp() - self._keep_days * 86400
            self._log.trim(limit, {"settings": self._settings, **self._origin})

    def record(self, event: str, counts: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the ``event`` counts or stop. ``counts`` has the totals of each camera (log_format.py).
        Raises StoreError."""
        self.open()
        self._append([{"event": event, "cameras": counts}])

    def try_out(self) -> None:
        """Find out whether images can be stored. Raises StoreError."""
        self.open()
        self._retention.make_room(MEGABYTE)
        try_folder(self.folder)

    def close(self) -> None:
        """Unlock the store."""
        self._log.close()

    def _encode(self, frame: AnonymizedFrame) -> bytes:
        data = encode(frame, self._format, self._quality)
        return data if self._recipient is None else encrypt(data, self._recipient)

    def _store(self, ready: Sequence[tuple[Entry, Path, bytes]]) -> dict[Path, StoreError]:
        """Record images, write them and give them their names; return those that failed."""
        self._retention.make_room(sum(len(data) for *_, data in ready))
        for folder in {path.parent for _, path, _ in ready}:
            self._days.make(folder)
        self._append([self._record(*image) for image in ready])
        errors = write_group([(path, data) for _, path, data in ready])
        if not self._log.in_place:
            errors = take_away(path for _, path, _ in ready)
        failed: dict[Path, StoreError] = {}
        for (_, path, data), error in zip(ready, errors, strict=True):
            if error is None:
                self.usage.add(len(data))
            else:
                failed[path] = error
                self._unstored.append(path.relative_to(self.folder).as_posix())
        return failed

    def _record(self, entry: Entry, path: Path, data: bytes) -> dict[str, Any]:
        return _image_record(entry, path.relative_to(self.folder), data, self._origin, boxes=self._boxes)

    def _append(self, events: list[dict[str, Any]]) -> None:
        """Record events, preceded by the images of earlier records that failed. Raises StoreError."""
        before = [self._not_stored()] if self._unstored else []
        self._log.append([*before, *events])
        self._unstored = []

    def _not_stored(self) -> dict[str, Any]:
        return {"event": "not_stored", "images": self._unstored, "why": "store_error"}

    def _record_purge(self, images: list[str], why: str) -> None:
        self._append([{"event": "purged", "images": images, "why": why}])


def _image_record(
    entry: Entry, path: Path, data: bytes, origin: Mapping[str, str], *, boxes: bool
) -> dict[str, Any]:
    """The record of an image at ``path`` (below the store), as log_format.py describes it."""
    frame = entry.frame
    record = {
        "event": "image",
        "camera": frame.camera,
        "image": path.as_posix(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "captured": _captured(frame).isoformat(timespec="milliseconds"),
        "frame": frame.number,
        "regions": frame.regions,
        "held": entry.held,
        "covered": round(frame.covered, 4),
        "whole": frame.whole,
        "regrown": entry.regrown,
        "escalated": entry.escalated,
        **origin,
        "dropped": entry.dropped,
        "covered_whole": entry.covered_whole,
    }
    if frame.labels:
        record["labels"] = Counter(frame.labels)
    if boxes:
        record["boxes"] = frame.areas.tolist()
        if frame.labels:
            record["box_labels"] = list(frame.labels)
    return record


def _free_path(store: Path, frame: AnonymizedFrame, ending: str, numbers: Iterator[int]) -> Path:
    """A path that no image of this store has, had or was to have. A box without a battery clock may see the
    same time of day twice, but the numbers of its records only grow."""
    captured = _captured(frame)
    stamp = f"{captured:%Y%m%dT%H%M%S}.{captured.microsecond // 1000:03d}Z"
    folder = store / frame.camera / f"{captured:%Y-%m-%d}"
    while True:
        path = folder / f"{stamp}-{next(numbers):06d}{ending}"
        if not path.exists():
            return path


def _captured(frame: AnonymizedFrame) -> datetime:
    """When a frame was captured (UTC), in whole milliseconds."""
    return datetime.fromtimestamp(frame.utc_ns // 1_000_000 / 1000, timezone.utc)
