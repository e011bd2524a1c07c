"""The cameras of the soak: HTTP motion JPEG and RTSP, each behind a proxy, each with faults on demand.

All of them live on 127.0.0.1. ``begin`` starts a fault and ``end`` ends it:

* still: HTTP only: the same bytes are sent again and again;
* frozen: RTSP only: the same picture is encoded again and again, so no two decoded ones are equal;
* silent: HTTP only: connected, but nothing is sent; afterwards the newest picture;
* stop: RTSP only: SIGSTOP of the server, then SIGCONT;
* hold: the network stands still, and then delivers everything late;
* kill: RTSP: SIGKILL of the server, and a new one; HTTP: every connection reset and the port closed;
* flip: HTTP: random bytes of each JPEG are changed; RTSP: random bytes of the stream are;
* noise: random bytes in place of the stream;
* lost 1 %, lost 8 %: RTSP only: so many RTP packets are lost, at random.

An RTSP camera sends its pictures inside the TCP connection, or by UDP, past the proxy. Then hold, flip and
noise would not reach them and are left out.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2

from benchmarks.soak.rtsp import HEAD_BYTES, SLOTS
from benchmarks.soak.scene import HEIGHT, WIDTH, Scene
from edge.frames import Pixels
from tests.lossy import LossyNetwork

SYSTEM_PYTHON = "/usr/bin/python3"
_FLIPS_PER_PICTURE = 20
_FLIP_EVERY_BYTES = 3000
LOSSES = {"lost 1 %": 0.01, "lost 8 %": 0.08}
"""Faults by which packets get lost, and their share."""
Transport = Literal["tcp", "udp"]
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST, as a killed process's kernel would


class Proxy:
    """Passes TCP connections on to ``target()`` (a port; None: refused); ``mode`` is what it does to
    what the server sends: pass, hold, flip or noise."""

    def __init__(self, target: Callable[[], int | None], seed: int) -> None:
        self.mode = "pass"
        self._target = target
        self._random = random.Random(seed)
        self._listener = _listen(0)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            port = self._target()
            try:
                if port is None:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", port), 5)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            server.settimeout(None)
            for source, sink, back in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, back), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        try:
            while data := source.recv(65536):
                while back and self.mode == "hold":
                    time.sleep(0.01)
                sink.sendall(self._spoilt(data) if back else data)
        except OSError:  # one end went away
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        sink.close()

    def _spoilt(self, data: bytes) -> bytes:
        if self.mode == "noise":
            return self._random.randbytes(len(data))
        if self.mode == "flip":
            return flip(data, max(1, len(data) // _FLIP_EVERY_BYTES), self._random)
        return data


def flip(data: bytes, count: int, rng: random.Random) -> bytes:
    """Change ``count`` random bytes."""
    changed = bytearray(data)
    for _ in range(count):
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


class Camera(ABC):
    """Draws its scene ``fps`` times per second and shows it on ``url``."""

    faults: tuple[str, ...]
    transport: Transport = "tcp"

    def __init__(self, name: str, scene: Scene, fps: int, zero: float) -> None:
        """``zero`` is the time (time.time) from which the strips count."""
        self.name = name
        self.fault = ""
        self.scene = scene
        self._fps = fps
        self._zero = zero
        self._done = threading.Event()
        self._proxy = Proxy(self._port, scene.camera)
        self._artist = threading.Thread(target=self._draw, name=f"artist-{name}", daemon=True)

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def _port(self) -> int | None:
        """The port on which its own server listens; None: it does not."""

    @abstractmethod
    def _show(self, pixels: Pixels) -> None:
        """Make a picture the newest one."""

    def start(self) -> None:
        self._artist.start()

    def begin(self, fault: str) -> None:
        """Start one of ``faults``."""
        self.fault = fault
        if fault in ("hold", "noise"):
            self._proxy.mode = fault

    def end(self) -> None:
        """End it."""
        self.fault = ""
        self._proxy.mode = "pass"

    def close(self) -> None:
        self._done.set()
        self._artist.join()
        self._proxy.close()

    def _draw(self) -> None:
        due = time.monotonic() + self.scene.camera / 4 / self._fps
        while not self._done.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / self._fps, time.monotonic())
            if self.fault not in ("still", "frozen"):
                self._show(self.scene.draw(round((time.time() - self._zero) * 1000)))


class MjpegCamera(Camera):
    """Motion JPEG over HTTP."""

    faults = ("still", "silent", "hold", "kill", "flip", "noise")

    def __init__(self, name: str, scene: Scene, fps: int, zero: float) -> None:
        super().__init__(name, scene, fps, zero)
        self._random = random.Random(scene.camera)
        self._picture = b""
        self._connections: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._own_port = 0
        self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._proxy.port}/video"

    def _port(self) -> int | None:
        return self._own_port if self._listener is not None else None

    def _show(self, pixels: Pixels) -> None:
        self._picture = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()

    def begin(self, fault: str) -> None:
        super().begin(fault)
        if fault == "kill":
            self._shut()

    def end(self) -> None:
        if self._listener is None:
            self._open()
        super().end()

    def close(self) -> None:
        super().close()
        self._shut()

    def _open(self) -> None:
        self._listener = _listen(self._own_port)
        self._own_port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _shut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(
                b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
            )
            while not self._done.wait(1 / self._fps):
                if self.fault == "silent":
                    continue
                data = self._picture
                if self.fault == "flip":
                    data = flip(data, _FLIPS_PER_PICTURE, self._random)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                connection.sendall(head.encode() + data + b"\r\n")
        with contextlib.suppress(ValueError):
            self._connections.remove(connection)


class RtspCamera(Camera):
    """H.264 over RTSP, from a process of its own (benchmarks/soak/rtsp.py)."""

    def __init__(
        self, name: str, scene: Scene, fps: int, zero: float, folder: Path, transport: Transport
    ) -> None:
        """``folder`` gets the file through which pictures reach the server. Raises RuntimeError when the
        server does not start."""
        super().__init__(name, scene, fps, zero)
        self.transport = transport
        # "frozen" is not drawn: the encoder's output then differs from picture to picture as much as that of
        # a still scene, so that nothing behind it can tell (docs/sources.md).
        self.faults = ("stop", "kill", *LOSSES, *(("hold", "flip", "noise") if transport == "tcp" else ()))
        self._network = LossyNetwork(0, 0.0, scene.camera)
        self._size = WIDTH * HEIGHT * 3 // 2
        self._file = folder / f"{name}.i420"
        self._file.write_bytes(bytes(HEAD_BYTES + SLOTS * self._size))
        with open(self._file, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._number = 0
        self._server_port: int | None = None
        self._start_server()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._proxy.port}/cam"

    def _port(self) -> int | None:
        return None if self._server_port is None else self._network.port

    def _show(self, pixels: Pixels) -> None:
        begin = HEAD_BYTES + (self._number + 1) % SLOTS * self._size
        self._map[begin : begin + self._size] = cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420).tobytes()
        self._number += 1
        struct.pack_into("<Q", self._map, 0, self._number)

    def begin(self, fault: str) -> None:
        super().begin(fault)
        if fault == "kill":
            self._kill()
        elif fault == "stop":
            os.kill(self._process.pid, signal.SIGSTOP)
        elif fault == "flip":
            self._proxy.mode = "flip"
        self._network.loss = LOSSES.get(fault, 0.0)

    def end(self) -> None:
        self._network.loss = 0.0
        if self.fault == "kill":
            self._start_server()
        elif self.fault == "stop":
            os.kill(self._process.pid, signal.SIGCONT)
        super().end()

    def close(self) -> None:
        super().close()
        self._kill()
        self._network.close()
        self._map.close()

    def _kill(self) -> None:
        self._server_port = None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _start_server(self) -> None:
        script = Path(__file__).with_name("rtsp.py")
        size = ("--width", str(WIDTH), "--height", str(HEIGHT), "--fps", str(self._fps))
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(script), str(self._file), *size],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        said = ""
        if select.select([self._process.stdout], [], [], 30)[0]:
            said = self._process.stdout.readline()
        if not said.startswith("READY "):
            self._kill()
            raise RuntimeError(f"camera {self.name}: the RTSP server did not start")
        self._server_port = self._network.camera_port = int(said.split()[1])
