"""Who may ask the endpoint, for what, and how much: over a real socket, and with random requests."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from edge.config import StatusConfig
from edge.errors import ConfigError, EdgeError
from edge.status import server as server_module
from edge.status.guard import HEADER_BYTES, OPEN_PATHS, Hosts, parse_host, read_token
from edge.status.schema import Status, schema_text
from edge.status.server import BUSY_CONNECTIONS, MOST_CONNECTIONS
from tests.statuses import MOMENT, TOKEN, Box, make_camera, make_status, serving, token_file

ROOT = Path(__file__).resolve().parents[2]
START = "GET /status HTTP/1.1\r\nHost: localhost\r\n"
PREVIEW = "/preview/{camera}.jpg"
PATHS = ("/", "/healthz", "/readyz", "/status", "/metrics")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with serving(StatusConfig(port=0)) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """An endpoint that wants a token, and shows previews."""
    file = token_file(tmp_path_factory.mktemp("token"))
    with serving(StatusConfig(port=0, token_file=file, preview=True)) as running:
        yield running


def get(box: Box, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, box.address + path, headers=headers, timeout=10, trust_env=False)


def raw(box: Box, request: bytes) -> bytes:
    """Send bytes and read until the end of the connection."""
    host, port = box.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as caller:
        caller.sendall(request)
        parts = []
        while part := caller.recv(65536):
            parts.append(part)
    return b"".join(parts)


def code(answer: bytes) -> int:
    return int(answer.split()[1])


# The schema


def test_the_schema_in_docs_is_that_of_the_model() -> None:
    """After a change: python -m edge.status.schema > docs/status.schema.json"""
    assert (ROOT / "docs" / "status.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_answer_follows_the_schema(box: Box) -> None:
    answer = get(box, "/status").json()
    assert set(answer) == set(json.loads(schema_text())["properties"])
    assert Status.model_validate(answer) == box.status


# Metrics


def samples(box: Box) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = list(text_string_to_metric_families(get(box, "/metrics").text))
    assert len({family.name for family in families}) == len(families)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def test_gauges_say_what_the_status_says(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    yard = make_camera("yard", state="down", checked_seconds_ago=None, last_image=None, connections=3)
    status = make_status(
        make_camera(), yard, problems=["no"], temperature_celsius=None, load_level="no_tiles"
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
    assert value("load_level", level="no_tiles") == 1
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


# The token


@pytest.mark.parametrize("path", ["/readyz", "/status", "/metrics", "/preview/front.jpg", "/nothing"])
def test_without_the_token_nothing_is_told(locked: Box, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}, {"Authorization": TOKEN}):
        answer = get(locked, path, **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="')
        assert "front" not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_opens(locked: Box, scheme: str) -> None:
    assert get(locked, "/status", Authorization=f"{scheme} {TOKEN}").status_code == 200


@pytest.mark.parametrize(
    "value",
    [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}, x"],
)
def test_nearly_the_token_does_not(locked: Box, value: str) -> None:
    request = f"{START}Authorization: {value}\r\nConnection: close\r\n\r\n"
    assert code(raw(locked, request.encode())) == 401


def test_two_tokens_are_none(locked: Box) -> None:
    line = f"Authorization: Bearer {TOKEN}\r\n"
    request = f"{START}{line}{line}Connection: close\r\n\r\n"
    assert code(raw(locked, request.encode())) == 401


def test_a_token_of_other_bytes_is_refused_not_an_error(locked: Box) -> None:
    request = START.encode() + b"Authorization: Bearer \xc3\xa9\xff\r\nConnection: close\r\n\r\n"
    assert code(raw(locked, request)) == 401


def test_page_and_health_need_no_token_and_say_little(locked: Box) -> None:
    assert get(locked, "/healthz").json() == {"healthy": True}
    page = get(locked, "/")
    assert page.status_code == 200
    for secret in ("front", "192.0.2.10", "centerface", TOKEN):
        assert secret not in page.text


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"short\n", 0o600, "16 to 1024 characters"),
        (b"x" * 15, 0o600, "16 to 1024 characters"),
        (b"x" * 5000, 0o600, "16 to 1024 characters"),
        (b"with a space in the middle\n", 0o600, "printable ASCII"),
        (b"two-lines-of-text\ntwo-lines-of-text\n", 0o600, "printable ASCII"),
        ("schlüssel-schlüssel".encode(), 0o600, "printable ASCII"),
        (b"\xff" * 20, 0o600, "printable ASCII"),
        (b"\0" * 20, 0o600, "printable ASCII"),
        (TOKEN.encode(), 0o640, "chmod 600"),
        (TOKEN.encode(), 0o604, "chmod 600"),
        (TOKEN.encode(), 0o620, "chmod 600"),
    ],
)
def test_a_bad_token_file_is_refused_at_the_start(
    tmp_path: Path, content: bytes, mode: int, text: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=re.escape(text)) as caught:
        Box(StatusConfig(port=0, token_file=file))
    assert str(file) in str(caught.value)
    assert "status.token_file" in str(caught.value)
    assert content.decode("latin-1").strip() in ("", "short") or content.decode("latin-1") not in str(
        caught.value
    )


def test_a_token_file_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, text in (
        (tmp_path, "plain file"),
        (tmp_path / "pipe", "plain file"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(ConfigError, match=text):
            read_token(StatusConfig(token_file=path))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_end_of_the_line_is_no_part_of_the_token(tmp_path: Path, ending: str) -> None:
    file = token_file(tmp_path)
    file.write_bytes((TOKEN + ending).encode())
    assert read_token(StatusConfig(token_file=file)) == TOKEN


def test_other_machines_need_a_token() -> None:
    """The configuration says so, and the endpoint does not rely on it."""
    with pytest.raises(ValueError, match=r"status\.token_file"):
        StatusConfig(host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"status\.token_file"):
        read_token(StatusConfig.model_construct(host="0.0.0.0", socket=None, token_file=None))


# Names


@pytest.mark.parametrize(
    ("bound", "served", "refused"),
    [
        (
            "127.0.0.1",
            ["127.0.0.1", "localhost:1", "LOCALHOST.", "[::1]:8377", "127.9.9.9"],
            ["192.0.2.7", "box"],
        ),
        ("::1", ["[::1]", "localhost", "127.0.0.1:80"], ["[2001:db8::1]", "[::]"]),
        ("localhost", ["localhost", "[::ffff:127.0.0.1]"], ["0.0.0.0", "localhost.evil.example"]),
        (
            "192.0.2.7",
            ["192.0.2.7:8377", "localhost", "box.example", "[::ffff:192.0.2.7]"],
            ["192.0.2.8", "box"],
        ),
        ("2001:db8::7", ["[2001:DB8:0::7]:8377", "box.example"], ["[2001:db8::8]", "192.0.2.7"]),
        ("0.0.0.0", ["192.0.2.8", "[2001:db8::1]", "BOX.example:1"], ["evil.example", "box", ""]),
        ("::", ["[2001:db8::1]:8377", "10.0.0.1", "box.example."], ["evil.example", "1.2.3.4.evil.example"]),
    ],
)
def test_names_that_are_served(bound: str, served: list[str], refused: list[str]) -> None:
    hosts = Hosts(StatusConfig(host=bound, token_file=Path("unread"), allowed_hosts=("Box.Example",)))
    for header in served:
        host = parse_host(header)
        assert host is not None, header
        assert hosts.serves(host), header
    for header in refused:
        host = parse_host(header)
        assert host is not None, header
        assert not hosts.serves(host), header


@pytest.mark.parametrize(
    "header",
    ["a b", "[::1", "::1", "[127.0.0.1]", "localhost:x", "localhost:123456", "u@localhost", "a/b", "é"],
)
def test_malformed_host_headers(box: Box, header: str) -> None:
    assert parse_host(header) is None
    request = b"GET /status HTTP/1.1\r\nHost: " + header.encode() + b"\r\nConnection: close\r\n\r\n"
    assert code(raw(box, request)) == 400


@given(st.text(max_size=40))
def test_any_host_header_is_parsed_or_refused(header: str) -> None:
    host = parse_host(header)
    if isinstance(host, str):
        assert re.fullmatch(r"[a-z0-9._-]*", host)


@pytest.mark.parametrize(
    "request_lines",
    [
        "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
        "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        "GET /status HTTP/1.1\r\n",
        "GET /status HTTP/1.0\r\n",
    ],
)
def test_missing_and_duplicate_host_headers(box: Box, request_lines: str) -> None:
    assert code(raw(box, f"{request_lines}Connection: close\r\n\r\n".encode())) == 400


def test_the_name_in_the_request_line_is_no_way_around(box: Box) -> None:
    request = b"GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert code(raw(box, request)) == 404


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_a_foreign_name_gets_nothing(box: Box, path: str) -> None:
    answer = get(box, path, Host="evil.example")
    assert answer.status_code == 421
    assert "status.allowed_hosts" in answer.json()["detail"]


@pytest.mark.parametrize("text", ["", "http://box", "a b", "[::1", "box/path"])
def test_a_bad_allowed_host_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match=r"status\.allowed_hosts"):
        Box(StatusConfig(port=0, allowed_hosts=(text,)))


def test_ipv6() -> None:
    try:
        with serving(StatusConfig(host="::1", port=0)) as box:
            assert get(box, "/status").status_code == 200
            assert get(box, "/status", Host="[::2]").status_code == 421
    except EdgeError as error:
        pytest.skip(f"no IPv6 here: {error}")


# Methods, bodies, headers


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_body(box: Box, path: str) -> None:
    answer = get(box, path, "HEAD")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(box: Box, method: str) -> None:
    request = f"{method} /status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n"
    answer = raw(box, request.encode())
    assert code(answer) == 405
    assert b"allow: GET, HEAD" in answer
    assert b"access-control" not in answer.lower()


@pytest.mark.parametrize(
    "body", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_body_is_refused_and_the_connection_closed(box: Box, body: bytes) -> None:
    assert code(raw(box, b"GET /status HTTP/1.1\r\nHost: localhost\r\n" + body)) == 413


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_every_answer_carries_the_headers(box: Box, path: str) -> None:
    for host in ("localhost", "evil.example"):
        headers = get(box, path, Host=host, Origin="http://evil.example").headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_an_error_while_reading_is_told_without_its_text(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Status:
        raise RuntimeError("rtsp://admin:secret@192.0.2.10")

    monkeypatch.setattr(box, "read", fail)
    for path in ("/status", "/metrics", "/healthz", "/readyz"):
        answer = get(box, path)
        assert answer.status_code == 500
        assert "secret" not in answer.text
    monkeypatch.undo()
    assert get(box, "/status").status_code == 200


def test_illness_is_told_by_code(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "status", make_status(healthy=False, problems=["no camera is live"]))
    assert get(box, "/healthz").status_code == 503
    answer = get(box, "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["no camera is live"])


# Previews


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[str], Path]:
    def make(ending: str) -> Path:
        path = tmp_path / f"image{ending}"
        good, data = cv2.imencode(ending, np.full((16, 16, 3), 127, np.uint8))
        assert good
        path.write_bytes(data.tobytes())
        return path

    return make


def preview(box: Box, path: str) -> httpx.Response:
    return get(box, path, Authorization=f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("ending", "media_type"), [(".jpg", "image/jpeg"), (".png", "image/png"), (".webp", "image/webp")]
)
def test_a_preview_is_the_file(
    locked: Box, picture: Callable[[str], Path], ending: str, media_type: str
) -> None:
    locked.images["front"] = picture(ending)
    answer = preview(locked, "/preview/front.jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.content == locked.images["front"].read_bytes()
    assert get(locked, "/preview/front.jpg").status_code == 401


def test_a_preview_that_is_gone_or_strange_is_404(
    locked: Box, picture: Callable[[str], Path], tmp_path: Path
) -> None:
    path = picture(".jpg")
    link = tmp_path / "link.jpg"
    link.symlink_to(path)
    other = tmp_path / "secret.txt"
    other.write_text("secret")
    os.mkfifo(tmp_path / "pipe.jpg")
    for file in (tmp_path / "gone.jpg", link, other, tmp_path, tmp_path / "pipe.jpg"):
        locked.images["front"] = file
        assert preview(locked, "/preview/front.jpg").status_code == 404
    locked.images.clear()
    assert preview(locked, "/preview/front.jpg").status_code == 404


@pytest.mark.parametrize(
    "name",
    ["back", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "front%00", "FRONT", "front%2f", "", "front.jpg"],
)
def test_only_names_of_cameras_have_a_preview(locked: Box, picture: Callable[[str], Path], name: str) -> None:
    # Even if a file could be had for the name, it is asked for known cameras alone.
    image = picture(".jpg")
    for key in ("front", "back", "..", "../../etc/passwd", "FRONT", ""):
        locked.images[key] = image
    request = (
        f"GET /preview/{name}.jpg HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Connection: close\r\n\r\n"
    )
    assert code(raw(locked, request.encode())) == 404


def test_no_preview_unless_it_is_switched_on(box: Box, picture: Callable[[str], Path]) -> None:
    box.images["front"] = picture(".jpg")
    assert get(box, "/preview/front.jpg").status_code == 404


# Hostile clients


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
def test_any_bytes_are_survived(box: Box, data: bytes) -> None:
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


def through_guard(box: Box, method: str, *headers: tuple[bytes, bytes]) -> tuple[int, bytes]:
    """Status and body without an HTTP server, which refuses some requests by itself."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/status",
        "raw_path": b"/status",
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
    }
    asyncio.run(box.app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_the_guard_relies_on_no_server(box: Box) -> None:
    good, evil = (b"host", b"localhost"), (b"host", b"evil.example")
    assert through_guard(box, "GET", good)[0] == 200
    assert through_guard(box, "GET", good, evil)[0] == 400
    assert through_guard(box, "GET", good, good)[0] == 400
    assert through_guard(box, "GET")[0] == 400
    assert through_guard(box, "HEAD", good) == (200, b"")
    assert through_guard(box, "HEAD", evil) == (421, b"")


# Random requests


@pytest.mark.parametrize(
    ("path", "mode"),
    [*((path, "positive") for path in PATHS), (PREVIEW, "positive"), (PREVIEW, "negative")],
)
def test_random_requests(locked: Box, path: str, mode: str) -> None:
    """schemathesis: codes, types and bodies are those of the description, and it needs the token."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (extra test)")
    schema = schemathesis.openapi.from_dict(locked.app.openapi())
    schema.config.update(base_url=locked.address)
    operation = schema[path]["GET"]
    kind = schemathesis.GenerationMode(mode)

    @given(case=operation.as_strategy(generation_mode=kind))
    @settings(max_examples=20, deadline=None)
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

    check()


def test_the_description_names_every_path_and_the_token(box: Box, locked: Box) -> None:
    plain, described = box.app.openapi(), locked.app.openapi()
    assert set(plain["paths"]) == set(PATHS)
    assert set(described["paths"]) == {*PATHS, PREVIEW}
    for path, operations in described["paths"].items():
        needs_token = path not in OPEN_PATHS
        assert ("security" in operations["get"]) == needs_token
        assert ("401" in operations["get"]["responses"]) == needs_token
        assert {"400", "405", "413", "421", "431"} <= set(operations["get"]["responses"])
    assert "components" not in plain or "securitySchemes" not in plain["components"]
