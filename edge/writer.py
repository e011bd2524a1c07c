"""The store's own thread: a slow or full disk delays images, never the looking for faces."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from edge.errors import StoreError
from edge.frames import AnonymizedFrame
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.images import Entry, ImageStore
from edge.store.usage import Usage

log = logging.getLogger(__name__)

QUEUE_LENGTH = 8
"""Anonymized frames that may wait for the disk. A full queue slows the tick, so that cameras drop."""
KEEP_SECONDS = 60.0
"""How often to remove what is too old, images or not."""
COUNTS_SECONDS = 3600.0
"""How often the counters go on record, so that a day on which nothing was stored shows why."""


class Writer:
    """Stores images, those that wait together as one group.

    ``error`` says why the last image could not be stored, since ``error_since`` (UTC); it is empty when
    all is well, and the next image is tried in any case. ``last_images`` has the file of each camera's
    last stored image.
    """

    def __init__(self, store: ImageStore, metrics: Metrics) -> None:
        self.error = ""
        self.error_since: datetime | None = None
        self.last_images: dict[str, Path] = {}
        self._store = store
        self._metrics = metrics
        self._jobs: queue.Queue[Entry | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def usage(self) -> Usage:
        """Size and number of all images."""
        return self._store.usage

    def start(self) -> None:
        self.usage.start()
        self._thread.start()

    def put(
        self, frame: AnonymizedFrame, held: int, *, regrown: bool = False, escalated: bool = False
    ) -> None:
        """Hand an image over; ``held`` of its regions were added by hold, and the last look made it cover
        more (``regrown``) or all (``escalated``). Waits while the queue is full."""
        self._jobs.put(Entry(frame, held, regrown, escalated))

    def drain(self) -> None:
        """Store what waits, put the end on record, and give the store back."""
        self._jobs.put(None)
        self._thread.join()
        self.usage.stop()

    def _run(self) -> None:
        self._guard(self._store.open)
        kept = counted = time.monotonic()
        more = True
        while more:
            entries, more = self._take()
            if entries:
                self._write(entries)
            now = time.monotonic()
            if now - kept >= KEEP_SECONDS:
                kept = now
                self._guard(self._store.keep)
            if now - counted >= COUNTS_SECONDS:
                counted = now
                self._guard(lambda: self._store.record("counts", self._counts()))
        self._guard(lambda: self._store.record("stop", self._counts()))
        self._store.close()

    def _take(self) -> tuple[list[Entry], bool]:
        """What waits, after waiting a while for it, and whether more may come."""
        entries: list[Entry] = []
        try:
            job = self._jobs.get(timeout=KEEP_SECONDS)
            while job is not None:
                entries.append(job)
                if len(entries) == QUEUE_LENGTH:
                    return entries, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            return entries, True
        return entries, False

    def _write(self, entries: list[Entry]) -> None:
        told = [self._with_counts(entry) for entry in entries]
        try:
            results = self._store.write(told)
        except StoreError as error:
            self._failed(entries, str(error))
            return
        # This thread must not die: the tick would wait for it for ever.
        except Exception as error:
            self._failed(entries, f"{type(error).__name__}: {error}")
            return
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, StoreError):
                self._failed([entry], str(result))
            else:
                self._stored(entry, result)

    def _with_counts(self, entry: Entry) -> Entry:
        camera = entry.frame.camera
        by_reason = self._metrics.by_reason
        return replace(
            entry,
            dropped=by_reason("frames_dropped", camera),
            covered_whole=by_reason("frames_covered_whole", camera),
        )

    def _counts(self) -> dict[str, dict[str, object]]:
        by_reason = self._metrics.by_reason
        return {
            camera: {
                "captured": self._metrics.count("frames_captured", camera),
                "written": self._metrics.count("images_written", camera),
                "dropped": by_reason("frames_dropped", camera),
                "covered_whole": by_reason("frames_covered_whole", camera),
            }
            for camera in self._metrics.cameras
        }

    def _guard(self, work: Callable[[], None]) -> None:
        """Do something for the store that is no image; a failure is said like that of one."""
        try:
            work()
        except StoreError as error:
            self._say(str(error))
        # As above.
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}")

    def _stored(self, entry: Entry, path: Path) -> None:
        if self.error:
            log.info("store: works again")
        self.error, self.error_since = "", None
        frame = entry.frame
        self.last_images[frame.camera] = path
        self._metrics.observe("encode", self._store.encode_seconds)
        self._metrics.observe("write", self._store.write_seconds)
        self._metrics.written(frame.camera, frame.regions, entry.held, frame.covered, frame.utc_ns)

    def _failed(self, entries: list[Entry], text: str) -> None:
        self._say(text)
        for entry in entries:
            self._metrics.dropped(entry.frame.camera, Reason.STORE_ERROR)

    def _say(self, text: str) -> None:
        if not self.error:
            log.error("store: %s", text)
            self.error_since = datetime.now(timezone.utc)
        self.error = text
