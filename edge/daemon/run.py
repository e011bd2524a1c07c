"""``edge run``: a signal only sets a flag, and the loop ends after the current tick."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import FrameType
from typing import NoReturn

from edge.config import Config
from edge.daemon.appliance import Appliance
from edge.daemon.ledgers import Ledgers
from edge.daemon.opening import StoppedError
from edge.errors import ConfigError
from edge.masking import label
from edge.notify import notify
from edge.reasons import Reason
from edge.sources import make_source
from edge.status.metrics import Metrics
from edge.status.schema import Status

log = logging.getLogger(__name__)

EXIT_SECOND_SIGNAL = EXIT_HANGING = 1
NOTIFY_SECONDS = 5.0
"""How often systemd gets a sign of life; WatchdogSec must be a few times longer (systemd/edge.service)."""
MAX_STATUS = 1000
"""Longest status line for systemd, in characters."""


def run_daemon(config: Config) -> bool:
    """Run until a signal, or until every source has ended.

    Returns whether all went well: no camera is down at the end, no image of a file had to be discarded, the
    store works, and the detector finds the known face. Where a thread still hangs in a source, or opens the
    detector when a signal comes, the process ends here, with the exit code for this result. Raises EdgeError
    when the appliance cannot start.
    """
    for name, camera in config.cameras.items():
        kind = camera.resolved_kind()
        if kind in ("video", "folder") and (problem := _missing(camera.source)):
            source = label(camera.source)
            hint = "" if source == camera.source else "; a URL begins with rtsp:// or http://"
            raise ConfigError(f"key 'cameras.{name}.source': {problem}: {source}{hint}")
    stop = threading.Event()
    stopping = _catch_signals()
    sources = [make_source(name, camera, stop) for name, camera in config.cameras.items()]
    appliance = Appliance(config, sources, stop, stopping)
    if appliance.address:
        log.info("status endpoint: %s", appliance.address)
    try:
        with appliance:
            _tick_until_the_end(appliance, stopping)
    except StoppedError:
        notify("STOPPING=1")
        log.info("stopped while the detector was being opened; nothing was stored")
        _leave(0)
    ledgers = appliance.pipeline.ledgers
    good = _report(appliance.status(), ledgers, stopped_by_signal=stopping.is_set())
    _report_parts(appliance.pipeline.metrics)
    good = good and not appliance.pipeline.known_face_error  # the last images were discarded or never made
    if any(lane.capture.hanging for lane in appliance.pipeline.lanes.values()):
        _leave(0 if good else EXIT_HANGING)
    return good


def _tick_until_the_end(appliance: Appliance, stopping: threading.Event) -> None:
    notify("READY=1", "STATUS=waiting for the cameras")
    notified = time.monotonic()
    while not stopping.is_set() and not _needs_restart(appliance) and appliance.pipeline.tick():
        if time.monotonic() - notified >= NOTIFY_SECONDS:
            notified = time.monotonic()
            _notify_systemd(appliance)
    notify("STOPPING=1", "STATUS=storing waiting frames")
    if stopping.is_set():
        log.info("stopping; waiting frames are stored first")


def _leave(code: int) -> NoReturn:
    """End the process at once. A thread that comes back from OpenCV or ONNX Runtime while Python shuts down
    aborts it."""
    logging.shutdown()
    os._exit(code)


def _needs_restart(appliance: Appliance) -> bool:
    """Whether every camera's source hangs for good, so that only a new process can help."""
    captures = [lane.capture for lane in appliance.pipeline.lanes.values()]
    return bool(captures) and all(capture.needs_restart for capture in captures)


def _report(status: Status, ledgers: Ledgers, *, stopped_by_signal: bool) -> bool:
    """Log what each camera did; return whether all went well."""
    complete = True
    for camera in status.cameras:
        if lost := {reason.value: count for reason, count in ledgers.lost(camera.name).items()}:
            complete = False
            log.error("camera %s: these frames of its source are missing for good: %s", camera.name, lost)
        log.info(
            "camera %s: captured %d, written %d, dropped %s, state %s",
            camera.name,
            camera.captured,
            camera.written,
            camera.dropped or "none",
            camera.state,
        )
    # A live camera goes on, and a file is read again; a video that plays again and again is over.
    blind = Reason.KNOWN_FACE.value
    failed = any(c.state == "down" or (blind in c.dropped and c.name not in ledgers) for c in status.cameras)
    return complete and not (failed and not stopped_by_signal) and not status.store_error


def _report_parts(metrics: Metrics) -> None:
    """Log in how much of each camera's frames the detector looked, and how much was left out."""
    for camera in metrics.cameras:
        log.info(
            "camera %s: looked at %d parts of frames (%d of them only because they were due), left out %d in "
            "which nothing had changed",
            camera,
            *(metrics.count(f"parts_{name}", camera) for name in ("looked", "swept", "kept")),
        )


def _notify_systemd(appliance: Appliance) -> None:
    """Tell systemd that a tick has ended, and how the cameras are.

    This runs in the thread that ticks, so a tick that hangs starves the watchdog.
    """
    captures = [lane.capture for lane in appliance.pipeline.lanes.values()]
    live = sum(capture.state == "live" for capture in captures)
    words = [f"{live} of {len(captures)} cameras live"]
    words += [f"{capture.camera} {capture.state}" for capture in captures if capture.state != "live"]
    words += appliance.pipeline.troubles
    lines = [f"STATUS={'; '.join(words)}"[:MAX_STATUS]]
    if appliance.pipeline.writer.alive:
        lines.append("WATCHDOG=1")
    notify(*lines)


def _missing(source: str) -> str:
    """Why a file or folder cannot be found; empty when it is there."""
    try:
        os.stat(source)
    except (FileNotFoundError, NotADirectoryError):
        return "no such file or folder"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _catch_signals() -> threading.Event:
    """Let SIGTERM and SIGINT set the event that is returned, and a second one end the process at once."""
    stopping = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(EXIT_SECOND_SIGNAL)
        stopping.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stopping
