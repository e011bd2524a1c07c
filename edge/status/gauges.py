"""The gauges that Prometheus reads besides the counters; all of them are derived from the Status.

``edge_checked_frame_age_seconds`` and ``edge_known_face_age_seconds`` are +Inf before the first time, so that
an alert on a limit also fires for what has never happened; a missing series would fire nothing. Unknown
values (temperature, size of the store) are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import get_args

from prometheus_client import Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from edge.sources.state import CameraState
from edge.status.schema import CameraStatus, LoadLevelName, Status

_CAMERA_GAUGES: tuple[tuple[str, str, Callable[[CameraStatus], float | None]], ...] = (
    (
        "checked_frame_age_seconds",
        "since the last frame that passed the detector and all checks; +Inf: none yet",
        lambda camera: _age(camera.checked_seconds_ago),
    ),
    (
        "last_image_timestamp_seconds",
        "capture time of the last stored image, UTC",
        lambda camera: camera.last_image.timestamp() if camera.last_image else None,
    ),
    (
        "smallest_face_pixels",
        "width of the smallest face that is looked for, in pixels of the camera's picture",
        lambda camera: camera.smallest_face_pixels,
    ),
    (
        "covered_share",
        "share of the last stored image that is covered, 0..1",
        lambda camera: camera.covered_share,
    ),
    (
        "camera_state_timestamp_seconds",
        "when the camera entered its state, UTC",
        lambda camera: camera.since.timestamp(),
    ),
)
_GAUGES: tuple[tuple[str, str, Callable[[Status], float | None]], ...] = (
    ("healthy", "1 while the pipeline makes progress", lambda s: s.healthy),
    ("ready", "1 while there is no problem", lambda s: not s.problems),
    ("degraded", "1 while something works less well than configured", lambda s: bool(s.degraded)),
    ("reidentifiable_blur", "1 if the blur leaves people recognisable", lambda s: s.reidentifiable_blur),
    (
        "known_face_age_seconds",
        "since the detector last found the known face; +Inf: not yet",
        lambda s: _age(s.known_face_seconds_ago),
    ),
    ("temperature_celsius", "hottest sensor of the kernel", lambda s: s.temperature_celsius),
    ("store_failing", "1 while images cannot be stored", lambda s: bool(s.store_error)),
    ("store_bytes", "size of all stored images", lambda s: s.store_bytes),
    ("store_images", "number of all stored images", lambda s: s.store_images),
    ("quarantine_images", "images that wait for the next known-face check", lambda s: s.quarantine_images),
    ("quarantine_bytes", "their size in memory", lambda s: s.quarantine_bytes),
    ("audit_number", "number of the last record of the audit log", lambda s: s.audit_number),
    ("store_free_bytes", "room left on the store's filesystem", lambda s: s.store_free_bytes),
)


def gauges_text(status: Status) -> bytes:
    """The gauges in the Prometheus text format."""
    return generate_latest(_Collector(status))


class _Collector:
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield _one_of("load_level", "1 for the current level", "level", LoadLevelName, status.load_level)
        for name, text, read in _GAUGES:
            value = read(status)
            if value is not None:
                yield GaugeMetricFamily(f"edge_{name}", text, value)
        build = GaugeMetricFamily(
            "edge_build_info", "1; the label says which version runs", labels=["version"]
        )
        build.add_metric([status.version], 1)
        yield build
        yield from _cameras(status.cameras)


def _cameras(cameras: list[CameraStatus]) -> Iterable[Metric]:
    states = GaugeMetricFamily(
        "edge_camera_state", "1 for the state that the camera is in", labels=["camera", "state"]
    )
    connections = CounterMetricFamily(
        "edge_camera_connections", "first frames after opening the camera", labels=["camera"]
    )
    for camera in cameras:
        for state in get_args(CameraState):
            states.add_metric([camera.name, state], state == camera.state)
        connections.add_metric([camera.name], camera.connections)
    yield states
    yield connections
    for name, text, read in _CAMERA_GAUGES:
        family = GaugeMetricFamily(f"edge_{name}", text, labels=["camera"])
        for camera in cameras:
            value = read(camera)
            if value is not None:
                family.add_metric([camera.name], value)
        yield family


def _one_of(name: str, text: str, label: str, choices: object, current: str) -> Metric:
    family = GaugeMetricFamily(f"edge_{name}", text, labels=[label])
    for choice in get_args(choices):
        family.add_metric([choice], choice == current)
    return family


def _age(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
