"""Refuse requests without the bearer token, for foreign host names, or of a kind that is never needed."""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import stat
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.config import StatusConfig
from edge.errors import ConfigError

log = logging.getLogger(__name__)

TOKEN_MIN_CHARACTERS, TOKEN_MAX_CHARACTERS = 16, 1024
HEADER_BYTES = 16 * 1024
"""Upper limit for the target and all names and values of headers together; the HTTP parser only limits what
it has not received completely."""
OPEN_PATHS = ("/", "/healthz")
"""Served without a token. The page holds no data and asks for the token itself; load balancers and
supervisors often cannot send one, and /healthz tells them a single bit."""
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*))(?::[0-9]{0,5})?")
Host = str | IPv4Address | IPv6Address


def read_token(config: StatusConfig) -> str | None:
    """The token of ``status.token_file``; None if none is needed.

    Raises ConfigError when the file cannot be read, when others can read it, when it holds no valid token,
    and when no file is configured although other machines can reach the endpoint.
    """
    path = config.token_file
    if path is None:
        if not config.loopback:
            raise ConfigError(f"status.host = {config.host!r} needs status.token_file")
        return None
    name = f"status.token_file {path}"
    content, state = _read(path, name)
    # A file of another owner may be shared with a group on purpose, such as root:edge 0640.
    forbidden = 0o077 if state.st_uid == os.geteuid() else 0o007
    if state.st_mode & forbidden:
        raise ConfigError(f"{name}: others may read or change it; correct this with: chmod 600 {path}")
    way_out = f"write one with: (umask 077; openssl rand -hex 32 > {path})"
    token = content.removesuffix(b"\n").removesuffix(b"\r")
    if not token:
        raise ConfigError(f"{name}: is empty; {way_out}")
    if not all(0x21 <= byte <= 0x7E for byte in token):
        raise ConfigError(f"{name}: must be one line of printable ASCII without spaces; {way_out}")
    if not TOKEN_MIN_CHARACTERS <= len(token) <= TOKEN_MAX_CHARACTERS:
        raise ConfigError(
            f"{name}: must have {TOKEN_MIN_CHARACTERS} to {TOKEN_MAX_CHARACTERS} characters; {way_out}"
        )
    return token.decode("ascii")


def _read(path: Path, name: str) -> tuple[bytes, os.stat_result]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}; correct the path, or create the file") from error
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(f"{name}: is not a regular file")
        return os.read(handle, TOKEN_MAX_CHARACTERS + 3), state
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from error
    finally:
        os.close(handle)


def parse_host(header: str) -> Host | None:
    """The name or address in a Host header, without its port; None if it is malformed.

    >>> parse_host("[::1]:8377"), parse_host("LocalHost:8377"), parse_host("127.0.0.1"), parse_host("a b")
    (IPv6Address('::1'), 'localhost', IPv4Address('127.0.0.1'), None)
    """
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    in_brackets, name = match.groups()
    try:
        address = ip_address(in_brackets if in_brackets is not None else name)
    except ValueError:
        return None if in_brackets is not None else name.lower().removesuffix(".")
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return None if in_brackets is not None else address


class Hosts:
    """The names and addresses under which the endpoint is served (RFC 9110, 7.4), against DNS rebinding.

    A foreign page whose name is made to resolve to this box always sends that name in the Host header.
    Literal addresses of loopback and of the socket are therefore safe, and if the socket is bound to all
    addresses, so is every literal address. Names other than localhost must be in ``status.allowed_hosts``,
    even the machine's own name: in a foreign network anyone may answer for it.
    """

    def __init__(self, config: StatusConfig) -> None:
        """Raises ConfigError if an entry of ``status.allowed_hosts`` is not a name or address."""
        bound = parse_host(f"[{config.host}]" if ":" in config.host else config.host)
        self._any_address = not isinstance(bound, str | None) and bound.is_unspecified
        self._allowed: set[Host | None] = {"localhost", bound}
        for number, text in enumerate(config.allowed_hosts, 1):
            host = parse_host(f"[{text}]" if text.count(":") > 1 and "[" not in text else text)
            if not host:
                raise ConfigError(
                    f"status.allowed_hosts: entry {number} is not a host name or address, such as "
                    "'box.example' or '192.0.2.7'"
                )
            self._allowed.add(host)

    def serves(self, host: Host) -> bool:
        if host in self._allowed:
            return True
        return not isinstance(host, str) and (host.is_loopback or self._any_address)


class Guard:
    """ASGI middleware: refuses requests, and adds the headers that every answer has.

    Only GET and HEAD without a body are allowed. HEAD is passed on as GET, and the body of the answer is
    left out.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts | None, token: str | None) -> None:
        """Without ``hosts`` (on a unix socket) the Host header is not checked."""
        self._app = app
        self._hosts = hosts
        self._token = token.encode("ascii") if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the status endpoint does not speak {scope['type']}")
        head = scope["method"] == "HEAD"
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers[name] = value
            elif head:
                message = {**message, "body": b""}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, text, extra = refusal
            await _refuse(answer, status, text, extra)
            return
        try:
            await self._app({**scope, "method": "GET"}, receive, answer)
        # Whatever fails while the status is read, the client gets an answer and the log a line.
        except Exception as error:
            log.error("status endpoint: %s: %s: %s", scope["path"], type(error).__name__, error)
            if not started:
                await _refuse(answer, 500, "the status could not be read; see the log", {})

    def _refusal(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Status code, text and headers of a refusal, or None."""
        values: dict[bytes, list[bytes]] = {}
        length = len(scope["path"]) + len(scope["query_string"])
        for name, value in scope["headers"]:
            values.setdefault(name, []).append(value)
            length += len(name) + len(value)
        if length > HEADER_BYTES:
            return 431, "the headers are too large", {"Connection": "close"}
        if self._hosts is not None:
            named = values.get(b"host", [])
            host = parse_host(named[0].decode("latin-1")) if len(named) == 1 else None
            if host is None:
                return 400, "exactly one well-formed Host header is needed", {"Connection": "close"}
            if not self._hosts.serves(host):
                return 421, f"{host} is not served here; add it to status.allowed_hosts", {}
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "only GET and HEAD are allowed", {"Allow": "GET, HEAD", "Connection": "close"}
        if b"transfer-encoding" in values or values.get(b"content-length", [b"0"]) != [b"0"]:
            return 413, "requests may not have a body", {"Connection": "close"}
        if self._token is not None and scope["path"] not in OPEN_PATHS:
            return self._unauthorized(values.get(b"authorization", []))
        return None

    def _unauthorized(self, given: list[bytes]) -> tuple[int, str, dict[str, str]] | None:
        challenge = 'Bearer realm="edge anonymizer"'
        if not given:
            return 401, "a bearer token is needed (status.token_file)", {"WWW-Authenticate": challenge}
        scheme, _, token = given[0].partition(b" ")
        if (
            len(given) == 1
            and scheme.lower() == b"bearer"
            and self._token is not None
            and hmac.compare_digest(token.strip(b" "), self._token)
        ):
            return None
        challenge += ', error="invalid_token"'
        return 401, "this is not the token in status.token_file", {"WWW-Authenticate": challenge}


async def _refuse(send: Send, status: int, text: str, extra: dict[str, str]) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **extra}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
