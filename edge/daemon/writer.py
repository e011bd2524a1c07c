"""The store's own thread: a slow or full disk delays images, never detection."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from pathlib import Path

from edge.daemon.ledgers import Ledgers
from edge.errors import StoreError, UnstorableError
from edge.frames import AnonymizedFrame
from edge.reasons import Reason
from edge.status.metrics import Metrics
from edge.store.images import Entry, ImageStore
from edge.store.usage import Usage

log = logging.getLogger(__name__)

QUEUE_LENGTH = 8
"""Anonymized frames that may wait for the disk. A full queue blocks the tick, so that cameras drop frames."""
KEEP_SECONDS = 60.0
"""How often to remove what is too old, whether new images arrive or not."""
RETRY_SECONDS = 2.0
"""How often to try the store while it does not work and files wait for it."""
COUNTS_SECONDS = 3600.0
"""How often to record the counters, so that the record of a day without images shows why."""


class _Order(Enum):
    """An order in the queue; it is carried out after everything that was queued earlier."""

    VOUCH = "vouch"
    REVOKE = "revoke"
    END = "end"


class Writer:
    """Stores images; those that wait together are stored as one group.

    An image is provisional until the detector has found the known face after it: ``vouch`` makes all
    provisional images permanent, ``revoke`` removes them. Revoked images that cannot be removed are tried
    again whenever either is called.

    ``error`` says why the last operation of the store failed, ``error_since`` (UTC) since when there has been
    an error; it is empty when all is well, and the next image is tried in any case. ``opened`` says whether
    the store was ever opened, and so locked. ``last_images`` has the file of each camera's last stored image.
    """

    def __init__(self, store: ImageStore, metrics: Metrics, ledgers: Ledgers | None = None) -> None:
        """``ledgers`` hear what has become of each image, and are saved after the images."""
        self.opened = False
        self._ledgers = ledgers or Ledgers(store.folder, {})
        self.error = ""
        self.error_since: datetime | None = None
        self.last_images: dict[str, Path] = {}
        self._store = store
        self._metrics = metrics
        self._jobs: queue.Queue[Entry | _Order] = queue.Queue(QUEUE_LENGTH)
        self._provisional: list[Path] = []
        self._unsettled: list[AnonymizedFrame] = []  # of the provisional images
        self._revoked: list[Path] = []  # that could not be removed yet
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
        """Hand an image over; ``held`` is how many of its regions hold added, ``regrown`` and ``escalated``
        say what the last look changed (``edge.last_look.LastLook``). Waits while the queue is full."""
        self._jobs.put(Entry(frame, held, regrown, escalated))

    def vouch(self) -> None:
        """Keep all images that were handed over so far. Waits while the queue is full."""
        self._jobs.put(_Order.VOUCH)

    def revoke(self) -> None:
        """Remove all images that were handed over since the last ``vouch``. Waits while the queue is full."""
        self._jobs.put(_Order.REVOKE)

    def drain(self) -> None:
        """Store what waits, record the end of this run, and close the store."""
        self._jobs.put(_Order.END)
        self._thread.join()
        self.usage.stop()

    def _run(self) -> None:
        self._attempt(self._open)
        last_keep = last_counts = last_try = time.monotonic()
        order: _Order | None = None
        while order is not _Order.END:
            entries, order = _next_group(self._jobs, RETRY_SECONDS if self._retries else KEEP_SECONDS)
            if entries:
                self._write(entries)
            if order is not None:
                self._obey(order)
            now = time.monotonic()
            if self._retries and now - last_try >= RETRY_SECONDS:
                last_try = now
                self._attempt(self._try_out)
            if now - last_keep >= KEEP_SECONDS:
                last_keep = now
                self._attempt(self._store.keep)
            if now - last_counts >= COUNTS_SECONDS:
                last_counts = now
                self._attempt(lambda: self._store.record("counts", _counts(self._metrics)))
        self._attempt(lambda: self._store.record("stop", _counts(self._metrics)))
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

    def _settle(self, order: _Order) -> None:
        """Tell the ledgers what has become of the provisional images."""
        for frame in self._unsettled:
            if order is _Order.REVOKE:
                self._ledgers.give_back(frame, Reason.KNOWN_FACE)
            else:
                self._ledgers.stored(frame)
        self._unsettled = []
        self._attempt(partial(self._ledgers.keep, self._store))

    def _obey(self, order: _Order) -> None:
        self._settle(order)
        if order is _Order.REVOKE:
            self._revoked += self._provisional
            for path in self._provisional:
                self.last_images.pop(self._camera(path), None)
        if order is not _Order.END:
            self._provisional = []
        if self._revoked:
            self._attempt(self._remove_revoked)
        if self._revoked and order is _Order.END:
            log.error(
                "store: %d images of a detector gone blind cannot be removed: remove them, the first is %s",
                len(self._revoked),
                self._revoked[0],
            )

    def _remove_revoked(self) -> None:
        """Remove the revoked images. Raises StoreError when some of them cannot be removed."""
        failed = self._store.take_back(self._revoked)
        removed = [path for path in self._revoked if path not in failed]
        self._revoked = list(failed)
        for path in removed:
            self._metrics.revoked(self._camera(path))
        if removed:
            log.warning("store: %d images removed, because the detector had gone blind", len(removed))
        if failed:
            raise next(iter(failed.values()))
        self._clear_error()

    def _camera(self, path: Path) -> str:
        return path.relative_to(self._store.folder).parts[0]

    def _write(self, entries: list[Entry]) -> None:
        counted = [_with_counts(entry, self._metrics) for entry in entries]
        try:
            results = self._store.write(counted)
        except StoreError as error:
            self._drop(entries, str(error))
            return
        # This thread must not die: the tick would wait for it forever.
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
        # As in _write: this thread must not die.
        except Exception as error:
            self._report_error(f"{type(error).__name__}: {error}")

    def _note_stored(self, entry: Entry, path: Path) -> None:
        self._clear_error()
        frame = entry.frame
        self._provisional.append(path)
        self._unsettled.append(frame)
        self.last_images[frame.camera] = path
        self._metrics.observe("encode", self._store.encode_seconds)
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
        if self._revoked:  # the error is about these, although storing works
            return
        if self.error:
            log.info("store: works again")
        self.error, self.error_since = "", None

    def _report_error(self, text: str) -> None:
        if not self.error:
            log.error("store: %s", text)
            self.error_since = datetime.now(timezone.utc)
        self.error = text


def _with_counts(entry: Entry, metrics: Metrics) -> Entry:
    camera, by_reason = entry.frame.camera, metrics.by_reason
    return replace(
        entry,
        dropped=by_reason("frames_dropped", camera),
        covered_whole=by_reason("frames_covered_whole", camera),
    )


def _counts(metrics: Metrics) -> dict[str, dict[str, object]]:
    return {
        camera: {
            "captured": metrics.count("frames_captured", camera),
            "written": metrics.count("images_written", camera),
            "dropped": metrics.by_reason("frames_dropped", camera),
            "covered_whole": metrics.by_reason("frames_covered_whole", camera),
        }
        for camera in metrics.cameras
    }


def _next_group(jobs: queue.Queue[Entry | _Order], seconds: float) -> tuple[list[Entry], _Order | None]:
    """The images that wait in the queue, and the order that follows them, if any. Waits for
    the first, at most ``seconds``."""
    entries: list[Entry] = []
    try:
        job = jobs.get(timeout=seconds)
        while isinstance(job, Entry):
            entries.append(job)
            if len(entries) == QUEUE_LENGTH:
                return entries, None
            job = jobs.get_nowait()
    except queue.Empty:
        return entries, None
    return entries, job
