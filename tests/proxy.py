"""A TCP proxy between a camera and its reader that delays or damages what the camera sends."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

Damage = Callable[[int, bytes], bytes]
"""Gets how many bytes came before on this connection, and the next ones."""


class Proxy:
    """Listens on 127.0.0.1; ``delay_seconds`` and ``damage`` may change while it runs."""

    def __init__(self, camera_port: int) -> None:
        self.delay_seconds = 0.0
        self.damage: Damage | None = None
        self._camera_port = camera_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                reader, _ = self._listener.accept()
                try:
                    camera = socket.create_connection(("127.0.0.1", self._camera_port))
                except OSError:
                    reader.close()
                    continue
                self._open += [reader, camera]
                waiting: deque[tuple[float, bytes]] = deque()
                for work, *arguments in (
                    (self._forward, reader, camera),
                    (self._take, camera, waiting),
                    (self._give, waiting, reader),
                ):
                    threading.Thread(target=work, args=arguments, daemon=True).start()

    def _forward(self, reader: socket.socket, camera: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := reader.recv(65536):
                camera.sendall(data)
        shut(reader, camera)

    def _take(self, camera: socket.socket, waiting: deque[tuple[float, bytes]]) -> None:
        count = 0
        with contextlib.suppress(OSError):
            while data := camera.recv(65536):
                waiting.append((time.monotonic(), self.damage(count, data) if self.damage else data))
                count += len(data)
        waiting.append((time.monotonic(), b""))

    def _give(self, waiting: deque[tuple[float, bytes]], reader: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                if waiting and time.monotonic() >= waiting[0][0] + self.delay_seconds:
                    data = waiting.popleft()[1]
                    if not data:
                        break
                    reader.sendall(data)
                else:
                    time.sleep(0.002)
        shut(reader)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shut(self._listener, *self._open)
        for each in (self._listener, *self._open):
            each.close()


def shut(*sockets: socket.socket) -> None:
    """End connections in both directions; those that have ended stay so."""
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
