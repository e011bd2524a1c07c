"""The endpoint, over a real socket."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.appliance import Appliance
from edge.config import StatusConfig, build
from edge.errors import EdgeError
from edge.sources.synthetic import SyntheticSource
from edge.status.app import LOCAL_HOSTS, create_app
from edge.status.metrics import Metrics
from edge.status.schema import Status
from edge.status.server import StatusServer


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """A running appliance with the synthetic camera; a thread ticks."""
    folder = tmp_path_factory.mktemp("images")
    settings = build(
        {"store": {"folder": folder}, "status": {"port": 0}, "detector": {"provider": "cpu"}}, "test"
    )
    stop = threading.Event()
    with Appliance(settings, [SyntheticSource("cam", 120, stop)], stop) as running:
        ended = threading.Event()

        def tick() -> None:
            while not ended.is_set():
                running.pipeline.tick(0.1)

        thread = threading.Thread(target=tick)
        thread.start()
        deadline = time.monotonic() + 30
        while not running.status().cameras[0].written and time.monotonic() < deadline:
            time.sleep(0.05)
        yield running
        ended.set()
        thread.join()


def get(appliance: Appliance, path: str, **headers: str) -> tuple[int, str, Any]:
    request = urllib.request.Request(appliance.address + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def test_status_counts_what_happens(appliance: Appliance) -> None:
    first = Status.model_validate_json(get(appliance, "/status")[1])
    time.sleep(0.5)
    second = Status.model_validate_json(get(appliance, "/status")[1])
    assert second.cameras[0].captured > first.cameras[0].captured > 0
    assert second.cameras[0].written >= first.cameras[0].written > 0
    assert second.cameras[0].state == "live"
    assert second.provider == "cpu"
    assert set(second.stages) == {"detect", "hold", "blur", "encode", "write"}


def test_health_and_readiness(appliance: Appliance) -> None:
    assert get(appliance, "/healthz")[0] == 200
    code, text, _ = get(appliance, "/readyz")
    assert (code, json.loads(text)) == (200, {"ready": True, "problems": []})


def test_metrics_are_those_of_prometheus(appliance: Appliance) -> None:
    code, text, headers = get(appliance, "/metrics")
    assert code == 200
    assert headers["content-type"].startswith("text/plain")
    assert re.search(r'^edge_images_written_total\{camera="cam"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^edge_frames_dropped_total\{camera="cam",reason="stale"\} 0', text, re.MULTILINE)
    assert 'edge_stage_seconds_bucket{le="0.005",stage="blur"}' in text


def test_the_page_needs_nothing_from_outside(appliance: Appliance) -> None:
    code, text, headers = get(appliance, "/")
    assert code == 200
    assert "<title>Edge anonymizer</title>" in text
    assert not re.search(r"https?://|src=|@import|<link|<img", text)
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/images", "/../etc/passwd"])
def test_nothing_else_is_served(appliance: Appliance, path: str) -> None:
    assert get(appliance, path)[0] == 404


def test_no_pixels_leave(appliance: Appliance) -> None:
    for path in ("/", "/status", "/metrics", "/healthz", "/readyz"):
        _, text, headers = get(appliance, path)
        assert not headers["content-type"].startswith("image/")
        assert "base64" not in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_other_names_are_not_answered(appliance: Appliance, host: str) -> None:
    assert get(appliance, "/status", Host=host)[0] == 421


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_local_names_are_answered(appliance: Appliance, host: str) -> None:
    assert get(appliance, "/status", Host=f"{host}:1234")[0] == 200


def test_a_port_in_use_is_named(appliance: Appliance) -> None:
    port = int(appliance.address.rsplit(":", 1)[1])
    app = create_app(appliance.status, Metrics().text, check_host=True)
    with pytest.raises(EdgeError, match=rf"{port}.*status\.port"):
        StatusServer(app, StatusConfig(port=port))


def test_a_unix_socket_is_private_and_goes_away(appliance: Appliance, tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    app = create_app(appliance.status, Metrics().text, check_host=False)
    server = StatusServer(app, StatusConfig(socket=path))
    server.start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        for _ in range(50):
            try:
                answer = client.get("http://box/healthz")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
    assert answer.json() == {"healthy": True}
    server.stop()
    assert not path.exists()
