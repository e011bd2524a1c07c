"""Requests to a status endpoint, well-formed and as raw bytes."""

from __future__ import annotations

import socket

import httpx

from tests.statuses import Box

START = "GET /status HTTP/1.1\r\nHost: localhost\r\n"
PREVIEW = "/preview/{camera}.jpg"
PATHS = ("/", "/healthz", "/readyz", "/status", "/metrics")


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
