"""The topics and payloads that are sent, as pure functions of the status."""

from __future__ import annotations

import re
import socket
from datetime import datetime, timezone
from typing import Any

from edge.config import MqttConfig
from edge.status.schema import CameraStatus, Status

ONLINE, OFFLINE = "online", "offline"
"""The payloads that Home Assistant expects on an availability topic by default."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
# The beginning of an absolute path, a path from home, or a URL with a user name. Paths may contain spaces, so
# their end cannot be recognised.
_PRIVATE = re.compile(
    r"(?<![\w.~/:])~?/+(?!dev/video\d+\b)(?=[^\s/])|(?<=:)/(?=[^\s/])|file:/|[a-z][a-z0-9+.-]*://[^\s/]*@",
    re.IGNORECASE,
)


def base_topic(config: MqttConfig) -> str:
    """``TOPIC/BOX``; without a configured name, the box is called by its host name.

    >>> base_topic(MqttConfig(topic="site/edge", box="gate"))
    'site/edge/gate'
    """
    box = config.box or _NOT_IN_NAMES.sub("-", socket.gethostname()).strip("-") or "box"
    return f"{config.topic}/{box}"


def availability_topic(base: str) -> str:
    return f"{base}/availability"


def state_topic(base: str) -> str:
    return f"{base}/state"


def box_state(status: Status) -> dict[str, Any]:
    """State of the whole box. Times in seconds and UTC, sizes in bytes, temperature in degrees Celsius."""
    return {
        "reported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "version": status.version,
        "started": _utc(status.started),
        "uptime_seconds": round(status.uptime_seconds),
        "ready": not status.problems,
        "healthy": status.healthy,
        "problems": [without_paths(text, status.store_folder) for text in status.problems],
        "degraded": [without_paths(text, status.store_folder) for text in status.degraded],
        "detector": status.detector,
        "detector_sha256": status.detector_sha256,
        "provider": status.provider,
        "detectors": [
            {"name": d.name, "label": d.label, "provider": d.provider, "check": d.check}
            for d in status.detectors
        ],
        "known_face_seconds_ago": _rounded(status.known_face_seconds_ago),
        "last_look": status.last_look,
        "load_level": status.load_level,
        "temperature_celsius": _rounded(status.temperature_celsius),
        "reidentifiable_blur": status.reidentifiable_blur,
        "store_folder": status.store_folder,
        "store_error": without_paths(status.store_error, status.store_folder),
        "store_bytes": status.store_bytes,
        "store_free_bytes": status.store_free_bytes,
        "audit_number": status.audit_number,
        "audit_head": status.audit_head,
        "cameras": len(status.cameras),
        "cameras_live": sum(camera.state == "live" for camera in status.cameras),
    }


def camera_state(camera: CameraStatus, store_folder: str) -> dict[str, Any]:
    """State of one camera. Its source is left out: a broker need not know its address or path."""
    return {
        "reported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "state": camera.state,
        "since": _utc(camera.since),
        "last_error": without_paths(camera.last_error, store_folder),
        "connections": camera.connections,
        "captured": camera.captured,
        "written": camera.written,
        "dropped": sum(camera.dropped.values()),
        "dropped_by_reason": camera.dropped,
        "covered_whole": sum(camera.covered_whole.values()),
        "covered_whole_by_reason": camera.covered_whole,
        "regions": camera.regions,
        "regions_by_label": camera.regions_by_label,
        "regions_held": camera.regions_held,
        "covered_share": camera.covered_share,
        "regrown": camera.regrown,
        "escalated": camera.escalated,
        "checked_seconds_ago": _rounded(camera.checked_seconds_ago),
        "last_image": _utc(camera.last_image),
    }


def without_paths(text: str, store_folder: str) -> str:
    """Cut off a text where a path outside the store's folder or a URL with a user name begins.

    >>> without_paths("/srv/images/front: no space left", "/srv/images")
    '/srv/images/front: no space left'
    >>> without_paths("/home/anna b/clip.mp4: no such file", "/srv/images")
    '(left out)'
    >>> without_paths("/dev/video0: gone; see rtsp://user:word@192.0.2.1/x", "/srv/images")
    '/dev/video0: gone; see (left out)'
    """
    for match in _PRIVATE.finditer(text):
        rest = text[match.start() :]
        inside = store_folder.startswith("/") and rest.startswith(store_folder)
        if not inside or re.match(r"[\w.-]", rest[len(store_folder) :]):
            return f"{text[: match.start()]}(left out)"
    return text


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _utc(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(timezone.utc).isoformat(timespec="seconds")
