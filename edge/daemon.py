"""``edge run``: signals only set a flag; the loop ends by itself after the tick that it is in."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from edge.appliance import Appliance
from edge.config import Config
from edge.errors import ConfigError
from edge.sources import make_source

log = logging.getLogger(__name__)

EXIT_SECOND_SIGNAL = 1


def run_daemon(config: Config) -> bool:
    """Run until a signal, or until every source has ended.

    Returns whether all went well: no camera that is down at the end, and a store that works. Raises
    EdgeError when the appliance cannot start.
    """
    for name, camera in config.cameras.items():
        kind = camera.resolved_kind()
        if kind in ("video", "folder") and not Path(camera.source).exists():
            raise ConfigError(f"key 'cameras.{name}.source': no such file or folder: {camera.source!r}")
    stop = threading.Event()
    stopping = _catch_signals()
    sources = [make_source(name, camera, stop) for name, camera in config.cameras.items()]
    with Appliance(config, sources, stop) as appliance:
        if appliance.address:
            log.info("status endpoint: %s", appliance.address)
        while not stopping.is_set() and appliance.pipeline.tick():
            pass
        if stopping.is_set():
            log.info("stopping: the frames that wait are stored first")
    status = appliance.status()
    for camera_status in status.cameras:
        log.info(
            "camera %s: captured %d, written %d, dropped %s, state %s",
            camera_status.name,
            camera_status.captured,
            camera_status.written,
            camera_status.dropped or "none",
            camera_status.state,
        )
    failed = any(c.state == "down" for c in status.cameras) and not stopping.is_set()
    return not failed and not status.store_error


def _catch_signals() -> threading.Event:
    """SIGTERM and SIGINT set the event that is returned; a second one ends the process at once."""
    stopping = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(EXIT_SECOND_SIGNAL)
        stopping.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stopping
