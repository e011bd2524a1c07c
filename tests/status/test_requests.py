"""Methods, bodies, headers, and random requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings

from edge.config import StatusConfig
from edge.status.guard import OPEN_PATHS
from tests.status.http_calls import PATHS, PREVIEW, code, get, raw
from tests.statuses import TOKEN, Box, serving


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


CHUNKED = b"GET /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        CHUNKED + b"zz\r\n",
        CHUNKED + b"5\r\nhello!!",
        b"\0\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_in_one_line_of_the_log(
    request_: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(StatusConfig(port=0)) as box:
        assert code(raw(box, request_)) in (400, 413)
        raw(box, request_)
        assert get(box, "/healthz").status_code == 200
    first, rest = (record.getMessage() for record in caplog.records)
    assert first.startswith("status endpoint: 127.0.0.1:")
    assert first.endswith(" sent no valid HTTP")
    assert "bad request: 1 more in" in rest
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
def test_every_answer_carries_the_headers(box: Box, path: str) -> None:
    for host in ("localhost", "evil.example"):
        headers = get(box, path, Host=host, Origin="http://evil.example").headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


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
