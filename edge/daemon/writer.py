"""The store's own thread: a slow or full disk delays images, never detection."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from pathlib import Path

from edge.daemon.ledgers import Ledgers
from edge.daemon.quarantine import Quarantine, Unrecorded
from edge.errors import StoreError, UnstorableError
from edge.frames import AnonymizedFrame
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.images import Entry, ImageStore
from edge.store.usage import Usage

log = logging.getLogger(__name__)

QUEUE_LENGTH = 8
"""Anonymized frames that may wait for this thread. A full queue blocks the tick: cameras drop frames."""
GROUP = 8
"""At most this many images are recorded and written together; edge/store/recovery.py relies on it."""
KEEP_SECONDS = 60.0
"""How often to remove what is too old, whether new images arrive or not."""
RETRY_SECONDS = 2.0
"""How often to try the store while it does not work and files wait for it."""
COUNTS_SECONDS = 3600.0
"""How often to record the counters, so that the record of a day without images shows why."""


class _Order(Enum):
    """An order in the queue; it is carried out after everything that was queued earlier."""

    RELEASE = "release"
    DISCARD = "discard"
    END = "end"


class Writer:
    """Encodes images at once, and keeps them in memory until the detector has found the known face after
    them: ``release`` stores all that were handed over so far, ``discard`` drops them, counts them as
    ``known_face`` and records how many there were.

    ``error`` says why the last operation of the store failed, ``error_since`` (UTC) since when there has been
    an error; it is empty when all is well, and the next image is tried in any case. ``last_images`` has the
    file of each camera's last stored image. ``opened`` says whether the store was ever opened, and so locked.
    ``quarantine`` is what waits.
    """

    def __init__(self, store: ImageStore, metrics: Metrics, ledgers: Ledgers | None = None) -> None:
        """``ledgers`` hear what has become of each image, and are saved after the images."""
        self.opened = False
        self._ledgers = ledgers or Ledgers(store.folder, {})
        self.error = ""
        self.error_since: datetime | None = None
        self.last_images: dict[str, Path] = {}
        self.quarantine = Quarantine()
        self._store = store
        self._metrics = metrics
        self._jobs: queue.Queue[Entry | _Order] = queue.Queue(QUEUE_LENGTH)
        # Counted by two threads, each its own
        self._ordered = self._obeyed = 0
        self._unencoded = ""  # why the image that came last could not be encoded
        self._unrecorded = Unrecorded()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def usage(self) -> Usage:
        """Size and number of all images."""
        return self._store.usage

    @property
    def needs_check(self) -> bool:
        """Whether the known face must be checked now: the quarantine is full, or the first of all waits.
        False while an earlier order is being carried out, which makes room."""
        first = not self._ordered and self.quarantine.images > 0
        return first or (self.quarantine.full and self._ordered == self._obeyed)

    def start(self) -> None:
        self.usage.start()
        self._thread.start()

    def put(
        self, frame: AnonymizedFrame, held: int, *, regrown: bool = False, escalated: bool = False
    ) -> None:
        """Hand an image over; ``held`` is how many of its regions hold added, ``regrown`` and ``escalated``
        say what the last look changed (``edge.last_look.LastLook``). Waits while the queue is full."""
        self._jobs.put(Entry(frame, held, regrown, escalated))

    def release(self) -> None:
        """Store all images that were handed over so far. Waits while the queue is full."""
        self._order(_Order.RELEASE)

    def discard(self) -> None:
        """Drop all images that were handed over and not released. Waits while the queue is full."""
        self._order(_Order.DISCARD)

    def drain(self) -> None:
        """Store what was released, record the end of this run, and close the store. What was not released is
        discarded."""
        self._order(_Order.DISCARD)
        self._order(_Order.END)
        self._thread.join()
        self.usage.stop()

    def _order(self, order: _Order) -> None:
        self._ordered += 1
        self._jobs.put(order)

    def _run(self) -> None:
        self._attempt(self._open)
        last_keep = last_counts = last_try = time.monotonic()
        job: Entry | _Order | None = None
        while job is not _Order.END:
            job = _next_job(self._jobs, RETRY_SECONDS if self._retries else KEEP_SECONDS)
            if isinstance(job, Entry):
                self._keep_back(job)
            elif job is not None:
                self._obey(job)
            now = time.monotonic()
            if self._retries and now - last_try >= RETRY_SECONDS:
                last_try = now
                self._attempt(self._try_out)
            if now - last_keep >= KEEP_SECONDS:
                last_keep = now
                self._attempt(self._store.keep)
            if now - last_counts >= COUNTS_SECONDS:
                last_counts = now
                self._attempt(lambda: self._store.record("counts", counts_of(self._metrics)))
        self._attempt(lambda: self._store.record("stop", counts_of(self._metrics)))
        self._store.close()

    @property
    def _retries(self) -> bool:
        """Whether files wait for the store to work again, so that no image tries it out."""
        return bool(self.error and self._ledgers)

    def _open(self) -> None:
        self._store.open()
        self.opened = True

    def _try_out(self) -> None:
        self._store.try_out()
        self.opened = True
        self._clear_error()

    def _keep_back(self, entry: Entry) -> None:
        """Encode an image, which waits from now on."""
        try:
            with self._metrics.timed("encode"):
                image = self._store.encode(entry.frame)  # type: ignore[arg-type]  # refuses all other types
        # This thread must not die: the tick would wait for it forever.
        except Exception as error:
            known = isinstance(error, StoreError)
            self._unencoded = str(error) if known else f"{type(error).__name__}: {error}"
            self._drop([entry], self._unencoded, final=isinstance(error, UnstorableError) or not known)
            return
        self._unencoded = ""
        self.quarantine.add(entry, image)

    def _obey(self, order: _Order) -> None:
        entries = [] if order is _Order.END else self.quarantine.take()
        if order is _Order.DISCARD and entries:
            self._discard(entries)
        if self._unrecorded:
            self._attempt(partial(self._unrecorded.record, self._store))  # or with the next order
        if order is _Order.RELEASE:
            for first in range(0, len(entries), GROUP):
                self._write(entries[first : first + GROUP])
            if self._unencoded:  # it came after all of these
                self._report_error(self._unencoded)
                self._unencoded = ""
        self._attempt(partial(self._ledgers.keep, self._store))
        self._obeyed += 1

    def _discard(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._metrics.dropped(entry.frame.camera, self._ledgers.drop(entry.frame, Reason.KNOWN_FACE))
        self._unrecorded.add(entries)
        log.warning("store: %d images discarded before they were stored: known face not found", len(entries))

    def _write(self, entries: list[Entry]) -> None:
        counted = [_with_counts(entry, self._metrics) for entry in entries]
        try:
            results = self._store.write(counted)
        except StoreError as error:
            self._drop(entries, str(error))
            return
        # As in _keep_back: this thread must not die.
        except Exception as error:
            self._drop(entries, f"{type(error).__name__}: {error}")
            return
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, StoreError):
                self._drop([entry], str(result), final=isinstance(result, UnstorableError))
            else:
                self._note_stored(entry, result)

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do something else than storing images; a failure is reported in the same way."""
        try:
            work()
        except StoreError as error:
            self._report_error(str(error))
        # As in _keep_back: this thread must not die.
        except Exception as error:
            self._report_error(f"{type(error).__name__}: {error}")

    def _note_stored(self, entry: Entry, path: Path) -> None:
        self._clear_error()
        frame = entry.frame
        self._ledgers.stored(frame)
        self.last_images[frame.camera] = path
        self._metrics.observe("write", self._store.write_seconds)
        self._metrics.written(
            frame.camera, frame.regions, entry.held, frame.covered, frame.utc_ns, frame.labels
        )

    def _drop(self, entries: list[Entry], text: str, *, final: bool = False) -> None:
        self._report_error(text)
        for entry in entries:
            reason = self._ledgers.drop(entry.frame, Reason.STORE_ERROR, final=final)
            self._metrics.dropped(entry.frame.camera, reason)

    def _clear_error(self) -> None:
        if self.error:
            log.info("store: works again")
        self.error, self.error_since = "", None

    def _report_error(self, text: str) -> None:
        if not self.error:
            log.error("store: %s", text)
            self.error_since = datetime.now(timezone.utc)
        self.error = text


def _next_job(jobs: queue.Queue[Entry | _Order], seconds: float) -> Entry | _Order | None:
    try:
        return jobs.get(timeout=seconds)
    except queue.Empty:
        return None


def _with_counts(entry: Entry, metrics: Metrics) -> Entry:
    camera = entry.frame.camera
    dropped = metrics.by_reason("frames_dropped", camera)
    covered_whole = metrics.by_reason("frames_covered_whole", camera)
    return replace(entry, dropped=dropped, covered_whole=covered_whole)


def counts_of(metrics: Metrics) -> dict[str, dict[str, object]]:
    """The totals of each camera, as they are recorded."""
    return {
        camera: {
            "captured": metrics.count("frames_captured", camera),
            "written": metrics.count("images_written", camera),
            "dropped": metrics.by_reason("frames_dropped", camera),
            "covered_whole": metrics.by_reason("frames_covered_whole", camera),
        }
        for camera in metrics.cameras
    }
