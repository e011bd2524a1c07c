"""Clients that are slow, many, huge or random do not hold up the rest."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import StatusConfig
from edge.status import server as server_module
from edge.status.guard import HEADER_BYTES
from edge.status.schema import Status
from edge.status.server import BUSY_CONNECTIONS, MOST_CONNECTIONS
from tests.status.http_calls import code, get, raw
from tests.statuses import Box, make_status, serving


def trickle(caller: socket.socket) -> None:
    for _ in range(200):
        time.sleep(0.1)
        caller.sendall(b"X-Slow: 1\r\n")


def test_slow_clients_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.5)
    with serving(StatusConfig(port=0)) as box:
        host, port = box.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as caller:
            caller.sendall(b"GET /status HTTP/1.1\r\n")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                trickle(caller)
        assert get(box, "/healthz").status_code == 200


def test_a_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.5)
    with serving(StatusConfig(port=0)) as box:
        box.status = make_status(problems=["x" * 20_000_000])
        host, port = box.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as caller:
            caller.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connections = box.server._server.server_state.connections
            deadline = time.monotonic() + 20
            while not connections and time.monotonic() < deadline:
                time.sleep(0.02)
            while connections and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not connections


def test_many_connections_leave_room_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 2.0)
    with serving(StatusConfig(port=0)) as box:
        host, port = box.address.removeprefix("http://").split(":")
        before = len(os.listdir("/proc/self/fd"))
        idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(MOST_CONNECTIONS * 2)]
        time.sleep(0.5)
        connections = box.server._server.server_state.connections
        assert BUSY_CONNECTIONS <= len(connections) <= MOST_CONNECTIONS
        assert len(os.listdir("/proc/self/fd")) <= before + len(idle) + MOST_CONNECTIONS + 8
        for caller in idle:
            caller.close()
        deadline = time.monotonic() + 20
        while connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert get(box, "/healthz").status_code == 200


def test_a_busy_endpoint_says_so() -> None:
    with serving(StatusConfig(port=0)) as box:
        host, port = box.address.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port)), timeout=10) for _ in range(BUSY_CONNECTIONS)]
        time.sleep(0.3)
        assert get(box, "/healthz").status_code == 503
        for caller in idle:
            caller.close()


@pytest.mark.parametrize(
    "header", [b"X: " + b"a" * 2 * HEADER_BYTES, b"\r\n".join(b"X%d: 1" % n for n in range(5000))]
)
def test_huge_headers_are_refused(box: Box, header: bytes) -> None:
    try:
        answer = raw(box, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
        assert code(answer) in (400, 431)
    except ConnectionError:
        pass  # closed while the rest was still being sent
    assert get(box, "/healthz").status_code == 200


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
def test_the_endpoint_survives_any_bytes(box: Box, data: bytes) -> None:
    host, port = box.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as caller:
        caller.sendall(data)
    assert get(box, "/healthz").status_code == 200


def test_the_status_may_hang_without_hanging_the_rest() -> None:
    release = threading.Event()
    with serving(StatusConfig(port=0)) as box:

        def hang() -> Status:
            release.wait(20)
            return make_status()

        box.read = hang
        connection = http.client.HTTPConnection(box.address.removeprefix("http://"), timeout=20)
        connection.request("GET", "/status")
        assert get(box, "/").status_code == 200
        release.set()
        assert connection.getresponse().status == 200
        connection.close()
