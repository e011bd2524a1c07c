"""User name and password of a camera in keys of their own, the password in a file."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.commands import config as command
from edge.commands.terminal import console
from edge.config import CameraConfig, make_config
from edge.daemon.recorded_settings import settings_of
from edge.errors import ConfigError, SourceError
from edge.sources import make_source

USER, PASSWORD = "in/staller", "p/#?@[]: %é"


class Handler(http.server.BaseHTTPRequestHandler):
    """A camera that shows pictures to one user (RFC 7617)."""

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for number in range(100):
                data = cv2.imencode(".jpg", np.full((48, 64, 3), 2 * number, np.uint8))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
        except OSError:
            return  # the test has seen enough

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/video"
        server.shutdown()


def secret(folder: Path, text: str = PASSWORD) -> Path:
    path = folder / "front.secret"
    path.write_text(text + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_the_camera_gets_both_as_they_are(tmp_path: Path, url: str) -> None:
    config = CameraConfig(source=url, username=USER, password_file=secret(tmp_path))
    frames = make_source("front", config, threading.Event())
    assert len(list(islice(frames, 2))) == 2


def test_a_wrong_password_is_named_and_not_shown(tmp_path: Path, url: str) -> None:
    config = CameraConfig(source=url, username=USER, password_file=secret(tmp_path, "wr0ng-one"))
    with pytest.raises(SourceError, match=r"user name or password is wrong \(401\)") as caught:
        next(iter(make_source("front", config, threading.Event())))
    assert "wr0ng" not in str(caught.value)
    assert "staller" not in str(caught.value)


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    path = secret(tmp_path)
    path.chmod(0o644)
    config = CameraConfig(source="rtsp://192.0.2.1/a", username="admin", password_file=path)
    with pytest.raises(ConfigError, match=r"key 'cameras.front.password_file': .*every user of this machine"):
        make_source("front", config, threading.Event())


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"source": "rtsp://192.0.2.1/a", "password_file": "x"}, "password_file needs username"),
        ({"source": "clip.mp4", "username": "admin"}, "username is for network cameras"),
        ({"source": "rtsp://u:p@192.0.2.1/a", "username": "admin"}, "the URL has a user name already"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, str], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        make_config({"cameras": {"front": settings}}, "test")


def test_neither_is_shown_nor_recorded(tmp_path: Path) -> None:
    camera = {"source": "rtsp://192.0.2.1/a", "username": "inst4ller", "password_file": "Hidden-name"}
    config = make_config({"cameras": {"front": camera}}, "test")
    shown = command.shown_text(config)
    assert 'username = "(set, not shown)"\npassword_file = "(set, not shown)"' in shown
    for text in (shown, str(settings_of(config)), repr(config)):
        assert "inst4ller" not in text
        assert "Hidden-name" not in text


def test_a_url_in_which_nothing_can_be_read_is_no_good_configuration(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('[cameras.front]\nsource = "rtsp://admin:Top#secret@192.0.2.10/x"\n')
    with pytest.raises(
        ConfigError, match=r"key 'cameras.front.source'.*no host and port.*password_file"
    ) as caught:
        command.check(file, console)
    assert "secret" not in str(caught.value).replace("password_file", "")
