"""Home Assistant's discovery messages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from edge.mqtt.discovery import box_discovery, camera_discovery, discovery_topic
from edge.mqtt.messages import box_state, camera_state
from tests.mqtt.brokers import (
    Box,
    Broker,
    needs_broker,
    reporting,
    retained,
    settings,
    wait_for,
    watching,
)

pytestmark = pytest.mark.slow


@needs_broker
def test_discovery_comes_again_when_home_assistant_has_started(broker: Broker) -> None:
    config = settings(broker.port, interval_seconds=3600, discovery_prefix="ha/")
    topics = {discovery_topic("ha", f"edge-anonymizer/gate{name}") for name in ("", "/front", "/yard")}
    with reporting(config, Box()) as reporter, watching(broker.port) as seen:
        wait_for(lambda: reporter.connected and topics <= seen.last.keys())
        wait_for(lambda: all(link.idle and not link.due for link in reporter._links.values()))
        assert topics <= retained(broker.port).keys()
        begin = len(seen.seen)
        seen.client.publish("ha/status", "offline")
        seen.client.publish("ha/status", "online")
        wait_for(lambda: topics <= {topic for topic, _, _ in seen.seen[begin:]})
        wait_for(lambda: {"edge-anonymizer/gate/state"} <= {topic for topic, _, _ in seen.seen[begin:]})
    assert json.loads(seen.last[min(topics)])["origin"]["name"] == "edge-anonymizer"


@needs_broker
def test_no_prefix_no_discovery(broker: Broker) -> None:
    with reporting(settings(broker.port, discovery_prefix=""), Box()), watching(broker.port) as seen:
        wait_for(lambda: "edge-anonymizer/gate/yard/availability" in seen.last)
        wait_for(lambda: "edge-anonymizer/gate/availability" in seen.last)
        assert all(topic.startswith("edge-anonymizer/gate/") for topic in seen.last)


# What Home Assistant's documentation requires of the kinds of entities used here
UNITS: dict[str, set[str | None]] = {
    "temperature": {"°C"},
    "data_size": {"GB"},
    "duration": {"s"},
    "enum": {None},
}
BINARY_CLASSES = {"connectivity", "problem"}
TEMPLATE_KEYS = re.compile(r"value_json\.(\w+)")


def check_entity(entity: dict[str, Any], values: dict[str, dict[str, Any]]) -> None:
    assert entity["platform"] in ("sensor", "binary_sensor")
    assert entity["name"]
    assert entity.get("entity_category", "diagnostic") == "diagnostic"
    if entity["platform"] == "binary_sensor":
        assert entity["device_class"] in BINARY_CLASSES
        assert not {"state_class", "unit_of_measurement", "options"} & entity.keys()
    elif "device_class" in entity:
        assert entity["device_class"] in UNITS
        assert entity.get("unit_of_measurement") in UNITS[entity["device_class"]]
        assert ("options" in entity) == (entity["device_class"] == "enum")
        assert ("state_class" in entity) == (entity["device_class"] != "enum")
    else:
        assert entity["state_class"] == "total_increasing"
    if "availability" in entity:
        assert entity["availability_mode"] == "all"
        assert all(item["topic"].endswith("/availability") for item in entity["availability"])
        assert isinstance(entity["expire_after"], int)
    for template in ("value_template", "json_attributes_template"):
        keys = TEMPLATE_KEYS.findall(entity.get(template, ""))
        assert set(keys) <= values[entity["state_topic"]].keys()
        assert keys or template not in entity


def test_discovery_has_what_the_documentation_requires() -> None:
    status = Box().status()
    base = "site/edge/gate"
    values: dict[str, dict[str, Any]] = {f"{base}/state": box_state(status), f"{base}/availability": {}}
    payloads: list[tuple[str, dict[str, Any]]] = [(base, box_discovery(base, 30))]
    for camera in status.cameras:
        values[f"{base}/{camera.name}/state"] = camera_state(camera, status.store_folder)
        values[f"{base}/{camera.name}/availability"] = {}
        payloads.append((f"{base}/{camera.name}", camera_discovery(base, camera.name, 30)))
    identifiers = [payload["device"]["identifiers"] for _, payload in payloads]
    assert identifiers == [[base], [f"{base}/front"], [f"{base}/yard"]]
    ids: list[str] = []
    topics = set()
    for own, payload in payloads:
        assert payload["origin"]["name"]
        assert payload["device"]["name"]
        topic = discovery_topic("homeassistant", own)
        topics.add(topic)
        assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
        for key, entity in payload["components"].items():
            assert entity["unique_id"] == f"{own}/{key}"
            ids.append(entity["unique_id"])
            assert entity["state_topic"] in values
            check_entity(entity, values)
    assert len(set(ids)) == len(ids) == 7 + 2 * 6
    assert len(topics) == 3
    front = payloads[1][1]
    assert front["device"]["via_device"] == base
    assert [item["topic"] for item in front["components"]["written"]["availability"]] == [
        "site/edge/gate/availability",
        "site/edge/gate/front/availability",
    ]
    assert front["components"]["state"]["options"] == ["connecting", "live", "stale", "down", "ended"]


def test_ids_do_not_depend_on_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = camera_discovery("a/b", "front", 30)
    monkeypatch.setattr("edge.__version__", "99.0")
    after = camera_discovery("a/b", "front", 60)
    assert before["device"]["identifiers"] == after["device"]["identifiers"]
    assert [c["unique_id"] for c in before["components"].values()] == [
        c["unique_id"] for c in after["components"].values()
    ]
    assert discovery_topic("ha", "a/b-c") != discovery_topic("ha", "a-b/c")
