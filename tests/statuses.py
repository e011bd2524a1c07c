"""A status that tests can change, and an endpoint that serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge.config import StatusConfig
from edge.status.app import create_app
from edge.status.metrics import Metrics
from edge.status.schema import CameraStatus, StageTimes, Status
from edge.status.server import StatusServer

MOMENT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
TOKEN = "correct-horse-battery"


def make_camera(name: str = "front", **changes: Any) -> CameraStatus:
    return CameraStatus(
        name=name,
        source="rtsp://192.0.2.10/stream",
        state="live",
        since=MOMENT,
        last_error="",
        connections=1,
        captured=100,
        written=90,
        dropped={"not_due": 8, "stale": 2},
        covered_whole={},
        regions=40,
        regions_held=5,
        smallest_face_pixels=20,
        any_orientation=False,
        frames_per_second=12.5,
        parts_looked_per_second=8.25,
        parts_kept_per_second=141.75,
        parts_swept_per_second=6.5,
        noise_levels=1.5,
        change_limit_levels=3,
        covered_share=0.125,
        regrown=0,
        escalated=0,
        checked_seconds_ago=0.2,
        last_image=MOMENT,
    ).model_copy(update=changes)


def make_status(*cameras: CameraStatus, **changes: Any) -> Status:
    return Status(
        version="1.2.3",
        started=MOMENT,
        uptime_seconds=93784.0,
        healthy=True,
        problems=[],
        degraded=[],
        detector="face-fast",
        detector_sha256="ab" * 32,
        provider="cpu",
        known_face_seconds_ago=12.0,
        last_look="always",
        load_level="full",
        temperature_celsius=61.5,
        reidentifiable_blur=False,
        preview=False,
        store_folder="/var/lib/edge/images",
        store_error="",
        store_error_since=None,
        store_bytes=5 * 2**30,
        store_images=12345,
        store_free_bytes=20 * 2**30,
        audit_number=9000,
        audit_head="5e" * 32,
        stages={"detect": StageTimes(p50_ms=18.2, p95_ms=36.9)},
        cameras=list(cameras) or [make_camera()],
    ).model_copy(update=changes)


class Box:
    """A status endpoint without an appliance behind it. ``status`` and ``images`` may be changed."""

    def __init__(self, config: StatusConfig) -> None:
        self.status = make_status(preview=config.preview)
        self.images: dict[str, Path] = {}
        self.read: Callable[[], Status] = lambda: self.status
        self.metrics = Metrics()
        self.metrics.add_camera("front")
        self.app = create_app(config, lambda: self.read(), self.metrics.text, self.images.get)
        self.server = StatusServer(self.app, config)
        self.address = self.server.address


@contextlib.contextmanager
def serving(config: StatusConfig) -> Iterator[Box]:
    box = Box(config)
    box.server.start()
    try:
        yield box
    finally:
        box.server.stop()


def token_file(folder: Path, token: str = TOKEN) -> Path:
    path = folder / "token"
    path.write_text(token + "\n")
    path.chmod(0o600)
    return path
