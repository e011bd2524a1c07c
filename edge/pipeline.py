"""The appliance at work: start, tick, stop.

capture threads -> (tick: detector -> hold -> blur) -> store thread. Whatever goes wrong with a frame
on its way, that frame is dropped, or covered all over where the configuration says so, and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge import blur
from edge.capture import Capture, age_seconds
from edge.config import Config
from edge.detector import Detections, Detector
from edge.errors import DetectionError, StoreError
from edge.frames import AnonymizedFrame, Pixels, RawFrame
from edge.hold import Held, Hold
from edge.reasons import Reason
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.images import ImageStore

log = logging.getLogger(__name__)

QUEUE_LENGTH = 8
"""Anonymized frames that may wait for the disk. A full queue slows the tick, so that cameras drop."""
JOIN_SECONDS = 5.0


@dataclass(eq=False)
class _Camera:
    capture: Capture
    hold: Hold
    seen: int = 0
    last_pixels: Pixels | None = None
    last_due: float = float("-inf")  # media seconds


@dataclass(frozen=True, eq=False)
class _Job:
    frame: AnonymizedFrame
    held: int


class Pipeline:
    """One detector, any number of cameras, one store.

    ``tick`` runs in the caller's thread; ``last_tick`` is the monotonic time at which the last one
    ended, for whoever watches.
    """

    def __init__(
        self,
        config: Config,
        detector: Detector,
        store: ImageStore,
        metrics: Metrics,
        sources: Sequence[Source],
        stop: threading.Event,
    ) -> None:
        """``stop`` ends the sources; the same event was given to them."""
        self.config = config
        self.detector = detector
        self.store = store
        self.metrics = metrics
        self.last_tick = time.monotonic()
        self.store_error = ""
        self._stop = stop
        self._ready = threading.Event()
        self._jobs: queue.Queue[_Job | None] = queue.Queue(QUEUE_LENGTH)
        self._writer = threading.Thread(target=self._write_all, name="store", daemon=True)
        self.cameras = {source.camera: self._camera(source) for source in sources}
        metrics.set_detector(detector.session.name, detector.session.sha256, detector.session.provider)
        for name in self.cameras:
            metrics.add_camera(name)

    def _camera(self, source: Source) -> _Camera:
        keep = source.continuous
        hold = Hold(
            self.config.blur.hold_before_frames if keep else 0,
            self.config.blur.hold_after_seconds if keep else 0,
            self.detector.score_begin,
        )
        return _Camera(Capture(source, self._stop, self._ready, self.metrics.dropped), hold)

    def start(self) -> None:
        """Start the store and the cameras."""
        self._writer.start()
        for camera in self.cameras.values():
            camera.capture.start()

    def tick(self, wait_seconds: float = 0.5) -> bool:
        """Look at the newest frame of each camera, if any; wait for one at most ``wait_seconds``.

        Returns False once no camera can deliver any more and everything has been looked at.
        """
        more = any(camera.capture.alive for camera in self.cameras.values())
        self._ready.wait(wait_seconds if more else 0)
        self._ready.clear()
        took = False
        for camera in self.cameras.values():
            frame = camera.capture.slot.take()
            self._count_captured(camera)
            if frame is not None:
                took = True
                self._look(camera, frame)
        self.last_tick = time.monotonic()
        return more or took

    def stop(self) -> None:
        """Stop the cameras, send off the frames that wait in the delay lines, and drain the store.

        Frames of a live camera that still wait for those after them are dropped, not stored: nobody
        will know whether a face had come into view.
        """
        self._stop.set()
        for camera in self.cameras.values():
            if not camera.capture.join(JOIN_SECONDS):
                log.warning("camera %s: its source hangs and is left behind", camera.capture.camera)
        for camera in self.cameras.values():
            frame = camera.capture.slot.take()
            self._count_captured(camera)
            if frame is not None:
                self._look(camera, frame)
            self._send(camera, camera.hold.flush())
        self._jobs.put(None)
        self._writer.join()
        self.last_tick = time.monotonic()

    def _count_captured(self, camera: _Camera) -> None:
        captured = camera.capture.captured
        self.metrics.captured(camera.capture.camera, captured - camera.seen)
        camera.seen = captured

    def _look(self, camera: _Camera, frame: RawFrame) -> None:
        """One frame: check, detect, hold, and send off what is due."""
        problem = self._unusable(camera, frame)
        if problem is not None:
            self._drop(frame, problem)
            return
        found: Detections | None = None
        try:
            with self.metrics.timed("detect"):
                found = self.detector.detect(frame.pixels)
        except DetectionError as error:
            self._failed(frame, Reason(error.reason), error)
        # Whatever else goes wrong, this frame was not looked at; that is all that matters here.
        except Exception as error:
            self._failed(frame, Reason.DETECTOR_ERROR, error)
        if found is None and self.config.privacy.on_failure == "drop":
            return
        try:
            with self.metrics.timed("hold"):
                due = camera.hold.push(frame, found)
        # The regions can no longer be trusted, so neither can the frames that wait with them.
        except Exception as error:
            log.warning("camera %s: hold: %s: %s", frame.camera, type(error).__name__, error)
            for lost in [*(waiting.frame for waiting in camera.hold.flush()), frame]:
                self._drop(lost, Reason.HOLD_ERROR)
            return
        self._send(camera, due)

    def _unusable(self, camera: _Camera, frame: RawFrame) -> Reason | None:
        if not camera.capture.source.live:
            return None
        if age_seconds(frame) > self.config.privacy.max_frame_age_seconds:
            return Reason.STALE
        last, camera.last_pixels = camera.last_pixels, frame.pixels
        if last is not None and np.array_equal(last, frame.pixels):
            return Reason.REPEATED
        return None

    def _failed(self, frame: RawFrame, reason: Reason, error: Exception) -> None:
        log.warning("camera %s: frame %d: %s: %s", frame.camera, frame.number, reason.value, error)
        if self.config.privacy.on_failure == "drop":
            self._drop(frame, reason)
        else:
            self.metrics.covered_whole(frame.camera, reason)

    def _drop(self, frame: RawFrame, reason: Reason) -> None:
        self.metrics.dropped(frame.camera, reason)

    def _send(self, camera: _Camera, due: list[Held]) -> None:
        """Anonymize the frames that are due and hand them to the store."""
        interval = self.config.store.interval_seconds
        for held in due:
            if camera.capture.source.live and not held.sure:
                self._drop(held.frame, Reason.NO_LOOKAHEAD)
                continue
            media = held.frame.media_seconds
            if 0 <= media - camera.last_due < interval:
                self._drop(held.frame, Reason.NOT_DUE)
                continue
            try:
                with self.metrics.timed("blur"):
                    if held.whole:
                        safe = blur.cover_whole(held.frame)
                    else:
                        safe = blur.anonymize(held.frame, held.boxes, self.config.blur)
            # Not covered means not stored, whatever the cause.
            except Exception as error:
                log.warning("camera %s: blur: %s: %s", held.frame.camera, type(error).__name__, error)
                self._drop(held.frame, Reason.BLUR_ERROR)
                continue
            camera.last_due = media
            self._jobs.put(_Job(safe, len(held.held)))

    def _write_all(self) -> None:
        """The store's thread."""
        while (job := self._jobs.get()) is not None:
            frame = job.frame
            try:
                self.store.write(frame)
            except StoreError as error:
                if not self.store_error:
                    log.error("store: %s", error)
                self.store_error = str(error)
                self.metrics.dropped(frame.camera, Reason.STORE_ERROR)
            # The store's thread must not die: the tick would wait for it for ever.
            except Exception as error:
                log.error("store: %s: %s", type(error).__name__, error)
                self.store_error = f"{type(error).__name__}: {error}"
                self.metrics.dropped(frame.camera, Reason.STORE_ERROR)
            else:
                if self.store_error:
                    log.info("store: works again")
                self.store_error = ""
                self.metrics.observe("encode", self.store.encode_seconds)
                self.metrics.observe("write", self.store.write_seconds)
                self.metrics.written(frame.camera, frame.regions, job.held, frame.utc_ns)
