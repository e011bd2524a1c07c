"""The appliance at work: start, tick, stop.

capture threads -> (tick: detector -> hold -> blur -> last_look) -> store thread. The detector may look at two
frames at a time; what it found goes on in the order of the frames. Whatever goes wrong with a frame on its
way, that frame is dropped, or covered all over where the configuration says so, and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from edge import blur
from edge.boxes import Floats
from edge.config import Config
from edge.daemon.detector_threads import Looks
from edge.daemon.load import LoadControl, LoadLevel
from edge.daemon.temperature import hottest
from edge.daemon.writer import Writer
from edge.detection import known_face
from edge.detection.detector import Detections, Detector
from edge.detection.motion import Motion
from edge.detection.visibility import problem
from edge.errors import DetectionError, KnownFaceError
from edge.frames import AnonymizedFrame, RawFrame
from edge.hold import Held, Hold
from edge.last_look import LastLook, last_look
from edge.reasons import Reason
from edge.sources import Source
from edge.sources.capture import Capture, age_seconds
from edge.status.metrics import Metrics
from edge.store.images import ImageStore

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""Time for all sources together to end; one that hangs is left behind."""
KNOWN_FACE_RETRY_SECONDS = 5.0
"""How often to look for the known face while the detector does not find it."""
TEMPERATURE_SECONDS = 2.0
RECENT_SECONDS = 10.0
"""A camera that gave no frame for so long does not count in the load."""


@dataclass(eq=False)
class _Camera:
    capture: Capture
    hold: Hold
    zones: blur.Zones
    motion: Motion = field(default_factory=Motion)
    seen: int = 0
    last_due: float = float("-inf")  # media seconds
    looked: float = float("-inf")  # monotonic
    work_seconds: float = 0.0
    images: int = 0
    half_looked: int = -1
    """Number of the newest frame that was looked at without its tiles."""


class Pipeline:
    """One detector, any number of cameras, one store.

    ``tick`` runs in the caller's thread; ``last_tick`` is the monotonic time at which the last one
    ended, for whoever watches. ``known_face_error`` says why nothing is looked at; it is empty when all is
    well.
    """

    def __init__(
        self,
        config: Config,
        detector: Detector,
        store: ImageStore,
        metrics: Metrics,
        sources: Sequence[Source],
        stop: threading.Event,
        at_once: int = 1,
    ) -> None:
        """``stop`` ends the sources; the same event was given to them. The detector has just found
        the known face, and looks at ``at_once`` frames at a time while the box has no trouble with its
        load."""
        self.config = config
        self.detector = detector
        self.store = store
        self.metrics = metrics
        self.last_tick = self.last_known_face = time.monotonic()
        self.known_face_error = ""
        self.writer = Writer(store, metrics)
        self.load = LoadControl(config.load, config.store.interval_seconds, detector.looks)
        self.celsius = hottest()
        self._next_known_face = self.last_known_face + config.privacy.known_face_interval_seconds
        self._next_celsius = self.last_known_face + TEMPERATURE_SECONDS
        self._stop = stop
        self._ready = threading.Event()
        self._looks: Looks[tuple[Detections | None, float]] = Looks(at_once, self._ready.set)
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
        capture = Capture(source, self._stop, self._ready, self.metrics.dropped)
        return _Camera(capture, hold, source.config.privacy_zones)

    def start(self) -> None:
        """Start the store and the cameras."""
        self.writer.start()
        for camera in self.cameras.values():
            camera.capture.start()

    def tick(self, wait_seconds: float = 0.5) -> bool:
        """Look at the newest frame of each camera, if any; wait for one at most ``wait_seconds``.

        Looks that have not ended by then go on, and are finished by a later tick. Returns False once no
        camera can deliver any more and everything has been looked at.
        """
        more = bool(self._looks) or any(
            camera.capture.alive or self._holds_back(camera) for camera in self.cameras.values()
        )
        self._ready.wait(wait_seconds if more and not self._looks.ended else 0)
        self._ready.clear()
        self._check_known_face()
        self._check_load()
        took = False
        for camera in self.cameras.values():
            camera.capture.supervise()
            camera.capture.slot.held = self._holds_back(camera)
            if camera.capture.slot.held:
                took = True  # later
                continue
            # First, since a newer frame may have come by then.
            self._looks.finish(but=self._looks.at_once - 1)
            frame = camera.capture.slot.take()
            self._count_captured(camera)
            if frame is not None:
                took = True
                self._look(camera, frame)
        # Not before the next ones have begun: what follows may take as long as a look itself.
        if self._looks.ended:
            self._looks.finish(but=len(self._looks) - 1)
        self.last_tick = time.monotonic()
        return more or took

    @property
    def troubles(self) -> list[str]:
        """Why nothing is stored, whatever the cameras do; empty when all is well."""
        troubles = [self.known_face_error] if self.known_face_error else []
        if self.writer.error:
            troubles.append(f"store: {self.writer.error}")
        if self.load.level == LoadLevel.STOPPED:
            troubles.append(f"{LoadLevel.STOPPED.text} ({self.load.cause})")
        return troubles

    def stop(self) -> None:
        """Stop the cameras, send off the frames that wait in the delay lines, and drain the store.

        Frames of a live camera that still wait for those after them are dropped, not stored: nobody
        will know whether a face had come into view.
        """
        self._stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for camera in self.cameras.values():
            if not camera.capture.join(max(0.0, deadline - time.monotonic())):
                log.warning("camera %s: its source hangs and is left behind", camera.capture.camera)
        for camera in self.cameras.values():
            frame = camera.capture.slot.take()
            self._count_captured(camera)
            if frame is not None:
                self._look(camera, frame)
        self._looks.close()
        self._check_known_face(last=True)
        for camera in self.cameras.values():
            self._send(camera, camera.hold.flush())
        self.writer.drain()
        self.last_tick = time.monotonic()

    def _count_captured(self, camera: _Camera) -> None:
        captured = camera.capture.captured
        self.metrics.captured(camera.capture.camera, captured - camera.seen)
        camera.seen = captured

    def _check_known_face(self, *, last: bool = False) -> None:
        """Look for the known face when it is time, and at ``last``, on the same session and path as camera
        frames. Images stored since it was found are removed when it is not."""
        if time.monotonic() < self._next_known_face and not last:
            return
        self._looks.finish()
        try:
            known_face.check(self.detector)
        # Whatever the cause: the detector has not been seen to work, and the tick must go on.
        except Exception as error:
            if not self.known_face_error:
                log.error("%s; images stored since it last did are removed, no more are until it does", error)
            self.known_face_error = (
                str(error) if isinstance(error, KnownFaceError) else f"known face: {error!r}"
            )
            # What waits, and what was stored, was detected since the last time that the detector was right.
            for camera in self.cameras.values():
                self._drop_waiting(camera, Reason.KNOWN_FACE)
            self.writer.revoke()
            self._next_known_face = time.monotonic() + KNOWN_FACE_RETRY_SECONDS
            return
        self.writer.vouch()
        if self.known_face_error:
            log.info("the detector finds the known face again")
        self.known_face_error = ""
        self.last_known_face = time.monotonic()
        self._next_known_face = self.last_known_face + self.config.privacy.known_face_interval_seconds

    def _check_load(self) -> None:
        """Step down when the box is too slow or too hot, and up again."""
        now = time.monotonic()
        if now >= self._next_celsius:
            self.celsius = hottest()
            self._next_celsius = now + TEMPERATURE_SECONDS
        before = self.load.level
        level = self.load.update(now, self._round_seconds(now), self.celsius)
        if level == before:
            return
        self._looks.finish()
        log.warning("load: %s%s", level.text, f" ({self.load.cause})" if self.load.cause else "")
        for camera in self.cameras.values():
            camera.motion.forget()
            if level == LoadLevel.STOPPED and not self._holds_back(camera):
                self._drop_waiting(camera, Reason.LOAD)

    def _round_seconds(self, now: float) -> float:
        """Time that one look at every live camera takes."""
        return sum(
            camera.work_seconds
            for camera in self.cameras.values()
            if camera.capture.source.live and now - camera.looked < RECENT_SECONDS
        )

    def _pause_seconds(self, now: float) -> float:
        """How long a camera rests after a look, so that the box is busy no longer than its level says."""
        return self._round_seconds(now) * (1 / self.load.level.busy_share - 1)

    def _holds_back(self, camera: _Camera) -> bool:
        """Whether a file or folder has to wait, so that nothing of it is lost while nothing is looked at."""
        stopped = self.load.level == LoadLevel.STOPPED or self.known_face_error != ""
        return stopped and not camera.capture.source.live

    def _may_look(self, camera: _Camera, frame: RawFrame, now: float) -> bool:
        """Whether to look at this frame at all; if not, it is counted."""
        reason: Reason | None = None
        level = self.load.level
        if self.known_face_error:
            reason = Reason.KNOWN_FACE
        elif level == LoadLevel.STOPPED:
            reason = Reason.LOAD
        elif camera.capture.source.live:
            if now - camera.looked < self._pause_seconds(now):
                reason = Reason.LOAD
            elif age_seconds(frame) > self.config.privacy.max_frame_age_seconds:
                reason = Reason.STALE
        if reason is not None:
            self._drop(frame, reason)
        return reason is None

    def _look(self, camera: _Camera, frame: RawFrame) -> None:
        """One frame: check and detect, and when that has ended, hold, and send off what is due."""
        level = self.load.level
        if self._may_look(camera, frame, time.monotonic()):
            detect = partial(self._timed_detect, camera, frame, level)
            self._looks.begin(detect, partial(self._found, camera, frame), alone=level != LoadLevel.FULL)

    def _timed_detect(
        self, camera: _Camera, frame: RawFrame, level: LoadLevel
    ) -> tuple[Detections | None, float]:
        begin = time.monotonic()
        return self._detect(camera, frame, level), time.monotonic() - begin

    def _found(self, camera: _Camera, frame: RawFrame, answer: tuple[Detections | None, float]) -> None:
        """The look at a frame has ended."""
        found, seconds = answer
        begin = time.monotonic()
        self._take_in(camera, frame, found)
        camera.looked = time.monotonic()
        # So many overlap.
        camera.work_seconds = (seconds + camera.looked - begin) / self._looks.at_once

    def _take_in(self, camera: _Camera, frame: RawFrame, found: Detections | None) -> None:
        """Hold, and send off what is due."""
        if found is None and self.config.privacy.on_failure == "drop":
            return
        try:
            with self.metrics.timed("hold"):
                due = camera.hold.push(frame, found)
        # The regions can no longer be trusted, so neither can the frames that wait with them.
        except Exception as error:
            log.warning("camera %s: hold: %s: %s", frame.camera, type(error).__name__, error)
            self._drop_waiting(camera, Reason.HOLD_ERROR)
            self._drop(frame, Reason.HOLD_ERROR)
            return
        self._send(camera, due)

    def _detect(self, camera: _Camera, frame: RawFrame, level: LoadLevel) -> Detections | None:
        """Faces of a frame, or None, and counted, when nobody can tell. At ``FULL`` in any thread."""
        try:
            with self.metrics.timed("detect"):
                unsure = problem(frame.pixels) if self.config.privacy.check_visibility else None
                if unsure is not None:
                    self._failed(frame, unsure)
                    return None
                if level < LoadLevel.NO_TILES:
                    return self.detector.detect(frame.pixels)
                camera.half_looked = frame.number
                found = self.detector.detect(frame.pixels, tiles=False)
                return self._with_motion(camera, frame, found) if level == LoadLevel.MOTION_MASK else found
        except DetectionError as error:
            log.warning("camera %s: frame %d: %s: %s", frame.camera, frame.number, error.reason, error)
            self._failed(frame, Reason(error.reason))
            return None
        # Whatever else goes wrong, this frame was not looked at; that is all that matters here.
        except Exception as error:
            log.warning(
                "camera %s: frame %d: %s: %s", frame.camera, frame.number, type(error).__name__, error
            )
            self._failed(frame, Reason.DETECTOR_ERROR)
            return None

    def _with_motion(self, camera: _Camera, frame: RawFrame, found: Detections) -> Detections | None:
        """What moves in addition to what was found; None, and counted, without a frame to compare with."""
        moving = camera.motion.boxes(frame.pixels)
        if moving is None:
            self._failed(frame, Reason.LOAD)
            return None
        scores = np.concatenate([np.ones(len(moving), np.float32), found.scores])
        return Detections(np.concatenate([moving, found.boxes]), scores)

    def _failed(self, frame: RawFrame, reason: Reason) -> None:
        """A frame that could not be looked at is dropped, or will be covered whole; count it."""
        if self.config.privacy.on_failure == "drop":
            self._drop(frame, reason)
        else:
            self.metrics.covered_whole(frame.camera, reason)

    def _drop(self, frame: RawFrame, reason: Reason) -> None:
        self.metrics.dropped(frame.camera, reason)

    def _drop_waiting(self, camera: _Camera, reason: Reason) -> None:
        for waiting in camera.hold.flush():
            self._drop(waiting.frame, reason)

    def _send(self, camera: _Camera, due: list[Held]) -> None:
        """Anonymize the frames that are due and hand them to the store."""
        interval = self.config.store.interval_seconds * self.load.level.interval_factor
        for held in due:
            if camera.capture.source.live and not held.has_lookahead:
                self._drop(held.frame, Reason.NO_LOOKAHEAD)
                continue
            media = held.frame.media_seconds
            if 0 <= media - camera.last_due < interval:
                if not held.whole:
                    self.metrics.checked(held.frame.camera)
                self._drop(held.frame, Reason.NOT_DUE)
                continue
            last = self._anonymize(camera, held)
            if last is not None:
                safe = last.frame
                camera.last_due = media
                if not safe.whole:
                    self.metrics.checked(held.frame.camera)
                # A held box outside the frame is no region, and a frame that is covered whole has none.
                added = min(len(held.held), safe.regions)
                self.writer.put(safe, added, regrown=last.regrown, escalated=last.escalated)

    def _anonymize(self, camera: _Camera, held: Held) -> LastLook | None:
        """Cover what must be covered, and look once more; None, and counted, when that fails."""
        frame, config = held.frame, self.config
        safe = self._cover(frame, None if held.whole else held.boxes, camera.zones)
        if safe is None:
            return None
        if safe.whole or not self._looks_again(camera, safe):
            return LastLook(safe)
        try:
            with self.metrics.timed("last_look"):
                last = last_look(frame, safe, held.boxes, self.detector, config.blur, camera.zones)
        # Not looked at again means not stored, whatever the cause.
        except Exception as error:
            log.warning("camera %s: last_look: %s: %s", frame.camera, type(error).__name__, error)
            reason = Reason(error.reason) if isinstance(error, DetectionError) else Reason.DETECTOR_ERROR
            self._failed(frame, reason)
            whole = self._cover(frame, None, ()) if config.privacy.on_failure == "cover" else None
            return None if whole is None else LastLook(whole)
        if last.regrown:
            self.metrics.regrown(frame.camera)
        if last.escalated:
            self.metrics.escalated(frame.camera)
            self.metrics.covered_whole(frame.camera, Reason.ESCALATED)
        return last

    def _looks_again(self, camera: _Camera, safe: AnonymizedFrame) -> bool:
        """Whether this image gets a last look; counts it."""
        privacy = self.config.privacy
        camera.images += 1
        if privacy.last_look == "covered":
            # With nothing covered it is, to the pixel, what the detector has searched with this result.
            return safe.covered > 0 or safe.number <= camera.half_looked
        every = {"always": 1, "sampled": privacy.last_look_every_images, "off": 0}[privacy.last_look]
        return every > 0 and (camera.images - 1) % every == 0

    def _cover(self, frame: RawFrame, boxes: Floats | None, zones: blur.Zones) -> AnonymizedFrame | None:
        """Cover these boxes and the zones, or all of the frame; None, and counted, when that fails."""
        try:
            with self.metrics.timed("blur"):
                if boxes is None:
                    return blur.cover_whole(frame)
                return blur.anonymize(frame, boxes, self.config.blur, zones)
        # Not covered means not stored, whatever the cause.
        except Exception as error:
            log.warning("camera %s: blur: %s: %s", frame.camera, type(error).__name__, error)
            self._drop(frame, Reason.BLUR_ERROR)
            return None
