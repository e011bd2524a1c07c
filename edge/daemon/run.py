"""``edge run``: signals only set a flag; the loop ends by itself after the tick that it is in."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import FrameType

from edge.config import Config
from edge.daemon.appliance import Appliance
from edge.errors import ConfigError
from edge.masking import label
from edge.notify import notify
from edge.sources import make_source
from edge.status.schema import Status

log = logging.getLogger(__name__)

EXIT_SECOND_SIGNAL = EXIT_HANGING = 1
TELL_SECONDS = 5.0
"""How often systemd is told; its WatchdogSec must be a few times longer (systemd/edge.service)."""
MAX_STATUS = 1000


def run_daemon(config: Config) -> bool:
    """Run until a signal, or until every source has ended.

    Returns whether all went well: no camera that is down at the end, no image of a file taken back, a store
    that works, and a detector that finds the known face. Where a thread still hangs in a source, the process
    ends here, with the exit code that belongs to that. Raises EdgeError when the appliance cannot start.
    """
    for name, camera in config.cameras.items():
        kind = camera.resolved_kind()
        if kind in ("video", "folder") and (problem := _missing(camera.source)):
            shown = label(camera.source)
            hint = "" if shown == camera.source else "; a URL begins with rtsp:// or http://"
            raise ConfigError(f"key 'cameras.{name}.source': {problem}: {shown}{hint}")
    stop = threading.Event()
    stopping = _catch_signals()
    notify("STATUS=opening the detector")
    sources = [make_source(name, camera, stop) for name, camera in config.cameras.items()]
    with Appliance(config, sources, stop) as appliance:
        if appliance.address:
            log.info("status endpoint: %s", appliance.address)
        notify("READY=1", "STATUS=waiting for the cameras")
        told = time.monotonic()
        while not stopping.is_set() and not _hopeless(appliance) and appliance.pipeline.tick():
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                _tell(appliance)
        notify("STOPPING=1", "STATUS=storing the frames that wait")
        if stopping.is_set():
            log.info("stopping: the frames that wait are stored first")
    good = _report(appliance.status(), told_to_stop=stopping.is_set())
    good = good and not appliance.pipeline.known_face_error  # the last images are gone, or were never made
    if any(camera.capture.hanging for camera in appliance.pipeline.cameras.values()):
        # A thread that comes back from OpenCV while Python shuts down aborts the process.
        logging.shutdown()
        os._exit(0 if good else EXIT_HANGING)
    return good


def _hopeless(appliance: Appliance) -> bool:
    """Whether every camera's source hangs for good, so that only a fresh process can help."""
    captures = [camera.capture for camera in appliance.pipeline.cameras.values()]
    return bool(captures) and all(capture.hopeless for capture in captures)


def _report(status: Status, *, told_to_stop: bool) -> bool:
    """Log what each camera did; return whether all went well."""
    for camera in status.cameras:
        log.info(
            "camera %s: captured %d, written %d, dropped %s, state %s%s",
            camera.name,
            camera.captured,
            camera.written,
            camera.dropped or "none",
            camera.state,
            f", {camera.revoked} of those written removed again" if camera.revoked else "",
        )
    # What was taken back of a file is missing for good.
    failed = any(camera.state == "down" or camera.revoked for camera in status.cameras) and not told_to_stop
    return not failed and not status.store_error


def _tell(appliance: Appliance) -> None:
    """Tell systemd that a tick ended, and how the cameras are; a camera that is down is said to be.

    This runs in the thread that ticks, so a tick that hangs starves the watchdog.
    """
    captures = [camera.capture for camera in appliance.pipeline.cameras.values()]
    live = sum(capture.state == "live" for capture in captures)
    words = [f"{live} of {len(captures)} cameras live"]
    words += [f"{capture.camera} {capture.state}" for capture in captures if capture.state != "live"]
    words += appliance.pipeline.troubles
    lines = [f"STATUS={'; '.join(words)}"[:MAX_STATUS]]
    if appliance.pipeline.writer.alive:
        lines.append("WATCHDOG=1")
    notify(*lines)


def _missing(source: str) -> str:
    """Why there is no such file or folder; empty where there is one."""
    try:
        os.stat(source)
    except (FileNotFoundError, NotADirectoryError):
        return "no such file or folder"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


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
