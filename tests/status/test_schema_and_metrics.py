"""The answers to /status and /metrics, and the codes of the probes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.status.schema import Status, schema_text
from tests.status.http_calls import get
from tests.statuses import MOMENT, Box, make_camera, make_status

ROOT = Path(__file__).resolve().parents[2]


def test_the_schema_in_docs_is_that_of_the_model() -> None:
    """After a change: python -m edge.status.schema > docs/status.schema.json"""
    assert (ROOT / "docs" / "status.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_answer_follows_the_schema(box: Box) -> None:
    answer = get(box, "/status").json()
    assert set(answer) == set(json.loads(schema_text())["properties"])
    assert Status.model_validate(answer) == box.status


def samples(box: Box) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = list(text_string_to_metric_families(get(box, "/metrics").text))
    assert len({family.name for family in families}) == len(families)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def test_gauges_agree_with_the_status(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    yard = make_camera("yard", state="down", checked_seconds_ago=None, last_image=None, connections=3)
    yard = yard.model_copy(update={"smallest_face_pixels": 12})
    status = make_status(
        make_camera(), yard, problems=["no"], temperature_celsius=None, load_level="motion_mask"
    )
    monkeypatch.setattr(box, "status", status)
    found = samples(box)

    def value(name: str, **labels: str) -> float | None:
        return found.get((f"edge_{name}", frozenset(labels.items())))

    assert value("checked_frame_age_seconds", camera="front") == 0.2
    assert value("checked_frame_age_seconds", camera="yard") == float("inf")
    assert value("camera_state", camera="yard", state="down") == 1
    assert value("camera_state", camera="yard", state="live") == 0
    assert sum(v for (name, _), v in found.items() if name == "edge_camera_state") == 2
    assert value("camera_connections_total", camera="yard") == 3
    assert value("last_image_timestamp_seconds", camera="front") == MOMENT.timestamp()
    assert value("last_image_timestamp_seconds", camera="yard") is None
    assert value("smallest_face_pixels", camera="yard") == 12
    assert value("load_level", level="motion_mask") == 1
    assert value("load_level", level="full") == 0
    assert (value("healthy"), value("ready"), value("degraded")) == (1, 0, 0)
    assert value("known_face_age_seconds") == 12
    assert value("temperature_celsius") is None
    assert value("store_bytes") == 5 * 2**30
    assert value("store_free_bytes") == 20 * 2**30
    assert value("build_info", version="1.2.3") == 1


def test_metric_names_follow_the_conventions(box: Box) -> None:
    families = list(text_string_to_metric_families(get(box, "/metrics").text))
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(r"edge_[a-z0-9_]+", family.name)
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|faces|created)(_|$)", family.name)
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")


def test_an_error_while_reading_does_not_show_its_text(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Status:
        raise RuntimeError("rtsp://admin:secret@192.0.2.10")

    monkeypatch.setattr(box, "read", fail)
    for path in ("/status", "/metrics", "/healthz", "/readyz"):
        answer = get(box, path)
        assert answer.status_code == 500
        assert "secret" not in answer.text
    monkeypatch.undo()
    assert get(box, "/status").status_code == 200


def test_problems_show_in_the_status_code(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "status", make_status(healthy=False, problems=["no camera is live"]))
    assert get(box, "/healthz").status_code == 503
    answer = get(box, "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["no camera is live"])
