"""Home Assistant's MQTT discovery: one message per device.

The format is described at https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. The box
is a device, and each camera is a device connected via the box, so that it can be assigned to another room.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any, get_args

import edge
from edge.mqtt.messages import OFFLINE, ONLINE, availability_topic, state_topic
from edge.sources.state import CameraState
from edge.status.schema import LoadLevelName

Payload = dict[str, Any]


def discovery_topic(prefix: str, base: str) -> str:
    """The topic for the payload of a device.

    Its last part but one may only contain letters, digits, ``_`` and ``-``. The hash distinguishes, for
    instance, ``a/b-c`` from ``a-b/c``.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "-", base)
    return f"{prefix}/device/{name}-{hashlib.sha256(base.encode()).hexdigest()[:8]}/config"


def box_discovery(base: str, interval_seconds: float) -> Payload:
    """The device of the box; ``base`` is TOPIC/BOX."""

    def entity(name: str, template: str, **fields: Any) -> Payload:
        return _from_state(base, name, template, [availability_topic(base)], interval_seconds, **fields)

    def problem(name: str, key: str, template: str) -> Payload:
        return entity(
            name,
            template,
            platform="binary_sensor",
            device_class="problem",
            json_attributes_topic=state_topic(base),
            json_attributes_template=f"{{{{ {{'{key}': value_json.{key}}} | tojson }}}}",
        )

    def size(name: str, key: str) -> Payload:
        value = f"value_json.{key}"
        return entity(
            name,
            f"{{{{ {value} / 1000000000 if {value} is number else none }}}}",
            **_measurement("data_size", "GB"),
            suggested_display_precision=2,
        )

    well = "value_json.ready and value_json.healthy"
    levels = list(get_args(LoadLevelName))
    return _device(
        base,
        {
            "connectivity": _connectivity(base),
            "problem": problem("Problem", "problems", f"{{{{ 'OFF' if {well} else 'ON' }}}}"),
            "degraded": problem("Degraded", "degraded", "{{ 'ON' if value_json.degraded else 'OFF' }}"),
            "temperature": entity(
                "Temperature",
                "{{ value_json.temperature_celsius }}",
                **_measurement("temperature", "°C"),
            ),
            "store_free": size("Free space", "store_free_bytes"),
            "store_size": size("Size of all images", "store_bytes"),
            "load_level": entity(
                "Load level", "{{ value_json.load_level }}", device_class="enum", options=levels
            ),
        },
    )


def camera_discovery(base: str, camera: str, interval_seconds: float) -> Payload:
    """The device of a camera; ``base`` is TOPIC/BOX.

    Its counters are unavailable while the camera is not live. Its state and the age of its last checked
    frame stay available, since they show that a camera is down.
    """
    own = f"{base}/{camera}"
    box, both = [availability_topic(base)], [availability_topic(base), availability_topic(own)]

    def entity(name: str, key: str, availability: list[str], **fields: Any) -> Payload:
        template = f"{{{{ value_json.{key} }}}}"
        return _from_state(own, name, template, availability, interval_seconds, **fields)

    def counter(name: str, key: str, unit: str) -> Payload:
        return entity(name, key, both, unit_of_measurement=unit, state_class="total_increasing")

    states = list(get_args(CameraState))
    written = counter("Images stored", "written", "images")
    del written["entity_category"]  # the main figure of a camera, not a diagnostic one
    return _device(
        own,
        {
            "connectivity": _connectivity(own),
            "state": entity("State", "state", box, device_class="enum", options=states),
            "checked": entity(
                "Since last checked frame", "checked_seconds_ago", box, **_measurement("duration", "s")
            ),
            "written": written,
            "dropped": counter("Frames dropped", "dropped", "frames"),
            "escalated": counter("Images covered whole by the last look", "escalated", "images"),
        },
        via=base,
    )


def _measurement(device_class: str, unit: str) -> Payload:
    return {"device_class": device_class, "unit_of_measurement": unit, "state_class": "measurement"}


def _device(base: str, components: dict[str, Payload], via: str | None = None) -> Payload:
    box, camera = (via or base).rpartition("/")[2], base.rpartition("/")[2]
    device = {
        "identifiers": [base],
        "name": f"{box} {camera}" if via else box,
        "manufacturer": "edge-anonymizer",
        "model": "Camera" if via else "Box",
        "sw_version": edge.__version__,
    }
    if via:
        device["via_device"] = via
    for key, component in components.items():
        component["unique_id"] = f"{base}/{key}"
    return {
        "device": device,
        "origin": {"name": "edge-anonymizer", "sw_version": edge.__version__},
        "components": components,
        "qos": 1,
    }


def _connectivity(base: str) -> Payload:
    """An entity that shows the availability topic, and so has no availability of its own."""
    return {
        "platform": "binary_sensor",
        "name": "Connectivity",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        "state_topic": availability_topic(base),
        "payload_on": ONLINE,
        "payload_off": OFFLINE,
    }


def _from_state(
    base: str,
    name: str,
    template: str,
    availability: Sequence[str],
    interval_seconds: float,
    *,
    platform: str = "sensor",
    **fields: Any,
) -> Payload:
    """An entity that takes its value from the state topic of ``base``."""
    return {
        "platform": platform,
        "name": name,
        "entity_category": "diagnostic",
        "state_topic": state_topic(base),
        "value_template": template,
        "availability": [{"topic": topic} for topic in availability],
        "availability_mode": "all",
        # For a process that is connected but no longer reports
        "expire_after": math.ceil(3 * interval_seconds) + 30,
        **fields,
    }
