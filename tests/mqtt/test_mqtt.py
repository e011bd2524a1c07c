"""Reports to a real broker: mosquitto, started here on a free port."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
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
import edge.mqtt.reporter as reporter_module
from edge.config import MqttConfig, make_config
from edge.errors import ConfigError
from edge.mqtt import MqttReporter
from edge.mqtt.discovery import box_discovery, camera_discovery, discovery_topic
from edge.mqtt.messages import base_topic, box_state, camera_state, without_paths
from edge.status.schema import CameraStatus, Status

pytestmark = pytest.mark.slow

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
    """What the appliance would answer; tests change it."""

    def __init__(self, live: tuple[str, ...] = LIVE) -> None:
        self.live, self.written, self.broken = live, 7, False

    def status(self) -> Status:
        if self.broken:
            raise RuntimeError("no status today")
        now = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)
        cameras = [
            CameraStatus(
                name=name,
                source="rtsp://192.0.2.10/stream",
                state="live" if name in self.live else "down",
                since=now,
                last_error="" if name in self.live else "/home/anna/clip.mp4: no such file",
                connections=1,
                captured=100,
                written=self.written,
                revoked=0,
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
            detector="centerface",
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


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with broker_with(tmp_path, "allow_anonymous true") as running:
        yield running


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
    """What a client that comes late is told."""
    with watching(port, **options) as watcher:
        watcher.client.publish("end-of-what-is-retained")  # the broker keeps the order
        wait_for(lambda: "end-of-what-is-retained" in watcher.last)
        return {topic: text for topic, text, kept in watcher.seen if kept}


@needs_broker
def test_values_arrive_are_retained_and_change(broker: Broker) -> None:
    box = Box(live=("front",))
    with reporting(settings(broker.port, topic="site/edge"), box) as reporter, watching(broker.port) as seen:
        wait_for(lambda: seen.last.get("site/edge/gate/yard/availability"))
        wait_for(lambda: seen.last.get("site/edge/gate/availability"))
        wait_for(lambda: seen.last.get("site/edge/gate/front/availability"))
        wait_for(lambda: reporter.connected)
        assert reporter.last_error == ""
        kept = retained(broker.port)
        assert kept["site/edge/gate/availability"] == "online"
        assert kept["site/edge/gate/front/availability"] == "online"
        assert kept["site/edge/gate/yard/availability"] == "offline"
        assert json.loads(kept["site/edge/gate/state"])["ready"] is True
        front = json.loads(kept["site/edge/gate/front/state"])
        assert (front["written"], front["dropped"], front["state"]) == (7, 5, "live")
        assert json.loads(kept["site/edge/gate/yard/state"])["last_error"] == "(left out)"
        box.written, box.live = 8, ()
        wait_for(lambda: seen.state("site/edge/gate/front/state").get("written") == 8)
        wait_for(lambda: seen.last["site/edge/gate/front/availability"] == "offline")
        wait_for(lambda: seen.state("site/edge/gate/state").get("problems") == ["no camera is live"])
        assert seen.last["site/edge/gate/availability"] == "online"
        everything = json.dumps(kept)
    for private in ("192.0.2.10", "rtsp", "anna"):
        assert private not in everything


@needs_broker
def test_a_clean_end_says_offline_itself(broker: Broker) -> None:
    with watching(broker.port) as seen:
        with reporting(settings(broker.port), Box()) as reporter:
            wait_for(lambda: reporter.connected and len([t for t in seen.last if "availability" in t]) == 3)
        topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["offline"] * 3)
        time.sleep(0.3)
        # Once each: no will follows
        assert sum(text == "offline" for _, text, _ in seen.seen) == 3
    assert not reporter.connected
    kept = retained(broker.port)
    assert [kept[topic] for topic in topics] == ["offline"] * 3
    assert json.loads(kept["edge-anonymizer/gate/front/state"])["written"] == 7


REPORT_FOR_EVER = """
import sys, time
from tests.mqtt.test_mqtt import Box, MqttReporter, settings
reporter = MqttReporter(settings(int(sys.argv[1])), Box().status)
reporter.start()
time.sleep(120)
"""


@contextmanager
def reporting_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", REPORT_FOR_EVER, str(port)], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@needs_broker
def test_a_killed_process_leaves_every_topic_offline(broker: Broker) -> None:
    topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
    with watching(broker.port) as seen, reporting_process(broker.port) as process:
        wait_for(lambda: [seen.last.get(topic) for topic in topics] == ["online"] * 3)
        process.kill()
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["offline"] * 3)
    kept = retained(broker.port)
    assert [kept[topic] for topic in topics] == ["offline"] * 3


@needs_broker
def test_a_restart_is_not_called_offline_by_the_will_of_its_predecessor(broker: Broker) -> None:
    """The old process is frozen, so that its connections are still open when the new one comes."""
    topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
    with watching(broker.port) as seen, reporting_process(broker.port) as old:
        wait_for(lambda: [seen.last.get(topic) for topic in topics] == ["online"] * 3)
        old.send_signal(signal.SIGSTOP)
        begin = len(seen.seen)
        with reporting(settings(broker.port), Box()) as reporter:
            wait_for(lambda: reporter.connected)
            wait_for(lambda: {t for t, text, _ in seen.seen[begin:] if text == "online"} == set(topics))
            old.kill()
            old.wait()
            time.sleep(0.5)
            kept = retained(broker.port)
            assert [kept[topic] for topic in topics] == ["online"] * 3
    assert [text for topic, text, _ in seen.seen[begin:] if topic == topics[0]][:2] == ["offline", "online"]


def record_losses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list grows by one for each connection that is lost, and each that is tried in vain."""
    lost: list[str] = []
    original = link_module.Link._lost

    def record(link: link_module.Link, error: str) -> None:
        lost.append(error)
        original(link, error)

    monkeypatch.setattr(link_module.Link, "_lost", record)
    return lost


@needs_broker
def test_a_restarted_broker_is_told_everything_again(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RECONNECT_SECONDS", (1, 1))
    lost = record_losses(monkeypatch)
    box = Box()
    with caplog.at_level(logging.INFO, "edge"), reporting(settings(broker.port), box) as reporter:
        wait_for(lambda: reporter.connected)
        broker.stop()
        wait_for(lambda: not reporter.connected)
        wait_for(lambda: len(lost) >= 9)  # three connections, each lost once and tried twice in vain
        assert reporter.last_error
        box.written = 9
        broker.start()
        wait_for(lambda: reporter.connected)
        wait_for(lambda: len(retained(broker.port)) == 9)
        # What had not been acknowledged comes first, then what is true now
        with watching(broker.port) as seen:
            wait_for(lambda: seen.state("edge-anonymizer/gate/yard/state").get("written") == 9)
    lines = [record.getMessage() for record in caplog.records if "mqtt" in record.getMessage()]
    assert [line.split(" to ")[0] for line in lines] == [
        "mqtt: connected",
        "mqtt: no connection",
        "mqtt: connected",
    ]


@needs_broker
def test_a_broker_that_freezes_gets_the_newest_values_in_the_end(broker: Broker) -> None:
    box = Box()
    with reporting(settings(broker.port), box) as reporter, watching(broker.port) as seen:
        wait_for(lambda: reporter.connected and seen.state("edge-anonymizer/gate/front/state"))
        broker.process.send_signal(signal.SIGSTOP)
        for written in range(10, 15):
            box.written = written
            time.sleep(0.5)
            outstanding = [link._sent - link._acknowledged for link in reporter._links.values()]
            assert max(outstanding) <= 3
        broker.process.send_signal(signal.SIGCONT)
        wait_for(lambda: seen.state("edge-anonymizer/gate/front/state").get("written") == 14)


def make_password_file(path: Path, text: str = "correct horse\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@needs_broker
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="mosquitto_passwd is not installed")
def test_user_name_and_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RECONNECT_SECONDS", (1, 1))
    users = tmp_path / "users"
    command = ["mosquitto_passwd", "-b", "-c", str(users), "box", "correct horse"]
    subprocess.run(command, check=True, capture_output=True)
    login = {"username": "box", "password": "correct horse"}
    with broker_with(tmp_path, "allow_anonymous false", f"password_file {users}") as broker:
        right = make_password_file(tmp_path / "right")
        config = settings(broker.port, username="box", password_file=right)
        with reporting(config, Box()) as reporter, watching(broker.port, **login) as seen:
            wait_for(lambda: reporter.connected and "edge-anonymizer/gate/availability" in seen.last)

        caplog.clear()
        wrong = make_password_file(tmp_path / "wrong", "battery staple")
        refused = record_losses(monkeypatch)
        config = settings(broker.port, username="box", password_file=wrong)
        with reporting(config, Box()) as reporter:
            wait_for(lambda: len(refused) >= 6)
            assert not reporter.connected
            assert "Not authorized" in reporter.last_error
            assert "mqtt.password_file" in reporter.last_error
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1
        assert "staple" not in lines[0] + repr(reporter._broker)


def make_certificates(folder: Path) -> Path:
    """A certificate authority, and a certificate for 127.0.0.1, both for a day."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1")
    openssl(*new, "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(
        *(*new, "-subj", "/CN=broker", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
        *("-keyout", "broker.key", "-out", "broker.pem"),
    )
    return folder / "ca.pem"


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings(f"ignore:Exception ignored in[^<]*<ssl.SSLSocket:{UNRAISABLE}")
@needs_broker
def test_tls_checks_the_broker(tmp_path: Path) -> None:
    authority = make_certificates(tmp_path)
    lines = (f"certfile {tmp_path}/broker.pem", f"keyfile {tmp_path}/broker.key", "allow_anonymous true")
    with broker_with(tmp_path, *lines) as broker:
        config = settings(broker.port, tls=True, ca_file=authority)
        with reporting(config, Box()) as reporter, watching(broker.port, ca=str(authority)) as seen:
            wait_for(lambda: reporter.connected and "edge-anonymizer/gate/availability" in seen.last)
        with reporting(settings(broker.port, tls=True), Box()) as reporter:  # nobody vouches for it
            wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in reporter.last_error)
            assert not reporter.connected
        with reporting(
            settings(broker.port, tls=True, ca_file=authority, host="localhost"), Box()
        ) as reporter:
            wait_for(lambda: "not valid for 'localhost'" in reporter.last_error)
    gc.collect()  # here, and not in another test


def test_a_broker_that_never_answers_holds_up_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "KEEPALIVE_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = settings(silent.getsockname()[1])
        begin = time.monotonic()
        reporter = MqttReporter(config, Box().status)
        reporter.start()
        assert time.monotonic() - begin < 1
        assert not reporter.connected
        assert reporter.last_error
        wait_for(lambda: [record.getMessage() for record in caplog.records])
        assert "Keep alive timeout" in reporter.last_error
        begin = time.monotonic()
        reporter.stop()
        assert time.monotonic() - begin < 2 * reporter_module.STOP_SECONDS
    assert [link._sent for link in reporter._links.values()] == [0, 0, 0]
    assert len(caplog.records) == 1


def test_a_broker_that_is_away_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with reporting(settings(free_port()), Box()) as reporter:
        wait_for(lambda: "refused" in reporter.last_error)
        begin = time.monotonic()
    assert time.monotonic() - begin < 2 * reporter_module.STOP_SECONDS
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@needs_broker
def test_a_status_that_cannot_be_read_is_not_called_well(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    box = Box()
    topics = [f"edge-anonymizer/gate/{name}availability" for name in ("", "front/", "yard/")]
    with reporting(settings(broker.port), box), watching(broker.port) as seen:
        wait_for(lambda: [seen.last.get(topic) for topic in topics] == ["online"] * 3)
        box.broken = True
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["offline"] * 3)
        count = len(seen.seen)
        wait_for(lambda: len(seen.seen) > count)
        box.broken = False
        wait_for(lambda: [seen.last[topic] for topic in topics] == ["online"] * 3)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "mqtt: the status cannot be read: RuntimeError: no status today"
    ]


@needs_broker
def test_discovery_comes_again_when_home_assistant_has_started(broker: Broker) -> None:
    config = settings(broker.port, interval_seconds=3600, discovery_prefix="ha/")
    topics = {discovery_topic("ha", f"edge-anonymizer/gate{name}") for name in ("", "/front", "/yard")}
    with reporting(config, Box()) as reporter, watching(broker.port) as seen:
        wait_for(lambda: reporter.connected and topics <= seen.last.keys())
        wait_for(lambda: all(link.idle and not link.due for link in reporter._links.values()))
        assert topics <= retained(broker.port).keys()
        begin = len(seen.seen)
        seen.client.publish("ha/status", "offline")
        seen.client.publish("ha/status", "online")
        wait_for(lambda: topics <= {topic for topic, _, _ in seen.seen[begin:]})
        wait_for(lambda: {"edge-anonymizer/gate/state"} <= {topic for topic, _, _ in seen.seen[begin:]})
    assert json.loads(seen.last[min(topics)])["origin"]["name"] == "edge-anonymizer"


# paho leaves the pair of sockets that woke the dead thread to the garbage collector
@pytest.mark.filterwarnings(f"ignore:Exception ignored in[^<]*<socket.socket:{UNRAISABLE}")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@needs_broker
def test_a_thread_that_died_is_started_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(reporter: MqttReporter, payload: bytes) -> None:
        raise RuntimeError("nobody expected that")

    monkeypatch.setattr(MqttReporter, "_on_birth", fail)
    box = Box()
    with reporting(settings(broker.port), box) as reporter, watching(broker.port) as seen:
        wait_for(lambda: reporter.connected and seen.state("edge-anonymizer/gate/state"))
        thread = next(t for t in threading.enumerate() if t.name.endswith("edge-anonymizer.gate"))
        seen.client.publish("homeassistant/status", "online")
        wait_for(lambda: not thread.is_alive())
        box.live = ()
        wait_for(lambda: seen.state("edge-anonymizer/gate/state").get("ready") is False)
    gc.collect()  # here, and not in another test


@needs_broker
def test_no_prefix_no_discovery(broker: Broker) -> None:
    with reporting(settings(broker.port, discovery_prefix=""), Box()), watching(broker.port) as seen:
        wait_for(lambda: "edge-anonymizer/gate/yard/availability" in seen.last)
        wait_for(lambda: "edge-anonymizer/gate/availability" in seen.last)
        assert all(topic.startswith("edge-anonymizer/gate/") for topic in seen.last)


# What Home Assistant's documentation demands of a device and of the two kinds of entities used here
UNITS: dict[str, set[str | None]] = {
    "temperature": {"°C"},
    "data_size": {"GB"},
    "duration": {"s"},
    "enum": {None},
}
BINARY_CLASSES = {"connectivity", "problem"}
TEMPLATE_KEYS = re.compile(r"value_json\.(\w+)")


def check_entity(entity: dict[str, Any], values: dict[str, dict[str, Any]]) -> None:
    assert entity["platform"] in ("sensor", "binary_sensor")
    assert entity["name"]
    assert entity.get("entity_category", "diagnostic") == "diagnostic"
    if entity["platform"] == "binary_sensor":
        assert entity["device_class"] in BINARY_CLASSES
        assert not {"state_class", "unit_of_measurement", "options"} & entity.keys()
    elif "device_class" in entity:
        assert entity["device_class"] in UNITS
        assert entity.get("unit_of_measurement") in UNITS[entity["device_class"]]
        assert ("options" in entity) == (entity["device_class"] == "enum")
        assert ("state_class" in entity) == (entity["device_class"] != "enum")
    else:
        assert entity["state_class"] == "total_increasing"
    if "availability" in entity:
        assert entity["availability_mode"] == "all"
        assert all(item["topic"].endswith("/availability") for item in entity["availability"])
        assert isinstance(entity["expire_after"], int)
    for template in ("value_template", "json_attributes_template"):
        keys = TEMPLATE_KEYS.findall(entity.get(template, ""))
        assert set(keys) <= values[entity["state_topic"]].keys()
        assert keys or template not in entity


def test_discovery_holds_what_the_documentation_demands() -> None:
    status = Box().status()
    base = "site/edge/gate"
    values: dict[str, dict[str, Any]] = {f"{base}/state": box_state(status), f"{base}/availability": {}}
    payloads: list[tuple[str, dict[str, Any]]] = [(base, box_discovery(base, 30))]
    for camera in status.cameras:
        values[f"{base}/{camera.name}/state"] = camera_state(camera, status.store_folder)
        values[f"{base}/{camera.name}/availability"] = {}
        payloads.append((f"{base}/{camera.name}", camera_discovery(base, camera.name, 30)))
    identifiers = [payload["device"]["identifiers"] for _, payload in payloads]
    assert identifiers == [[base], [f"{base}/front"], [f"{base}/yard"]]
    ids: list[str] = []
    topics = set()
    for own, payload in payloads:
        assert payload["origin"]["name"]
        assert payload["device"]["name"]
        topic = discovery_topic("homeassistant", own)
        topics.add(topic)
        assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
        for key, entity in payload["components"].items():
            assert entity["unique_id"] == f"{own}/{key}"
            ids.append(entity["unique_id"])
            assert entity["state_topic"] in values
            check_entity(entity, values)
    assert len(set(ids)) == len(ids) == 7 + 2 * 6
    assert len(topics) == 3
    front = payloads[1][1]
    assert front["device"]["via_device"] == base
    assert [item["topic"] for item in front["components"]["written"]["availability"]] == [
        "site/edge/gate/availability",
        "site/edge/gate/front/availability",
    ]
    assert front["components"]["state"]["options"] == ["connecting", "live", "stale", "down", "ended"]


def test_ids_do_not_depend_on_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = camera_discovery("a/b", "front", 30)
    monkeypatch.setattr("edge.__version__", "99.0")
    after = camera_discovery("a/b", "front", 60)
    assert before["device"]["identifiers"] == after["device"]["identifiers"]
    assert [c["unique_id"] for c in before["components"].values()] == [
        c["unique_id"] for c in after["components"].values()
    ]
    assert discovery_topic("ha", "a/b-c") != discovery_topic("ha", "a-b/c")


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


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (None, 0, "no such file"),
        ("", 0o600, "empty"),
        ("\n", 0o600, "empty"),
        ("word", 0o604, "chmod o-rwx"),
        ("word", 0o602, "chmod o-rwx"),
        ("x" * 70000, 0o600, "too long"),
    ],
)
def test_a_bad_password_file_is_named(tmp_path: Path, content: str | None, mode: int, message: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        make_password_file(path, content, mode)
    config = settings(1, username="box", password_file=path)
    with pytest.raises(ConfigError, match=rf"(?s)mqtt\.password_file.*password.*{message}"):
        MqttReporter(config, Box().status)


def test_a_password_file_that_is_no_text_or_no_file(tmp_path: Path) -> None:
    path = make_password_file(tmp_path / "password")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        MqttReporter(settings(1, username="box", password_file=path), Box().status)
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo, 0o600)
    for other in (tmp_path, fifo):
        with pytest.raises(ConfigError, match=re.escape(str(other))):
            MqttReporter(settings(1, username="box", password_file=other), Box().status)


def test_a_password_file_may_be_read_by_a_group(tmp_path: Path) -> None:
    path = make_password_file(tmp_path / "password", "wörd \r\n", 0o640)
    reporter = MqttReporter(settings(1, username="box", password_file=path), Box().status)
    assert reporter._broker.password == "wörd "


def test_a_bad_certificate_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file.*No such file"):
        MqttReporter(settings(1, tls=True, ca_file=tmp_path / "ca.pem"), Box().status)
    (tmp_path / "ca.pem").write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file.*PEM"):
        MqttReporter(settings(1, tls=True, ca_file=tmp_path / "ca.pem"), Box().status)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_bad_host_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.host"):
        MqttReporter(settings(1, host=host), Box().status)


def test_without_paho_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.enums", None)
    with pytest.raises(ConfigError, match=r"pip install 'edge-anonymizer\[mqtt\]'"):
        MqttReporter(settings(1), Box().status)


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ({"host": "192.0.2.1", "username": "box"}, True),
        ({"host": "broker.example", "username": "box"}, True),
        ({"host": "192.0.2.1"}, False),
        ({"host": "192.0.2.1", "username": "box", "tls": True}, False),
        ({"host": "::1", "username": "box"}, False),
        ({"host": "localhost", "username": "box"}, False),
    ],
)
def test_a_password_in_clear_text_is_warned_of(
    caplog: pytest.LogCaptureFixture, keys: dict[str, Any], warned: bool
) -> None:
    config = make_config({"mqtt": {"port": 1883, **keys}}, "test").mqtt
    MqttReporter(config, Box().status)
    assert any("clear text" in record.getMessage() for record in caplog.records) == warned
