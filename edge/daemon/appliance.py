"""The parts of the appliance, made and checked before the first frame, and their order of start and stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from edge.config import Config
from edge.daemon.detector_threads import open_daemon_detectors
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.daemon.recorded_settings import settings_of
from edge.detection import known_face
from edge.detection.joint import further_of
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

    The constructor reads and checks the detector, detects the known face, makes the store's folder and binds
    the endpoint. If any of this fails, it raises an EdgeError and nothing has started.
    """

    def __init__(self, config: Config, sources: Sequence[Source], stop: threading.Event) -> None:
        detector, runs_at_once = open_daemon_detectors(config)
        overlap = known_face.check(detector)
        log.info(
            "detector %s on %s finds the known face (overlap %.2f)",
            detector.session.name,
            detector.session.provider,
            overlap,
        )
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
        check_mounted(config.store)
        make_folder(config.store.folder)
        metrics = Metrics()
        hashes = {member.name: member.detector.session.sha256 for member in further}
        store = ImageStore(
            config.store, config.audit, settings=settings_of(config, hashes), detector=detector.session.sha256
        )
        self.pipeline = Pipeline(
            config=config,
            detector=detector,
            store=store,
            metrics=metrics,
            sources=sources,
            stop=stop,
            runs_at_once=runs_at_once,
        )
        # Before the endpoint, so that a mistake in [mqtt] leaves no bound socket behind.
        self._mqtt = MqttReporter(config.mqtt, self.status) if config.mqtt.host is not None else None
        self._server: StatusServer | None = None
        if config.status.enabled:
            last_image = self.pipeline.writer.last_images.get
            app = create_app(config.status, self.status, metrics.text, last_image)
            self._server = StatusServer(app, config.status)

    @property
    def address(self) -> str:
        """Where the status endpoint listens; empty when it is switched off."""
        return self._server.address if self._server else ""

    def status(self) -> Status:
        """What ``/status`` answers; may be called from any thread."""
        status = read_status(self.pipeline)
        if self._mqtt is not None and self._mqtt.last_error:
            lost = f"mqtt: {self._mqtt.last_error}"
            status = status.model_copy(update={"degraded": [*status.degraded, lost]})
        return status

    def __enter__(self) -> Appliance:
        if self._server:
            self._server.start()
        self.pipeline.start()
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
