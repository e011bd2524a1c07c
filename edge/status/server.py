"""Serve the status application from a thread, on a socket that is bound before anything starts.

Clients get no more than a few dozen connections, 16 KiB of headers on each, and a few seconds of time, so
that the pipeline never runs out of file descriptors or memory, whatever is done to the endpoint.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.config import StatusConfig
from edge.errors import EdgeError
from edge.logs import Limited
from edge.status.guard import HEADER_BYTES

log = logging.getLogger(__name__)

BUSY_CONNECTIONS, MOST_CONNECTIONS = 32, 64
"""From the first number on, requests are answered with 503; above the second, connections are cut at once."""
REQUEST_SECONDS = 15.0
"""How long a connection may take from its start, or the previous answer, to the end of the next answer."""
IDLE_SECONDS = 5
_limited = Limited(log)


class StatusServer:
    """uvicorn in a thread. ``address`` is where it listens: a URL or the path of a unix socket."""

    def __init__(self, app: FastAPI, config: StatusConfig) -> None:
        """Bind the socket. Raises EdgeError when that fails."""
        self._path = config.socket
        self._socket = _bind_unix(config.socket) if config.socket else _bind_tcp(config.host, config.port)
        self.address = str(config.socket) if config.socket else _url(self._socket)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=BUSY_CONNECTIONS,
                backlog=MOST_CONNECTIONS,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=1,
                h11_max_incomplete_event_size=HEADER_BYTES,
            )
        )
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Start to serve. Until the thread is ready, connections wait in the socket."""
        self._socket.listen(MOST_CONNECTIONS)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and remove the unix socket."""
        self._server.should_exit = True
        self._thread.join(5)
        _limited.report(last=True)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


class _Protocol(H11Protocol):
    """One connection, with a deadline and a limit on their number; uvicorn only ends idle connections."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._restart_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        # Also for a closing connection, which lasts until the client has received everything.
        self._restart_deadline()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in one line of the log. A request of which only the body is malformed is
        with the application already, whose answer can no longer be sent."""
        _limited.warning("status endpoint", "bad request", f"{self._client()} sent no valid HTTP")
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        super().send_400_response(msg)

    def _client(self) -> str:
        return f"{self.client[0]}:{self.client[1]}" if self.client else "a unix socket"

    def _restart_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)


def _bind_tcp(host: str, port: int) -> socket.socket:
    # Do not ask the resolver for localhost: without a token it must be loopback.
    host = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise EdgeError(
            f"status endpoint {host}:{port}: {error.strerror}; set status.port to a free one (0: any), "
            "and status.host to an address of this machine"
        ) from error
    return bound


def _bind_unix(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()  # left over from a process that was killed
        bound.bind(str(path))
        os.chmod(path, 0o600)
    except OSError as error:
        bound.close()
        raise EdgeError(f"status socket {path}: {error.strerror or error}; correct status.socket") from error
    return bound


def _answers(path: Path) -> bool:
    """Whether a process listens on a unix socket. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
