"""Serve the status application from a thread, on a socket that was bound before anything starts."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from edge.config import StatusConfig
from edge.errors import EdgeError


class StatusServer:
    """uvicorn in a thread. ``address`` says where it listens."""

    def __init__(self, app: FastAPI, config: StatusConfig) -> None:
        """Bind the socket. Raises EdgeError when that fails."""
        self._path = config.socket
        self._socket = _bind_unix(config.socket) if config.socket else _bind_tcp(config.host, config.port)
        self.address = str(config.socket) if config.socket else _url(self._socket)
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", server_header=False)
        )
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and remove the unix socket."""
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


def _bind_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise EdgeError(
            f"status endpoint {host}:{port}: {error.strerror}; set status.port to a free one (0: any)"
        ) from error
    return bound


def _bind_unix(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # left behind by a process that was killed
        bound.bind(str(path))
        os.chmod(path, 0o600)
    except OSError as error:
        bound.close()
        raise EdgeError(f"status socket {path}: {error.strerror}; correct status.socket") from error
    return bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
