"""A real broker (mosquitto on a free port), a client that sees everything, and a box to report on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt.enums", reason="paho-mqtt 2 is not installed")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

import edge.mqtt.link as link_module
from edge.config import MqttConfig
from edge.mqtt import MqttReporter
from edge.status.schema import Status
from tests.statuses import make_camera

ROOT = Path(__file__).resolve().parents[2]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
LIVE = ("front", "yard")
UNRAISABLE = "pytest.PytestUnraisableExceptionWarning"


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Box:
    """Stands in for the appliance; tests change what it answers."""

    def __init__(self, live: tuple[str, ...] = LIVE) -> None:
        self.live, self.written, self.broken = live, 7, False

    def status(self) -> Status:
        if self.broken:
            raise RuntimeError("no status today")
        now = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)
        cameras = [
            make_camera(
                name,
                state="live" if name in self.live else "down",
                since=now,
                last_error="" if name in self.live else "/home/anna/clip.mp4: no such file",
                connections=1,
                captured=100,
                written=self.written,
                dropped={"stale": 2, "overtaken": 3},
                covered_whole={"escalated": 1},
                regions=4,
                regions_held=1,
                covered_share=0.25,
                regrown=0,
                escalated=1,
                checked_seconds_ago=0.123456,
                last_image=None,
            )
            for name in LIVE
        ]
        return Status(
            version="1.2.3",
            started=now,
            uptime_seconds=12.5,
            healthy=True,
            problems=[] if self.live else ["no camera is live"],
            degraded=[],
            detector="face-fast",
            detector_sha256="0" * 64,
            provider="cpu",
            known_face_seconds_ago=3.21,
            last_look="always",
            load_level="full",
            temperature_celsius=None,
            reidentifiable_blur=False,
            preview=False,
            store_folder="/srv/images",
            store_error="",
            store_error_since=None,
            store_bytes=1_000_000,
            store_free_bytes=5_000_000_000,
            audit_number=12,
            audit_head="ab" * 32,
            stages={},
            cameras=cameras,
        )


class Broker:
    """mosquitto, with lines added to its configuration."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        # As root it would become another user, who cannot read the test's files
        lines = (f"listener {self.port} 127.0.0.1", "user root", *lines)
        self._file.write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "mosquitto did not start"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@contextmanager
def broker_with(folder: Path, *lines: str) -> Iterator[Broker]:
    broker = Broker(folder, *lines)
    try:
        yield broker
    finally:
        broker.stop()


class Watcher:
    """Sees everything. ``last`` is the newest payload by topic, ``seen`` all (topic, payload, retained)."""

    def __init__(self, port: int, **options: Any) -> None:
        self.last: dict[str, str] = {}
        self.seen: list[tuple[str, str, bool]] = []
        self._ready = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set(options.get("username"), options.get("password"))
        if "ca" in options:
            self.client.tls_set(ca_certs=options["ca"])
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        wait_for(self.client.is_connected)
        self.client.subscribe("#", qos=1)
        assert self._ready.wait(10)

    def _message(self, client: Client, data: Any, message: Any) -> None:
        text = message.payload.decode()
        self.seen.append((message.topic, text, message.retain))
        self.last[message.topic] = text

    def state(self, topic: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.last.get(topic, "{}"))
        return found

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_subscribe = self.client.on_message = None  # see Link.join


@contextmanager
def watching(port: int, **options: Any) -> Iterator[Watcher]:
    watcher = Watcher(port, **options)
    try:
        yield watcher
    finally:
        watcher.close()


@contextmanager
def reporting(config: MqttConfig, box: Box) -> Iterator[MqttReporter]:
    reporter = MqttReporter(config, box.status)
    reporter.start()
    try:
        yield reporter
    finally:
        reporter.stop()


def settings(port: int, **keys: Any) -> MqttConfig:
    return MqttConfig(**{"host": "127.0.0.1", "port": port, "box": "gate", "interval_seconds": 1, **keys})


def retained(port: int, **options: Any) -> dict[str, str]:
    """The retained messages that a new client receives."""
    with watching(port, **options) as watcher:
        watcher.client.publish("end-of-what-is-retained")  # the broker keeps the order
        wait_for(lambda: "end-of-what-is-retained" in watcher.last)
        return {topic: text for topic, text, kept in watcher.seen if kept}


def make_password_file(path: Path, text: str = "correct horse\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def record_losses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list grows by one for each lost connection and each failed attempt to connect."""
    lost: list[str] = []
    original = link_module.Link._lost

    def record(link: link_module.Link, error: str) -> None:
        lost.append(error)
        original(link, error)

    monkeypatch.setattr(link_module.Link, "_lost", record)
    return lost
