"""A network camera over real HTTP: it plays, stalls, lies and goes away."""

from __future__ import annotations

import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources import make_source
from edge.sources.capture import age_seconds


class Camera(http.server.ThreadingHTTPServer):
    """Motion JPEG: ``frames`` pictures at 20 per second, then as ``end`` says: close, stall or noise."""

    # Joined when it closes: a thread that is inside OpenCV when Python ends takes the process down
    daemon_threads = False

    def __init__(self, frames: int, end: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.frames, self.end = frames, end
        self.gone = threading.Event()

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.server_address[1]}/video"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(self.server.frames):
                if self.server.gone.is_set():
                    return
                picture = np.full((240, 320, 3), 40, np.uint8)
                cv2.circle(picture, (20 + 5 * number % 280, 120), 15, (0, 200, 255), -1)
                data = cv2.imencode(".jpg", picture)[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                time.sleep(0.05)
            if self.server.end == "stall":
                self.server.gone.wait(30)
            if self.server.end == "noise":
                self.wfile.write(np.random.default_rng(0).bytes(200_000))
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def camera(frames: int, end: str) -> Iterator[Camera]:
    server = Camera(frames, end)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.gone.set()
        server.shutdown()
        server.server_close()
        thread.join()


def read(url: str, limit: int = 1000) -> list[RawFrame]:
    config = CameraConfig(source=url, open_timeout_seconds=5, read_timeout_seconds=1)
    frames = []
    for frame in make_source("yard", config, threading.Event()):
        frames.append(frame)
        if len(frames) == limit:
            break
    return frames


def test_a_network_camera_plays() -> None:
    with camera(200, "close") as server:
        frames = read(server.url, limit=15)
    assert [(f.width, f.height) for f in frames] == [(320, 240)] * 15
    assert all(a.captured < b.captured for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize(
    ("end", "said"),
    [("close", "ended or broke off"), ("stall", "no frame within"), ("noise", "ended or broke off")],
)
def test_a_camera_that_stops_is_an_error_in_bounded_time(end: str, said: str) -> None:
    begin = time.monotonic()
    with camera(10, end) as server, pytest.raises(SourceError, match=said) as caught:
        read(server.url)
    # Up to three times the timeout, as FFmpeg counts it, and the time that it played
    assert time.monotonic() - begin < 10
    assert "secret" not in str(caught.value)


def test_times_of_http_are_not_taken_for_the_camera_s() -> None:
    """FFmpeg makes them up at 25 per second. This camera sends 20: by that clock its pictures would be later
    and later, by 0.4 seconds after two."""
    ages = []
    with camera(200, "close") as server:
        config = CameraConfig(source=server.url, open_timeout_seconds=5, read_timeout_seconds=1)
        for frame in make_source("yard", config, threading.Event()):
            ages.append(age_seconds(frame))
            if len(ages) == 40:
                break
    assert max(ages) < 0.3


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """An RTSP camera that gives one answer to every request, or none at all; yields its address."""
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                viewer, _ = listener.accept()
            except TimeoutError:
                continue
            with viewer:
                viewer.settimeout(0.1)
                while not ended.is_set():
                    try:
                        request = viewer.recv(4096)
                    except TimeoutError:
                        continue
                    except OSError:
                        break
                    if not request:
                        break
                    number = request.split(b"CSeq: ")[1].split(b"\r\n")[0]
                    if answer:
                        viewer.sendall(b"RTSP/1.0 %s\r\nCSeq: %s\r\n\r\n" % (answer, number))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"rtsp://user:secret@127.0.0.1:{listener.getsockname()[1]}/hidden?key=secret"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"401 Unauthorized", r"user name or password is wrong \(401\)"),
        (b"403 Forbidden", r"may not see it \(403\)"),
        (b"404 Not Found", r"no such stream \(404\)"),
        (b"461 Unsupported Transport", r"refuses the request \(4xx\)"),
        (b"503 Service Unavailable", r"it failed \(5xx\)"),
        (b"", "no answer within 0.5 seconds"),
    ],
)
def test_a_camera_that_refuses_says_why(answer: bytes, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with answering(answer) as url:
        config = CameraConfig(source=url, open_timeout_seconds=0.5, read_timeout_seconds=1)
        source = make_source("yard", config, threading.Event())
        with pytest.raises(SourceError, match=said) as caught:
            next(iter(source))
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None  # nor in a traceback
    assert capfd.readouterr() == ("", "")  # FFmpeg would print the address


def test_a_camera_that_never_answers_holds_up_no_other() -> None:
    stop = threading.Event()

    def wait() -> None:
        with pytest.raises(SourceError):
            next(iter(silent))

    with answering(b"") as url, camera(200, "close") as server:
        silent = make_source("silent", CameraConfig(source=url, open_timeout_seconds=60), stop)
        thread = threading.Thread(target=wait)
        thread.start()
        while not silent.beat:  # it has been reached, and is being opened
            time.sleep(0.01)
        assert len(read(server.url, limit=5)) == 5
        assert thread.is_alive()
    thread.join()  # it has hung up
