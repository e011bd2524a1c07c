"""The store's own thread: a slow or full disk delays images, never the looking for faces."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge.errors import StoreError
from edge.frames import AnonymizedFrame
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.images import ImageStore
from edge.store.usage import Usage

log = logging.getLogger(__name__)

QUEUE_LENGTH = 8
"""Anonymized frames that may wait for the disk. A full queue slows the tick, so that cameras drop."""


@dataclass(frozen=True, eq=False)
class _Job:
    frame: AnonymizedFrame
    held: int


class Writer:
    """Stores images one after the other.

    ``error`` says why the last image could not be stored, since ``error_since`` (UTC); it is empty when
    all is well, and the next image is tried in any case. ``last_images`` has the file of each camera's
    last stored image, ``usage`` the size of all images.
    """

    def __init__(self, store: ImageStore, metrics: Metrics) -> None:
        self.error = ""
        self.error_since: datetime | None = None
        self.last_images: dict[str, Path] = {}
        self.usage = Usage(store.folder)
        self._store = store
        self._metrics = metrics
        self._jobs: queue.Queue[_Job | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self.usage.start()
        self._thread.start()

    def put(self, frame: AnonymizedFrame, held: int) -> None:
        """Hand an image over; ``held`` of its regions were added by hold. Waits while the queue is full."""
        self._jobs.put(_Job(frame, held))

    def drain(self) -> None:
        """Store what waits, and end."""
        self._jobs.put(None)
        self._thread.join()
        self.usage.stop()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            frame = job.frame
            try:
                path = self._store.write(frame)
            except StoreError as error:
                self._failed(frame, str(error))
            # This thread must not die: the tick would wait for it for ever.
            except Exception as error:
                self._failed(frame, f"{type(error).__name__}: {error}")
            else:
                if self.error:
                    log.info("store: works again")
                self.error, self.error_since = "", None
                self.last_images[frame.camera] = path
                self.usage.add(self._store.size_bytes)
                self._metrics.observe("encode", self._store.encode_seconds)
                self._metrics.observe("write", self._store.write_seconds)
                self._metrics.written(frame.camera, frame.regions, job.held, frame.utc_ns)

    def _failed(self, frame: AnonymizedFrame, text: str) -> None:
        if not self.error:
            log.error("store: %s", text)
            self.error_since = datetime.now(timezone.utc)
        self.error = text
        self._metrics.dropped(frame.camera, Reason.STORE_ERROR)
