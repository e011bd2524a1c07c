"""Home Assistant's MQTT discovery: one message per device.

The form is that of https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload. The box is
a device, and each camera is a device that is reached via the box, so that it can be in another room.
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
    """Where the payload of a device goes.

    The last part but one may hold only letters, digits, ``_`` and ``-``; the hash keeps ``a/b-c`` and
    ``a-b/c`` apart.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "-", base)
    return f"{prefix}/device/{name}-{hashlib.sha256(base.encode()).hexdigest()[:8]}/config"


def box_discovery(base: str, interval_seconds: float) -> Payload:
    """The device of the box; ``base`` is TOPIC/BOX."""
    always = [availability_topic(base)]

    def shown(name: str, template: str, **fields: Any) -> Payload:
        return _from_state(base, name, template, always, interval_seconds, **fields)

    def problem(name: str, key: str, template: str) -> Payload:
        return shown(
            name,
            template,
            platform="binary_sensor",
            device_class="problem",
            json_attributes_topic=state_topic(base),
            json_attributes_template=f"{{{{ {{'{key}': value_json.{key}}} | tojson }}}}",
        )

    def size(name: str, key: str) -> Payload:
        return shown(
            name,
            f"{{{{ value_json.{key} / 1000000000 if value_json.{key} is number else none }}}}",
            device_class="data_size",
            unit_of_measurement="GB",
            state_class="measurement",
            suggested_display_precision=2,
        )

    well = "value_json.ready and value_json.healthy"
    return _device(
        base,
        {
            "connectivity": _connectivity(base),
            "problem": problem("Problem", "problems", f"{{{{ 'OFF' if {well} else 'ON' }}}}"),
            "degraded": problem("Degraded", "degraded", "{{ 'ON' if value_json.degraded else 'OFF' }}"),
            "temperature": shown(
                "Temperature",
                "{{ value_json.temperature_celsius }}",
                device_class="temperature",
                unit_of_measurement="°C",
                state_class="measurement",
            ),
            "store_free": size("Free space", "store_free_bytes"),
            "store_size": size("Size of all images", "store_bytes"),
            "load_level": shown(
                "Load level",
                "{{ value_json.load_level }}",
                device_class="enum",
                options=list(get_args(LoadLevelName)),
            ),
        },
    )


def camera_discovery(base: str, camera: str, interval_seconds: float) -> Payload:
    """The device of a camera; ``base`` is TOPIC/BOX.

    Its counters are unavailable while it is not live. Its state and the age of its last checked frame
    are not: a camera that is down is what they are there to show.
    """
    own = f"{base}/{camera}"
    box, both = [availability_topic(base)], [availability_topic(base), availability_topic(own)]

    def counter(name: str, key: str, unit: str) -> Payload:
        return _from_state(
            own,
            name,
            f"{{{{ value_json.{key} }}}}",
            both,
            interval_seconds,
            unit_of_measurement=unit,
            state_class="total_increasing",
        )

    written = counter("Images stored", "written", "images")
    del written["entity_category"]  # what the box is there for, not a diagnosis
    return _device(
        own,
        {
            "connectivity": _connectivity(own),
            "state": _from_state(
                own,
                "State",
                "{{ value_json.state }}",
                box,
                interval_seconds,
                device_class="enum",
                options=list(get_args(CameraState)),
            ),
            "checked": _from_state(
                own,
                "Since last checked frame",
                "{{ value_json.checked_seconds_ago }}",
                box,
                interval_seconds,
                device_class="duration",
                unit_of_measurement="s",
                state_class="measurement",
            ),
            "written": written,
            "dropped": counter("Frames dropped", "dropped", "frames"),
            "escalated": counter("images covered whole by the last look", "escalated", "images"),
        },
        via=base,
    )


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
    """Shows the availability topic itself, so it has no availability of its own."""
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
        # For a process that is connected but has ceased to report
        "expire_after": math.ceil(3 * interval_seconds) + 30,
        **fields,
    }
