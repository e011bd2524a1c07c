"""The appliance at work: start, tick, stop.

A tick gives each camera's lane its turn (edge/daemon/camera_lane.py): capture thread -> detector -> hold ->
blur -> last look -> store thread. Between the frames it checks the known face and the load. Runs of the
detector may overlap; their results are used in the order of the frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from functools import partial

from edge.config import Config
from edge.daemon.camera_lane import CameraLane, Run
from edge.daemon.detector_threads import DetectorThreads
from edge.daemon.ledgers import ledgers_of
from edge.daemon.load import LoadControl, LoadLevel
from edge.daemon.shared import Shared
from edge.daemon.temperature import hottest
from edge.daemon.writer import Writer
from edge.detection.joint import AnyDetector, further_of, labels_of
from edge.detection.known_face import KnownFaces
from edge.errors import KnownFaceError
from edge.frames import RawFrame
from edge.reasons import Reason
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.images import ImageStore

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""Time for all sources together to end; one that hangs is abandoned."""
KNOWN_FACE_RETRY_SECONDS = 5.0
"""How often to check for the known face while the detector does not find it."""
TEMPERATURE_SECONDS = 2.0
"""How often to read the temperature."""
RECENT_SECONDS = 10.0
"""A camera without a detection for this long does not count towards the load."""


class Pipeline:
    """One detector (or several that are used like one), any number of cameras, one store.

    ``tick`` runs in the caller's thread; ``last_tick`` is the monotonic time at which the last tick ended,
    for whoever supervises it. ``known_face_error`` says why no frame is detected on; it is empty when the
    known face was found at the last check.
    """

    def __init__(
        self,
        config: Config,
        detector: AnyDetector,
        known_faces: KnownFaces,
        store: ImageStore,
        metrics: Metrics,
        sources: Sequence[Source],
        stop: threading.Event,
        runs_at_once: int = 1,
    ) -> None:
        """``stop`` ends the sources, which must have been given the same event. The detector must just have
        found the ``known_faces``. Up to ``runs_at_once`` runs of it overlap at ``LoadLevel.FULL``."""
        self.config = config
        self.detector = detector
        self.known_faces = known_faces
        self.store = store
        self.metrics = metrics
        self.last_tick = self.last_known_face = time.monotonic()
        self.known_face_error = ""
        self.ledgers = ledgers_of(sources, store.folder)
        self.writer = Writer(store, metrics, self.ledgers)
        self.load = LoadControl(config.load, config.store.interval_seconds)
        self.celsius = hottest()
        self._next_known_face = self.last_known_face + config.privacy.known_face_interval_seconds
        self._next_celsius = self.last_known_face + TEMPERATURE_SECONDS
        self._stop = stop
        self._ready = threading.Event()
        self._threads: DetectorThreads[Run] = DetectorThreads(runs_at_once, self._ready.set)
        shared = Shared(config, detector, metrics, self.writer, self.load, self.ledgers)
        self.lanes = {source.camera: CameraLane(source, shared, stop, self._ready) for source in sources}
        _prepare(metrics, detector, list(self.lanes))

    def start(self) -> None:
        """Start the store and the cameras. Files begin once the store is open, which has their positions."""
        self.writer.start()
        for lane in self.lanes.values():
            lane.reading.start()

    def tick(self, wait_seconds: float = 0.5) -> bool:
        """Detect on the newest frame of each camera, if any; wait at most ``wait_seconds`` for one.

        Runs of the detector that are not done by then are finished by a later tick. Returns False once no
        camera can deliver any more and every frame has been dealt with.
        """
        more = bool(self._threads) or any(
            not lane.reading.ends or lane.reading.must_wait(self._blocked) for lane in self.lanes.values()
        )
        self._ready.wait(wait_seconds if more and not self._threads.oldest_is_done else 0)
        self._ready.clear()
        self._check_known_face()
        self._check_load()
        busy = False
        for lane in self.lanes.values():
            lane.capture.supervise()
            if lane.give_back() or not lane.reading.ready(self._blocked):
                busy = True  # its frame is taken by a later tick
                continue
            at_end = lane.reading.at_end  # before a frame is taken: the last one comes before the end
            self._threads.make_room()  # before a frame is taken: a newer one may have arrived by then
            frame = lane.take()
            if frame is not None:
                busy = True
                self._process(lane, frame)
            elif at_end:
                self._flush(lane)
        # After new runs have begun, because finishing one may take as long as a run itself.
        if self._threads.oldest_is_done:
            self._threads.finish_oldest()
        self.last_tick = time.monotonic()
        return more or busy

    def _process(self, lane: CameraLane, frame: RawFrame) -> None:
        """Send a frame down its lane, or drop it where no frame or not this one is to be detected on."""
        blocked = self._blocked
        if blocked is not None:
            lane.drop(frame, blocked)
        elif lane.admit(frame, self._pause_seconds(time.monotonic())):
            level = self.load.level
            plan = lane.plan(frame)
            if plan is None:
                self._threads.finish_all()  # frames enter hold in their order
                lane.unplanned(frame)
                return
            finish = partial(lane.after_detection, frame, plan, level)
            self._threads.begin(partial(lane.detect, frame, plan), finish, alone=level != LoadLevel.FULL)

    def _flush(self, lane: CameraLane) -> None:
        """Finish what waits of a file, whose end comes when all of it is stored for good: so do that now."""
        self._threads.finish_all()
        lane.finish_waiting()
        lane.reading.flushed()
        self._check_known_face(now=True)

    @property
    def _blocked(self) -> Reason | None:
        """Why no frame at all is detected on; None when nothing stands in the way."""
        if self.known_face_error:
            return Reason.KNOWN_FACE
        if self.load.level == LoadLevel.STOPPED:
            return Reason.LOAD
        return None

    def stop(self) -> None:
        """Stop the cameras, finish the frames that wait in hold, and drain the store.

        Frames of a live camera that still wait for later ones are dropped, not stored, since a face may have
        been about to appear.
        """
        self._stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for lane in self.lanes.values():
            if lane.reading.begun and not lane.capture.join(max(0.0, deadline - time.monotonic())):
                log.warning("camera %s: its source hangs and is abandoned", lane.capture.camera)
        for lane in self.lanes.values():
            frame = lane.take()
            if frame is not None:
                self._process(lane, frame)
        self._threads.close()
        for lane in self.lanes.values():
            lane.finish_at_stop()
        self._check_known_face(now=True)
        self.writer.drain()
        self.last_tick = time.monotonic()

    def _check_known_face(self, *, now: bool = False) -> None:
        """Detect the known faces when it is time, when images or failed frames wait for it, and ``now``. All
        images that were handed over before are stored then, or discarded: every look at them ended before."""
        waiting = self.writer.needs_check or self.ledgers.in_doubt
        if time.monotonic() < self._next_known_face and not (now or waiting):
            return
        self._threads.finish_all()
        try:
            self.known_faces.check()
        # Whatever the cause: the detector has not been seen to work, and the tick must go on.
        except Exception as error:
            self._known_face_lost(error)
            return
        self.ledgers.judge(detector_works=True)
        self.writer.release()
        if self.known_face_error:
            log.info("the detector finds the known face again")
        self.known_face_error = ""
        self.last_known_face = time.monotonic()
        self._next_known_face = self.last_known_face + self.config.privacy.known_face_interval_seconds

    def _known_face_lost(self, error: Exception) -> None:
        if not self.known_face_error:
            log.error("%s; what was made since it was found is discarded, and nothing is stored now", error)
        self.known_face_error = str(error) if isinstance(error, KnownFaceError) else f"known face: {error!r}"
        self.ledgers.judge(detector_works=False)
        # Frames in hold, and all that a gate keeps, may have been looked at by a detector that was blind.
        for lane in self.lanes.values():
            lane.drop_waiting(Reason.KNOWN_FACE)
        self.writer.discard()
        self._next_known_face = time.monotonic() + KNOWN_FACE_RETRY_SECONDS

    def _check_load(self) -> None:
        """Change the load level when the box is too slow or too hot, or has recovered."""
        now = time.monotonic()
        if now >= self._next_celsius:
            self.celsius = hottest()
            self._next_celsius = now + TEMPERATURE_SECONDS
        before = self.load.level
        level = self.load.update(now, self._round_seconds(now), self.celsius)
        if level == before:
            return
        self._threads.finish_all()
        log.warning("load: %s%s", level.text, f" ({self.load.cause})" if self.load.cause else "")
        for lane in self.lanes.values():
            lane.forget_motion()
            if level == LoadLevel.STOPPED and not lane.reading.must_wait(self._blocked):
                lane.drop_waiting(Reason.LOAD)

    def _round_seconds(self, now: float) -> float:
        """How long one frame of each live camera takes, runs that overlap taken into account."""
        return _seconds_of(self.lanes.values(), now) / self._threads.runs_at_once

    def _pause_seconds(self, now: float) -> float:
        """How long a camera rests after a detection, so that the box is busy no longer than its load level
        allows."""
        return self._round_seconds(now) * (1 / self.load.level.busy_share - 1)

    @property
    def troubles(self) -> list[str]:
        """Why nothing is stored, whatever the cameras do; empty when all is well."""
        store = f"store: {self.writer.error}" if self.writer.error else ""
        stopped = self.load.level == LoadLevel.STOPPED
        load = f"{LoadLevel.STOPPED.text} ({self.load.cause})" if stopped else ""
        return [trouble for trouble in (self.known_face_error, store, load) if trouble]


def _seconds_of(lanes: Iterable[CameraLane], now: float) -> float:
    """How long one frame of each live camera takes that delivers any."""
    recent = (lane for lane in lanes if lane.live and now - lane.last_detection < RECENT_SECONDS)
    return sum(lane.seconds_per_frame for lane in recent)


def _prepare(metrics: Metrics, detector: AnyDetector, cameras: Sequence[str]) -> None:
    """Let all series begin: those of the detectors, and those of each camera."""
    session = detector.session
    metrics.set_detector(session.name, session.sha256, session.provider)
    for member in further_of(detector):
        session = member.detector.session
        metrics.add_detector(session.name, session.sha256, session.provider)
    for name in cameras:
        metrics.add_camera(name, labels_of(detector))
