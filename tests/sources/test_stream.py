"""A network camera over real HTTP: it plays, stalls, lies and goes away."""

from __future__ import annotations

import http.server
import itertools
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
