"""Topics and payloads."""

from __future__ import annotations

import socket

import pytest

from edge.config import MqttConfig
from edge.mqtt.messages import base_topic, without_paths

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "expected"), [("jetson.example.org", "jetson-example-org"), ("büro", "b-ro"), ("...", "box")]
)
def test_a_box_without_a_name_has_that_of_its_host(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert base_topic(MqttConfig()) == f"edge-anonymizer/{expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("no camera is live", "no camera is live"),
        ("rtsp://192.0.2.1/x: no frame within 5 seconds", "rtsp://192.0.2.1/x: no frame within 5 seconds"),
        ("store: /srv/images: No space left", "store: /srv/images: No space left"),
        ("store: /srv/images/front/x: No space", "store: /srv/images/front/x: No space"),
        ("'/srv/images2/x': No space", "'(left out)"),
        ("/srv/images-of-anna/x", "(left out)"),
        ("cannot open '/home/anna b/x.mp4': gone", "cannot open '(left out)"),
        ("path=/etc/x, retry", "path=(left out)"),
        ("store:/etc/x", "store:(left out)"),
        ("file:///home/anna", "(left out)"),
        ("~/clip.mp4: gone", "(left out)"),
        ("//home/anna", "(left out)"),
        ("http://anna:word@host/x", "(left out)"),
        ("/dev/video0: gone", "/dev/video0: gone"),
        ("/dev/video0/../../etc/x and /etc/x", "/dev/video0/../../etc/x and (left out)"),
    ],
)
def test_no_path_outside_the_store_is_reported(text: str, expected: str) -> None:
    assert without_paths(text, "/srv/images") == expected


def test_a_relative_store_folder_allows_no_path() -> None:
    assert without_paths("images/x and /etc/x", "images") == "images/x and (left out)"
