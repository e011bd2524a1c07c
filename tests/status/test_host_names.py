"""The endpoint answers only to names of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import StatusConfig
from edge.errors import ConfigError, EdgeError
from edge.status.guard import Hosts, parse_host
from tests.status.http_calls import PATHS, code, get, raw
from tests.statuses import Box, serving


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


def test_the_name_in_the_request_line_does_not_bypass_the_check(box: Box) -> None:
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
