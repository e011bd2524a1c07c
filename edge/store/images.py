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
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import edge
from edge.config import AuditConfig, StoreConfig
from edge.errors import StoreError, UnstorableError
from edge.frames import AnonymizedFrame
from edge.store import log_format
from edge.store.audit_log import AuditLog, Tail
from edge.store.clock_evidence import Evidence
from edge.store.durable import make_folder, try_folder, write_group
from edge.store.encoded import EncodedImage
from edge.store.encryption import recipient_of
from edge.store.names import Names
from edge.store.place import DayFolders, Place, take_away
from edge.store.recovery import TAIL_IMAGES, finish_removals, images_without_name, remove_temporaries
from edge.store.retention import MEGABYTE, Retention, has_images
from edge.store.trim import trim
from edge.store.trusted_clock import Clock
from edge.store.usage import Usage

log = logging.getLogger(__name__)

PURGE = "operator"
"""The recorded reason for which ``edge purge`` removes images."""
_FINISHED = (PURGE, "known_face")
"""Removals for these reasons are finished at the start; version 0.1 removed what a blind detector had let
through."""


@dataclass(frozen=True, eq=False)
class Entry:
    """An image to store, and what is recorded about it.

    ``held``: how many of its regions were added by hold. ``dropped`` and ``covered_whole`` count frames of
    this camera by reason, since the start.
    """

    frame: AnonymizedFrame | EncodedImage
    held: int = 0
    regrown: bool = False
    escalated: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    covered_whole: Mapping[str, int] = field(default_factory=dict)


_Ready = tuple[Entry, Path, EncodedImage]


class ImageStore:
    """Images as ``FOLDER/CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ-NNNNNN.ending`` (UTC), the log in
    ``FOLDER/_audit``.

    For one thread, but ``usage``, ``audit_number``, ``audit_head`` and ``clock_doubt`` may be read from any.
    ``write_seconds`` says how long the last group took to write, per image.
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
        self._config = config
        self._audit = audit = audit or AuditConfig()
        self.folder = config.folder
        self._place = Place(config)
        self.usage = Usage(config.folder)
        self._recipient = None if config.recipient is None else recipient_of(config.recipient)
        self._settings = dict(settings or {})
        self._origin = {"detector": detector, "config": log_format.fingerprint(self._settings)}
        self._clock = Clock(config.clock_confirmed, trust_battery=config.trust_battery_clock)
        self._evidence = Evidence(self._clock, config.folder)
        self._names = Names(config, self._clock)
        self._log = AuditLog(config.folder, int(audit.rotate_megabytes * MEGABYTE), self._clock)
        self._retention = Retention(config, self.usage, self._record_purge, self._clock.now)
        self._unstored: list[str] = []
        self._stored: deque[str] = deque(maxlen=TAIL_IMAGES)  # the last ones, whoever removes them afterwards
        self._days = DayFolders(config.folder)
        self._started = False
        self.write_seconds = 0.0

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
        removes = self._config.max_age_days is not None or self._audit.keep_days is not None
        return self._clock.doubt if removes else ""

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
            self._names.forget()
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
        finish_removals(self.folder, tail.records, _FINISHED)
        if not self._started:
            self._clock.judge(tail.records, images=not tail.records and has_images(self.folder))
            self._names.go_on_from(tail.records)
            self._evidence.gather()
            start = {"version": edge.__version__, "settings": self._settings, **self._origin}
            damaged = {"damaged": tail.damaged} if tail.damaged else {}
            self._log.append([{"event": "start", **start, "not_stored": lost, **damaged}])
            self._started = True
        else:  # the log was closed after an error
            fresh = (path for path in lost if path not in self._stored)
            self._unstored = list(dict.fromkeys([*self._unstored, *fresh]))
            if tail.damaged:  # a failed write that could not be undone
                self._log.append([{**self._not_stored(), "damaged": tail.damaged}])
                self._unstored = []

    def encode(self, frame: AnonymizedFrame) -> EncodedImage:
        """Make the bytes of an image's file, to be written later. Raises StoreError, an UnstorableError where
        trying again would not help, and TypeError for anything but an AnonymizedFrame."""
        return EncodedImage(frame, self._config.format, self._config.quality, self._recipient)

    def write(self, entries: Sequence[Entry]) -> list[Path | StoreError]:
        """Store images durably, flushing log and folders once for all; return a path or an error for each.

        Anything but an AnonymizedFrame, or what ``encode`` made of one, gets an error. Raises StoreError when
        none of them can be stored.
        """
        self.open()
        numbers = itertools.count(self.audit_number + 1)
        results: list[Path | StoreError] = []
        ready: list[_Ready] = []
        for entry in entries:
            try:
                image = entry.frame if type(entry.frame) is EncodedImage else self.encode(entry.frame)
                path = self._names.next_path(image, numbers)
            except StoreError as error:
                results.append(error)
            # No error of one image, whatever it is, may prevent the others from being stored.
            except Exception as error:
                results.append(UnstorableError(f"{type(error).__name__}: {error}"))
            else:
                ready.append((entry, path, image))
                results.append(path)
        begin = time.perf_counter()
        failed = self._store(ready) if ready else {}
        self.write_seconds = (time.perf_counter() - begin) / max(1, len(entries))
        return [failed.get(result, result) if isinstance(result, Path) else result for result in results]

    def purge(self, images: Sequence[Path]) -> dict[Path, StoreError]:
        """Remove images of this store because a person wants that; return those that could not be removed.
        Raises StoreError when a removal cannot be recorded; some images may have been removed by then."""
        self.open()
        return self._retention.remove(images, PURGE)

    def keep(self) -> None:
        """Remove old images and old log files, unless the clock is in doubt. To be called every minute, also
        while no images come. Raises StoreError."""
        self.open()
        self._evidence.gather()
        self._append([])  # and what is new of the clock
        self._retention.enforce_age()
        now = self._clock.now()
        if self._audit.keep_days is not None and now is not None:
            limit = now.timestamp() - self._audit.keep_days * 86400
            trim(self._log, self.folder, limit, {"settings": self._settings, **self._origin})

    def record(self, event: str, counts: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the ``event`` counts or stop. ``counts`` has the totals of each camera (log_format.py).
        Raises StoreError."""
        self.open()
        self._append([{"event": event, "cameras": counts}])

    def record_discarded(self, cameras: Mapping[str, Mapping[str, Any]], why: str) -> None:
        """Record images that were never written: how many of each camera, and when they were captured
        (``images``, ``first`` and ``last``; log_format.py). Raises StoreError."""
        self.open()
        self._append([{"event": "discarded", "cameras": cameras, "why": why}])

    def try_out(self) -> None:
        """Find out whether images can be stored. Raises StoreError."""
        self.open()
        self._retention.make_room(MEGABYTE)
        try_folder(self.folder)

    def close(self) -> None:
        """Unlock the store."""
        self._log.close()

    def _store(self, ready: Sequence[_Ready]) -> dict[Path, StoreError]:
        """Record images, write them and give them their names; return those that failed."""
        self._retention.make_room(sum(len(image.data) for *_, image in ready))
        for folder in {path.parent for _, path, _ in ready}:
            self._days.make(folder)
        self._append([_image_record(*each, self.folder, self._origin, self._audit) for each in ready])
        errors = write_group([(path, image.data) for _, path, image in ready])
        if not self._log.in_place:
            errors = take_away(path for _, path, _ in ready)
        failed: dict[Path, StoreError] = {}
        for (_, path, image), error in zip(ready, errors, strict=True):
            name = path.relative_to(self.folder).as_posix()
            if error is None:
                self.usage.add(len(image.data))
                self._stored.append(name)
            else:
                failed[path] = error
                self._unstored.append(name)
        return failed

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
    entry: Entry,
    path: Path,
    image: EncodedImage,
    store: Path,
    origin: Mapping[str, str],
    audit: AuditConfig,
) -> dict[str, Any]:
    """The record of an image at ``path``, as log_format.py describes it."""
    record = {
        "event": "image",
        "camera": image.camera,
        "image": path.relative_to(store).as_posix(),
        "sha256": hashlib.sha256(image.data).hexdigest(),
        "bytes": len(image.data),
        "captured": image.captured.isoformat(timespec="milliseconds"),
        "frame": image.number,
        "regions": image.regions,
        "held": entry.held,
        "covered": round(image.covered, 4),
        "whole": image.whole,
        "regrown": entry.regrown,
        "escalated": entry.escalated,
        **origin,
        "dropped": entry.dropped,
        "covered_whole": entry.covered_whole,
    }
    if image.labels:
        record["labels"] = Counter(image.labels)
    if audit.boxes:
        record["boxes"] = image.areas.tolist()
        if image.labels:
            record["box_labels"] = list(image.labels)
    return record
