"""How the connection is secured, and which settings are refused."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edge.mqtt.link as link_module
from edge.config import make_config
from edge.errors import ConfigError
from edge.mqtt import MqttReporter
from tests.mqtt.brokers import (
    UNRAISABLE,
    Box,
    broker_with,
    make_password_file,
    needs_broker,
    record_losses,
    reporting,
    settings,
    wait_for,
    watching,
)

pytestmark = pytest.mark.slow


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


# paho leaves the socket of a failed handshake, and with it its two wake-up sockets, to the garbage collector
@pytest.mark.filterwarnings(rf"ignore:Exception ignored in[^<]*<(ssl\.SSLSocket|socket\.socket):{UNRAISABLE}")
@needs_broker
def test_tls_checks_the_broker(tmp_path: Path) -> None:
    authority = make_certificates(tmp_path)
    lines = (f"certfile {tmp_path}/broker.pem", f"keyfile {tmp_path}/broker.key", "allow_anonymous true")
    with broker_with(tmp_path, *lines) as broker:
        config = settings(broker.port, tls=True, ca_file=authority)
        with reporting(config, Box()) as reporter, watching(broker.port, ca=str(authority)) as seen:
            wait_for(lambda: reporter.connected and "edge-anonymizer/gate/availability" in seen.last)
        with reporting(settings(broker.port, tls=True), Box()) as reporter:  # its certificate is not trusted
            wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in reporter.last_error)
            assert not reporter.connected
        with reporting(
            settings(broker.port, tls=True, ca_file=authority, host="localhost"), Box()
        ) as reporter:
            wait_for(lambda: "not valid for 'localhost'" in reporter.last_error)
    gc.collect()  # here, and not in another test


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


def test_a_password_file_that_is_not_text_or_not_a_file(tmp_path: Path) -> None:
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
def test_a_password_in_clear_text_causes_a_warning(
    caplog: pytest.LogCaptureFixture, keys: dict[str, Any], warned: bool
) -> None:
    config = make_config({"mqtt": {"port": 1883, **keys}}, "test").mqtt
    MqttReporter(config, Box().status)
    assert any("clear text" in record.getMessage() for record in caplog.records) == warned
