"""The endpoint, over a real socket."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.config import StatusConfig, make_config
from edge.daemon.appliance import Appliance
from edge.errors import EdgeError
from edge.reasons import Reason
from edge.sources.synthetic import SyntheticSource
from edge.status.app import create_app
from edge.status.metrics import Metrics
from edge.status.schema import Status
from edge.status.server import MOST_CONNECTIONS, StatusServer
from edge.store.usage import Usage
from tests.statuses import Box, serving


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert true()


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """A running appliance with the synthetic camera; a thread ticks."""
    folder = tmp_path_factory.mktemp("images")
    settings = make_config(
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
        try:
            wait_until(lambda: running.status().cameras[0].written > 0)
            yield running
        finally:
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
    wait_until(lambda: appliance.status().cameras[0].captured > first.cameras[0].captured)
    second = Status.model_validate_json(get(appliance, "/status")[1])
    assert second.cameras[0].captured > first.cameras[0].captured > 0
    assert second.cameras[0].written >= first.cameras[0].written > 0
    assert second.cameras[0].state == "live"
    assert second.provider == "cpu"
    assert set(second.stages) >= {"detect", "hold", "blur", "encode", "write"}


def test_health_and_readiness(appliance: Appliance) -> None:
    assert get(appliance, "/healthz")[0] == 200
    code, text, _ = get(appliance, "/readyz")
    assert (code, json.loads(text)) == (200, {"ready": True, "problems": []})


def test_metrics_are_those_of_prometheus(appliance: Appliance) -> None:
    code, text, headers = get(appliance, "/metrics")
    assert code == 200
    assert headers["content-type"].startswith("text/plain")
    assert re.search(r'^edge_detector_info\{detector="face",provider="cpu",sha256="', text, re.MULTILINE)
    assert 'edge_camera_state{camera="cam",state="live"} 1.0' in text
    assert re.search(r'^edge_images_written_total\{camera="cam"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^edge_frames_dropped_total\{camera="cam",reason="stale"\} 0', text, re.MULTILINE)
    assert 'edge_stage_seconds_bucket{le="0.005",stage="blur"}' in text


def test_the_page_needs_nothing_from_outside(appliance: Appliance) -> None:
    code, text, headers = get(appliance, "/")
    assert code == 200
    assert "<title>Edge anonymizer</title>" in text
    assert not re.search(r"https?://|src=|@import|<img|url\(", text)
    assert re.findall("<link.*>", text) == ['<link rel="icon" href="data:,">']
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_local_names_are_answered(appliance: Appliance, host: str) -> None:
    assert get(appliance, "/status", Host=f"{host}:1234")[0] == 200


def test_the_pipeline_does_not_mind_hostile_clients(appliance: Appliance) -> None:
    port = int(appliance.address.rsplit(":", 1)[1])
    before = appliance.status().cameras[0].captured
    callers = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3 * MOST_CONNECTIONS)]
    for caller in callers:
        with contextlib.suppress(OSError):  # cut at once, as one too many
            caller.sendall(b"GET /status HTTP/1.1\r\nX: ")
    wait_until(lambda: appliance.status().cameras[0].captured >= before + 5)
    status = appliance.status()
    for caller in callers:
        caller.close()
    assert status.cameras[0].captured >= before + 5
    assert status.healthy
    assert not status.store_error


def test_a_port_in_use_is_named(appliance: Appliance) -> None:
    port = int(appliance.address.rsplit(":", 1)[1])
    config = StatusConfig(port=port)
    app = create_app(config, appliance.status, Metrics().text, lambda camera: None)
    with pytest.raises(EdgeError, match=rf"{port}.*status\.port"):
        StatusServer(app, config)


def test_a_unix_socket_is_private_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "status.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    with serving(StatusConfig(socket=path)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            # On a unix socket the name is not checked.
            assert client.get("http://box.example/healthz").json() == {"healthy": True}
        with pytest.raises(EdgeError, match=r"in use.*status\.socket"):
            Box(StatusConfig(socket=path))
        assert path.exists()
    assert not path.exists()


def test_counters_of_a_camera() -> None:
    metrics = Metrics()
    metrics.add_camera("cam")
    text = metrics.text().decode()
    assert 'edge_frames_covered_whole_total{camera="cam",reason="overflow"} 0.0' in text
    assert "_created" not in text
    assert metrics.last_image("cam") is None
    assert metrics.checked_seconds_ago("cam") is None
    metrics.dropped("cam", Reason.STALE)
    metrics.covered_whole("cam", Reason.OVERFLOW)
    assert metrics.covered("cam") is None
    metrics.written("cam", 3, 1, 0.25, 1_700_000_000_500_000_000)
    assert metrics.covered("cam") == 0.25
    metrics.checked("cam")
    assert metrics.count("frames_dropped", "cam", Reason.STALE) == 1
    assert metrics.count("frames_dropped", "cam", Reason.LOAD) == 0
    assert metrics.count("frames_covered_whole", "cam", Reason.OVERFLOW) == 1
    assert (metrics.count("regions", "cam"), metrics.count("regions_held", "cam")) == (3, 1)
    moment = metrics.last_image("cam")
    assert moment is not None
    assert moment.isoformat() == "2023-11-14T22:13:20.500000+00:00"
    ago = metrics.checked_seconds_ago("cam")
    assert ago is not None
    assert 0 <= ago < 60


def test_only_the_provider_that_runs_now_is_shown() -> None:
    metrics = Metrics()
    metrics.set_detector("face-fast", "ab", "cuda")
    metrics.set_detector("face-fast", "ab", "cpu")
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("edge_detector_info")]
    assert lines == ['edge_detector_info{detector="face-fast",provider="cpu",sha256="ab"} 1.0']


def image(folder: Path, name: str, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * size)


def test_usage_counts_what_lies_there_and_what_is_added(tmp_path: Path) -> None:
    image(tmp_path / "cam" / "2024-05-06", "a.jpg", 100)
    image(tmp_path / "cam" / "2024-05-07", "b.png", 20)
    image(tmp_path / "yard" / "2024-05-07", "c.webp", 3)
    image(tmp_path / "yard" / "2024-05-07", ".d.jpg", 1000)
    image(tmp_path / "yard", "audit.log", 1000)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "yard" / "link.jpg").symlink_to(tmp_path / "cam" / "2024-05-06" / "a.jpg")
    usage = Usage(tmp_path)
    assert (usage.bytes, usage.images) == (None, None)
    usage.start()
    wait_until(lambda: usage.bytes is not None)
    assert (usage.bytes, usage.images) == (123, 3)
    usage.add(7)
    assert (usage.bytes, usage.images) == (130, 4)
    usage.add(-100, -1)
    assert (usage.bytes, usage.images) == (30, 3)
    usage.stop()


def test_usage_does_not_count_images_twice_that_are_written_during_the_count(tmp_path: Path) -> None:
    for number in range(3000):
        image(tmp_path / "cam" / str(number % 10), f"{number}.jpg", 10)
    time.sleep(0.05)  # files are stamped by a clock of a few milliseconds
    usage = Usage(tmp_path)
    usage.start()
    time.sleep(0.02)
    for number in range(200):
        image(tmp_path / "cam" / str(number % 10), f"new-{number}.jpg", 10)
        usage.add(10)
    wait_until(lambda: usage.bytes is not None)
    assert (usage.bytes, usage.images) == (32000, 3200)


def test_usage_can_be_stopped_and_never_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5000):
        image(tmp_path / "cam", f"{number}.jpg", 1)
    usage = Usage(tmp_path)
    usage.start()
    usage.stop()
    assert usage.bytes in (None, 5000)
    gone = Usage(tmp_path / "none")
    gone.start()
    wait_until(lambda: gone.bytes == 0)
    assert gone.free_bytes() is None
    assert (usage.free_bytes() or 0) > 0
    broken = Usage(tmp_path / "cam" / "0.jpg")
    broken.start()
    broken._thread.join(30)
    assert broken.bytes is None
    assert "size remains unknown" in caplog.text
