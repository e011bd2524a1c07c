"""Nothing but the page and /healthz without the token."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from edge.config import StatusConfig
from edge.errors import ConfigError
from edge.status.guard import read_token
from tests.status.http_calls import START, code, get, raw
from tests.statuses import TOKEN, Box, token_file


@pytest.mark.parametrize("path", ["/readyz", "/status", "/metrics", "/preview/front.jpg", "/nothing"])
def test_without_the_token_nothing_is_revealed(locked: Box, path: str) -> None:
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


def test_two_tokens_are_refused(locked: Box) -> None:
    line = f"Authorization: Bearer {TOKEN}\r\n"
    request = f"{START}{line}{line}Connection: close\r\n\r\n"
    assert code(raw(locked, request.encode())) == 401


def test_a_token_of_other_bytes_is_refused_not_an_error(locked: Box) -> None:
    request = START.encode() + b"Authorization: Bearer \xc3\xa9\xff\r\nConnection: close\r\n\r\n"
    assert code(raw(locked, request)) == 401


def test_page_and_health_need_no_token_and_reveal_little(locked: Box) -> None:
    assert get(locked, "/healthz").json() == {"healthy": True}
    page = get(locked, "/")
    assert page.status_code == 200
    for secret in ("front", "192.0.2.10", "face-fast", TOKEN):
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


def test_a_token_file_that_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, text in (
        (tmp_path, "is not a regular file"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(ConfigError, match=text):
            read_token(StatusConfig(token_file=path))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_line_end_is_not_part_of_the_token(tmp_path: Path, ending: str) -> None:
    file = token_file(tmp_path)
    file.write_bytes((TOKEN + ending).encode())
    assert read_token(StatusConfig(token_file=file)) == TOKEN


def test_other_machines_need_a_token() -> None:
    """The configuration says so, and the endpoint does not rely on it."""
    with pytest.raises(ValueError, match=r"status\.token_file"):
        StatusConfig(host="0.0.0.0")
    with pytest.raises(ConfigError, match=r"status\.token_file"):
        read_token(StatusConfig.model_construct(host="0.0.0.0", socket=None, token_file=None))
