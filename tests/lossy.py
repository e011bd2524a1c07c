"""A network between an RTSP camera and its viewer that loses packets: RTP over UDP, or inside TCP.

The second is what a camera does whose TCP connection is too slow: it leaves packets out.
"""

from __future__ import annotations

import contextlib
import random
import re
import select
import socket
import threading
from types import TracebackType

from tests.proxy import shut

_PORTS = re.compile(rb"client_port=(\d+)-(\d+)")
_UDP_BYTES, _TCP_BYTES = 65536, 65536


class LossyNetwork:
    """Listens on 127.0.0.1. Each RTP packet is lost with probability ``loss``, which may change, and so may
    ``camera_port``; ``lost`` and ``sent`` count packets."""

    def __init__(self, camera_port: int, loss: float, seed: int = 0) -> None:
        self.loss = loss
        self.lost = self.sent = 0
        self._chance = random.Random(seed)
        self.camera_port = camera_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            viewer, _ = self._listener.accept()
            try:
                camera = socket.create_connection(("127.0.0.1", self.camera_port))
            except OSError:  # the camera is away
                viewer.close()
                continue
            self._open += [viewer, camera]
            thread = threading.Thread(target=self._serve, args=(viewer, camera))
            self._threads.append(thread)
            thread.start()

    def _serve(self, viewer: socket.socket, camera: socket.socket) -> None:
        """One connection, until either side ends it."""
        ports: dict[socket.socket, int] = {}  # sockets to which the camera sends, and the viewer's ports
        with contextlib.suppress(OSError):
            self._pass_on(viewer, camera, ports)
        shut(viewer, camera)
        for each in (viewer, camera, *ports):
            each.close()

    def _pass_on(self, viewer: socket.socket, camera: socket.socket, ports: dict[socket.socket, int]) -> None:
        inside = _Interleaved()
        while not self._ended.is_set():
            for ready in select.select([viewer, camera, *ports], [], [], 0.1)[0]:
                if ready in ports:
                    data = ready.recv(_UDP_BYTES)
                    if not (ready is next(iter(ports)) and self._loses()):
                        ready.sendto(data, ("127.0.0.1", ports[ready]))
                    continue
                data = ready.recv(_TCP_BYTES)
                if not data:
                    return
                if ready is viewer:
                    camera.sendall(self._redirected(data, ports))
                else:
                    viewer.sendall(b"".join(p for p in inside.parts(data) if not self._left_out(p)))

    def _redirected(self, request: bytes, ports: dict[socket.socket, int]) -> bytes:
        """A request in which the viewer's ports are replaced by ones of our own."""
        asked = _PORTS.search(request)
        if asked is None:
            return request
        for port in asked.groups():
            own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            own.bind(("127.0.0.1", 0))
            ports[own] = int(port)
            self._open.append(own)
        first, second = (own.getsockname()[1] for own in ports)
        return _PORTS.sub(b"client_port=%d-%d" % (first, second), request)

    def _left_out(self, part: bytes) -> bool:
        return part[:1] == b"$" and part[1] % 2 == 0 and self._loses()

    def _loses(self) -> bool:
        self.sent += 1
        lost = self._chance.random() < self.loss
        self.lost += lost
        return lost

    def __enter__(self) -> LossyNetwork:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()


class _Interleaved:
    """Cuts what a camera sends over TCP into RTP packets and answers (RFC 2326, 10.12)."""

    def __init__(self) -> None:
        self._rest = b""

    def parts(self, data: bytes) -> list[bytes]:
        """Whole packets, each with its four bytes in front, and pieces of answers."""
        self._rest += data
        found: list[bytes] = []
        while self._rest:
            if self._rest[:1] == b"$":
                size = 4 + int.from_bytes(self._rest[2:4], "big") if len(self._rest) >= 4 else 4
                if len(self._rest) < size:
                    break
            else:
                end = self._rest.find(b"\r\n\r\n")
                if end < 0:
                    break
                size = end + 4 + _body(self._rest[:end])
                if len(self._rest) < size:
                    break
            found.append(self._rest[:size])
            self._rest = self._rest[size:]
        return found


def _body(answer: bytes) -> int:
    length = re.search(rb"(?i)content-length: *(\d+)", answer)
    return int(length.group(1)) if length else 0
