"""The store of one appliance: images and the log of them, within the limits of the configuration.

Names are made of UTC time and the number of a record, never of anything that a camera says. An image counts
as stored when its record, its bytes and its name are on the disk, in this order; so nothing lies in the store
that the log does not know.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import edge
from edge.config import AuditConfig, StoreConfig
from edge.errors import StoreError
from edge.frames import AnonymizedFrame
from edge.store import log_format
from edge.store.audit_log import AuditLog, Tail
from edge.store.clock import Clock
from edge.store.durable import flush_folder, make_folder, write_group
from edge.store.encode import ENDINGS, encode
from edge.store.encryption import SUFFIX, encrypt, recipient_of
from edge.store.recovery import finish_removals, images_without_name, remove_temporaries
from edge.store.retention import MEGABYTE, Retention, has_images
from edge.store.usage import Usage

log = logging.getLogger(__name__)

KNOWN_FACE = "known_face"
"""Why images are taken back."""


@dataclass(frozen=True, eq=False)
class Entry:
    """An image to store, and what is put on record with it.

    ``held``: how many of its regions hold added. ``dropped`` and ``covered_whole``: frames of this camera by
    reason, since the start.
    """

    frame: AnonymizedFrame
    held: int = 0
    regrown: bool = False
    escalated: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    covered_whole: Mapping[str, int] = field(default_factory=dict)


class ImageStore:
    """``FOLDER/CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ-NNNNNN.ending`` (UTC), and ``FOLDER/_audit``.

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
        """``settings`` (without secrets) and ``detector`` (sha256 of its file) go on record.

        Raises ConfigError when ``store.recipient`` is no key, or its library is missing.
        """
        audit = audit or AuditConfig()
        self.folder = config.folder
        self.usage = Usage(config.folder)
        self._kind = config.format
        self._quality = config.quality
        self._recipient = None if config.recipient is None else recipient_of(config.recipient)
        self._suffix = "" if self._recipient is None else SUFFIX
        self._boxes = audit.boxes
        self._keep_days = audit.keep_days
        self._settings = dict(settings or {})
        self._origin = {"detector": detector, "config": log_format.fingerprint(self._settings)}
        self._clock = Clock(config.clock_confirmed)
        self._removes_by_age = config.max_age_days is not None or audit.keep_days is not None
        self._log = AuditLog(config.folder, int(audit.rotate_megabytes * MEGABYTE), self._clock)
        self._retention = Retention(config, self.usage, self._record_purge, self._clock.now)
        self._unstored: list[str] = []
        self._settled: set[Path] = set()
        self._started = False
        self.encode_seconds = self.write_seconds = 0.0

    @property
    def audit_number(self) -> int:
        """Number of the last record."""
        return self._log.last[0]

    @property
    def audit_head(self) -> str:
        """Hash of the last record: who keeps it elsewhere can tell that all before it is unchanged."""
        return self._log.last[1]

    @property
    def clock_doubt(self) -> str:
        """Why nothing is removed by age although the configuration wants it; else empty."""
        return self._clock.doubt if self._removes_by_age else ""

    def open(self) -> None:
        """Lock the store and put the start on record; does nothing when that was done. Raises StoreError.

        A folder that was renamed or removed meanwhile is made anew, with a log of its own.
        """
        if self._log.in_place:
            return
        if self._log.opened:
            log.warning("store: %s is not the folder that it was: beginning anew", self.folder)
            self._log.close()
            self._started = False
            self._unstored.clear()  # their records are in the log that went
            self._settled.clear()
            self.usage.start()
        make_folder(self.folder)
        tail = self._log.open()
        try:
            self._begin(tail)
        except BaseException:
            self._log.close()  # no record before that of the start
            raise

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
        else:  # the log had to be closed after an error
            self._unstored = list(dict.fromkeys([*self._unstored, *lost]))
            if tail.damaged:  # a write that failed and could not be undone
                self._log.append([{**self._not_stored(), "damaged": tail.damaged}])
                self._unstored = []

    def write(self, entries: Sequence[Entry]) -> list[Path | StoreError]:
        """Store images durably, with one flush of log and folder for all; a path or an error for each.

        What is no AnonymizedFrame gets an error. Raises StoreError when none can be stored.
        """
        begin = time.perf_counter()
        self.open()
        numbers = itertools.count(self.audit_number + 1)
        results: list[Path | StoreError] = []
        ready: list[tuple[Entry, Path, bytes]] = []
        for entry in entries:
            try:
                data = encode(entry.frame, self._kind, self._quality)
                if self._recipient is not None:
                    data = encrypt(data, self._recipient)
                path = self._path(entry.frame, numbers)
            except StoreError as error:
                results.append(error)
            # Whatever it is, it must not cost the others of the group.
            except Exception as error:
                results.append(StoreError(f"{type(error).__name__}: {error}"))
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
        """Remove images that ``write`` returned, since the detector has ceased to find the known face; return
        those that could not be removed, for another try.

        Raises StoreError when they cannot be put on record; some may be removed by then, and all may be given
        again.
        """
        self.open()
        return self._retention.remove(images, KNOWN_FACE)

    def keep(self) -> None:
        """What is due without any image: old ones and old log files go, while the clock can be relied on.
        Raises StoreError."""
        self.open()
        self._retention.enforce_age()
        now = None if self._keep_days is None else self._clock.now()
        if now is not None and self._keep_days is not None:
            limit = now.timestamp() - self._keep_days * 86400
            self._log.trim(limit, {"settings": self._settings, **self._origin})

    def record(self, event: str, counts: Mapping[str, Mapping[str, Any]]) -> None:
        """Put ``counts`` or ``stop`` on record: of each camera, ``dropped`` and ``covered_whole``. Raises
        StoreError."""
        self.open()
        self._append([{"event": event, "cameras": counts}])

    def close(self) -> None:
        """Give the store back."""
        self._log.close()

    def _store(self, ready: Sequence[tuple[Entry, Path, bytes]]) -> dict[Path, StoreError]:
        """Record, write and name images; return those that failed."""
        self._retention.make_room(sum(len(data) for *_, data in ready))
        for folder in {path.parent for _, path, _ in ready}:
            self._settle(folder)
        self._append([self._record(entry, path, data) for entry, path, data in ready])
        errors = write_group([(path, data) for _, path, data in ready])
        failed: dict[Path, StoreError] = {}
        for (_, path, data), error in zip(ready, errors, strict=True):
            if error is None:
                self.usage.add(len(data))
            else:
                failed[path] = error
                self._unstored.append(path.relative_to(self.folder).as_posix())
        return failed

    def _settle(self, folder: Path) -> None:
        """Make the folder of a day, and its name durable; once per process also where there is one: whoever
        made it may have failed, or been killed, before its name was flushed. Raises StoreError."""
        if folder in self._settled and folder.is_dir():
            return
        make_folder(folder)
        try:
            flush_folder(folder.parent)
            flush_folder(self.folder)
        except OSError as error:
            raise StoreError(f"folder {folder}: {error.strerror or error}") from error
        self._settled.add(folder)

    def _record(self, entry: Entry, path: Path, data: bytes) -> dict[str, Any]:
        frame = entry.frame
        record: dict[str, Any] = {
            "event": "image",
            "camera": frame.camera,
            "image": path.relative_to(self.folder).as_posix(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "captured": _moment(frame).isoformat(timespec="milliseconds"),
            "frame": frame.number,
            "regions": frame.regions,
            "held": entry.held,
            "covered": round(frame.covered, 4),
            "whole": frame.whole,
            "regrown": entry.regrown,
            "escalated": entry.escalated,
            **self._origin,
            "dropped": entry.dropped,
            "covered_whole": entry.covered_whole,
        }
        if self._boxes:
            record["boxes"] = frame.areas.tolist()
        return record

    def _append(self, events: list[dict[str, Any]]) -> None:
        """Put events on record, and before them which images of earlier records failed. Raises StoreError."""
        before = [self._not_stored()] if self._unstored else []
        self._log.append([*before, *events])
        self._unstored = []

    def _not_stored(self) -> dict[str, Any]:
        return {"event": "not_stored", "images": self._unstored, "why": "store_error"}

    def _record_purge(self, images: list[str], why: str) -> None:
        self._append([{"event": "purged", "images": images, "why": why}])

    def _path(self, frame: AnonymizedFrame, numbers: Iterator[int]) -> Path:
        """A name that no image of this store has, had or was to have: a box without a clock of its own may
        live through the same moment again, but its records go on counting."""
        moment = _moment(frame)
        stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
        folder = self.folder / frame.camera / f"{moment:%Y-%m-%d}"
        while True:
            path = folder / f"{stamp}-{next(numbers):06d}{ENDINGS[self._kind]}{self._suffix}"
            if not path.exists():
                return path


def _moment(frame: AnonymizedFrame) -> datetime:
    """When it was captured, in whole milliseconds."""
    return datetime.fromtimestamp(frame.utc_ns // 1_000_000 / 1000, timezone.utc)
