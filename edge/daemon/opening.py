"""While the detector is being opened: what the status says, and how a signal ends it. It may take minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from datetime import datetime, timezone
from typing import TypeVar

import edge
from edge.config import Config
from edge.detection.views import Search
from edge.sources import Source
from edge.status.schema import CameraStatus, Status

OPENING_SECONDS = 1800.0
"""After this time an opening counts as one that hangs: systemd is asked for no more time, and the process is
not healthy."""
_POLL_SECONDS = 0.2

Opened = TypeVar("Opened")


class StoppedError(Exception):
    """A signal came before the detector was open. The thread that opens it may still be running, so the
    process must end with ``os._exit``."""


def until_stopped(work: Callable[[], Opened], stopping: threading.Event) -> Opened:
    """Do ``work`` in another thread and return its answer, or raise what it raised.

    Raises StoppedError as soon as ``stopping`` is set. A signal handler that sets it gets its turn at once,
    whatever ``work`` does, unless that holds Python's lock: ONNX Runtime before 1.31 does so in a build.
    """
    answer: Future[Opened] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        # The caller raises it.
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="opening", daemon=True).start()
    while not wait([answer], _POLL_SECONDS).done:
        if stopping.is_set():
            raise StoppedError
    return answer.result()


class Opening:
    """An opening that began now. ``text`` says so to people, with the time (UTC)."""

    def __init__(self, config: Config, sources: Sequence[Source]) -> None:
        self._config, self._sources = config, sources
        self._since, self._begin = datetime.now(timezone.utc), time.monotonic()
        self.text = f"opening the detector since {self._since:%H:%M:%S} UTC"

    def status(self) -> Status:
        """What ``/status`` answers until the detector is open; may be called from any thread."""
        config = self._config
        passed = time.monotonic() - self._begin
        return Status(
            version=edge.__version__,
            started=self._since,
            uptime_seconds=passed,
            healthy=passed < OPENING_SECONDS,
            problems=[self.text],
            degraded=[],
            detector=config.detector.path.stem if config.detector.path else config.detector.name or "face",
            detector_sha256="",
            provider="being opened",
            known_face_seconds_ago=None,
            last_look=config.privacy.last_look,
            load_level="full",
            temperature_celsius=None,
            reidentifiable_blur=config.blur.reidentifiable,
            preview=False,
            store_folder=str(config.store.folder),
            store_error="",
            store_error_since=None,
            store_bytes=None,
            store_images=None,
            store_free_bytes=None,
            audit_number=0,
            audit_head="",
            stages={},
            cameras=[self._camera(source) for source in self._sources],
        )

    def _camera(self, source: Source) -> CameraStatus:
        search = Search.of(self._config.privacy, source.config)
        return CameraStatus(
            name=source.camera,
            source=source.label,
            state="connecting",
            since=self._since,
            last_error="",
            connections=0,
            captured=0,
            written=0,
            dropped={},
            covered_whole={},
            regions=0,
            regions_held=0,
            smallest_face_pixels=search.smallest_face,
            any_orientation=search.any_orientation,
            frames_per_second=0,
            parts_looked_per_second=0,
            parts_kept_per_second=0,
            parts_swept_per_second=0,
            noise_levels=None,
            change_limit_levels=0,
            covered_share=None,
            regrown=0,
            escalated=0,
            checked_seconds_ago=None,
            last_image=None,
        )
