"""The store's own thread: a slow or full disk delays images, never the looking for faces."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
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


class _Order(Enum):
    """What waits in the queue among the images, and is done after all that came before."""

    VOUCH = "vouch"
    REVOKE = "revoke"
    END = "end"


class Writer:
    """Stores images, those that wait together as one group.

    An image is provisional until the detector has found the known face after it: ``vouch`` and ``revoke`` say
    what came of that. What is revoked and cannot be removed is tried again at the next of either.

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
        self._jobs: queue.Queue[Entry | _Order] = queue.Queue(QUEUE_LENGTH)
        self._provisional: list[Path] = []
        self._revoked: list[Path] = []  # and still there
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

    def vouch(self) -> None:
        """All images handed over so far may stay. Waits while the queue is full."""
        self._jobs.put(_Order.VOUCH)

    def revoke(self) -> None:
        """Remove all images that were handed over since ``vouch``. Waits while the queue is full."""
        self._jobs.put(_Order.REVOKE)

    def drain(self) -> None:
        """Store what waits, put the end on record, and give the store back."""
        self._jobs.put(_Order.END)
        self._thread.join()
        self.usage.stop()

    def _run(self) -> None:
        self._guard(self._store.open)
        kept = counted = time.monotonic()
        order: _Order | None = None
        while order is not _Order.END:
            entries, order = self._take()
            if entries:
                self._write(entries)
            if order is not None:
                self._obey(order)
            now = time.monotonic()
            if now - kept >= KEEP_SECONDS:
                kept = now
                self._guard(self._store.keep)
            if now - counted >= COUNTS_SECONDS:
                counted = now
                self._guard(lambda: self._store.record("counts", self._counts()))
        self._guard(lambda: self._store.record("stop", self._counts()))
        self._store.close()

    def _take(self) -> tuple[list[Entry], _Order | None]:
        """What waits, after waiting a while for it: images, and the order that follows them, if any."""
        entries: list[Entry] = []
        try:
            job = self._jobs.get(timeout=KEEP_SECONDS)
            while isinstance(job, Entry):
                entries.append(job)
                if len(entries) == QUEUE_LENGTH:
                    return entries, None
                job = self._jobs.get_nowait()
        except queue.Empty:
            return entries, None
        return entries, job

    def _obey(self, order: _Order) -> None:
        if order is _Order.REVOKE:
            self._revoked += self._provisional
            for path in self._provisional:
                self.last_images.pop(self._camera(path), None)
        if order is not _Order.END:
            self._provisional = []
        if self._revoked:
            self._guard(self._remove_revoked)
        if self._revoked and order is _Order.END:
            log.error(
                "store: %d images of a detector gone blind cannot be removed, the first is %s; remove them",
                len(self._revoked),
                self._revoked[0],
            )

    def _remove_revoked(self) -> None:
        """Remove what was revoked. Raises StoreError: not all of it could be removed."""
        failed = self._store.take_back(self._revoked)
        removed = [path for path in self._revoked if path not in failed]
        self._revoked = list(failed)
        for path in removed:
            self._metrics.revoked(self._camera(path))
        if removed:
            log.warning("store: %d images removed, since the detector had gone blind", len(removed))
        if failed:
            raise next(iter(failed.values()))
        self._works()

    def _camera(self, path: Path) -> str:
        return path.relative_to(self._store.folder).parts[0]

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
        self._works()
        frame = entry.frame
        self._provisional.append(path)
        self.last_images[frame.camera] = path
        self._metrics.observe("encode", self._store.encode_seconds)
        self._metrics.observe("write", self._store.write_seconds)
        self._metrics.written(frame.camera, frame.regions, entry.held, frame.covered, frame.utc_ns)

    def _failed(self, entries: list[Entry], text: str) -> None:
        self._say(text)
        for entry in entries:
            self._metrics.dropped(entry.frame.camera, Reason.STORE_ERROR)

    def _works(self) -> None:
        if self._revoked:  # one image could be stored, and yet some cannot be removed
            return
        if self.error:
            log.info("store: works again")
        self.error, self.error_since = "", None

    def _say(self, text: str) -> None:
        if not self.error:
            log.error("store: %s", text)
            self.error_since = datetime.now(timezone.utc)
        self.error = text
