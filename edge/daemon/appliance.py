"""The parts of the appliance, made and checked before the first frame, and their order of start and stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType

from edge import notify
from edge.config import Config
from edge.daemon.detector_threads import open_daemon_detectors
from edge.daemon.opening import OPENING_SECONDS, Opening, until_stopped
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.daemon.recorded_settings import settings_of
from edge.detection import known_face
from edge.detection.joint import AnyDetector, further_of
from edge.detection.known_face import KnownFaces
from edge.detection.views import smallest_face_of
from edge.mqtt import MqttReporter
from edge.sources import Source
from edge.status.app import create_app
from edge.status.metrics import Metrics
from edge.status.schema import Status
from edge.status.server import StatusServer
from edge.store.durable import make_folder
from edge.store.images import ImageStore
from edge.store.place import check_mounted

log = logging.getLogger(__name__)


class Appliance:
    """Detector, pipeline and status endpoint of one process. Use it as a context manager.

    The constructor binds the endpoint. Entering the context serves it, opens and checks the detector, which
    may take minutes, detects the known face, makes the store's folder, and starts the cameras. If any of this
    fails, it raises an EdgeError, and nothing runs.
    """

    def __init__(
        self,
        config: Config,
        sources: Sequence[Source],
        stop: threading.Event,
        stopping: threading.Event | None = None,
    ) -> None:
        """``stop`` ends the sources. With ``stopping``, the detector is opened in a thread of its own, and
        setting it raises StoppedError."""
        self._config, self._sources, self._stop, self._stopping = config, sources, stop, stopping
        self._pipeline: Pipeline | None = None
        self._opening = Opening(config, sources)
        self._metrics = Metrics()
        # Before the endpoint, so that a mistake in [mqtt] leaves no bound socket behind.
        self._mqtt = MqttReporter(config.mqtt, self.status) if config.mqtt.host is not None else None
        self._server: StatusServer | None = None
        if config.status.enabled:
            app = create_app(config.status, self.status, self._metrics.text, self._last_image)
            self._server = StatusServer(app, config.status)

    @property
    def address(self) -> str:
        """Where the status endpoint listens; empty when it is switched off."""
        return self._server.address if self._server else ""

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline; there is none before ``open``."""
        if self._pipeline is None:
            raise RuntimeError("the appliance is not open yet")
        return self._pipeline

    def status(self) -> Status:
        """What ``/status`` answers; may be called from any thread."""
        if self._pipeline is None:
            return self._opening.status()
        status = read_status(self._pipeline)
        if self._mqtt is not None and self._mqtt.last_error:
            lost = f"mqtt: {self._mqtt.last_error}"
            status = status.model_copy(update={"degraded": [*status.degraded, lost]})
        return status

    def _last_image(self, camera: str) -> Path | None:
        return None if self._pipeline is None else self._pipeline.writer.last_images.get(camera)

    def open(self) -> None:
        """Open the detector and make the pipeline, which is not started. systemd gets the time for it.

        Raises EdgeError, and StoppedError.
        """
        notify.notify(f"STATUS={self._opening.text}")
        with notify.extending(longest_seconds=OPENING_SECONDS):
            work = partial(_open_and_check, self._config, self._sources)
            opened = work() if self._stopping is None else until_stopped(work, self._stopping)
            detector, runs_at_once, known_faces = opened
            config = self._config
            check_mounted(config.store)
            make_folder(config.store.folder)
            hashes = {member.name: member.detector.session.sha256 for member in further_of(detector)}
            settings, sha256 = settings_of(config, hashes), detector.session.sha256
            self._pipeline = Pipeline(
                config=config,
                detector=detector,
                known_faces=known_faces,
                store=ImageStore(config.store, config.audit, settings=settings, detector=sha256),
                metrics=self._metrics,
                sources=self._sources,
                stop=self._stop,
                runs_at_once=runs_at_once,
            )

    def __enter__(self) -> Appliance:
        if self._server:
            self._server.start()
        try:
            if self._pipeline is None:
                self.open()
            self.pipeline.start()
        except BaseException:
            if self._server:
                self._server.stop()
            raise
        if self._mqtt:
            self._mqtt.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.pipeline.stop()
        finally:
            if self._mqtt:
                self._mqtt.stop()
            if self._server:
                self._server.stop()


def _open_and_check(config: Config, sources: Sequence[Source]) -> tuple[AnyDetector, int, KnownFaces]:
    """Open the detectors, and check that they find what they must; log what they are. Returns what
    ``open_daemon_detectors`` returns, and the known faces. Raises EdgeError."""
    detector, runs_at_once = open_daemon_detectors(config)
    overlap = known_face.check(detector)
    session = detector.session
    log.info("detector %s on %s finds the known face (overlap %.2f)", session.name, session.provider, overlap)
    known_faces = KnownFaces(detector, smallest_face_of(config.privacy, [each.config for each in sources]))
    known_faces.check_all()
    further = further_of(detector)
    for member in further:
        checked = "finds something on its example" if member.example is not None else "is unchecked"
        session = member.detector.session
        log.info("detector %s (%s) on %s %s", member.name, member.kind.label, session.provider, checked)
    for session in (detector.session, *(member.detector.session for member in further)):
        if session.fallback:
            log.warning("degraded: %s", session.fallback)
    if config.blur.reidentifiable:
        log.warning("this blur leaves people recognisable (privacy.allow_reidentifiable)")
    return detector, runs_at_once, known_faces
