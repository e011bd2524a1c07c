"""sd_notify(3) against a real datagram socket, and ``edge run`` under a stand-in for systemd."""

from __future__ import annotations

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge import notify as notification
from edge.notify import extending, notify, watchdog_seconds


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd is for a service: a datagram socket whose name is in the environment."""
    with listener(str(tmp_path / "notify")) as bound:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield bound


def listener(address: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.settimeout(30)
    bound.bind(address)
    return bound


def receive(bound: socket.socket) -> list[str]:
    return bound.recv(4096).decode().split("\n")


def waiting(bound: socket.socket) -> bool:
    return bool(select.select([bound], [], [], 0)[0])


def test_lines_travel_in_one_datagram(supervisor: socket.socket) -> None:
    assert notify("READY=1", "STATUS=all well") is True
    assert receive(supervisor) == ["READY=1", "STATUS=all well"]
    assert not waiting(supervisor)


def test_a_line_break_cannot_smuggle_an_assignment(supervisor: socket.socket) -> None:
    notify("STATUS=camera a\nWATCHDOG=1")
    assert receive(supervisor) == ["STATUS=camera a WATCHDOG=1"]


def test_an_abstract_name(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edge-test-{secrets.token_hex(8)}"
    with listener(f"\0{name}") as bound:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("WATCHDOG=1") is True
        assert receive(bound) == ["WATCHDOG=1"]


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_supervisor_nothing_is_sent(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert notify("READY=1") is False


def test_a_supervisor_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with pytest.raises(OSError, match="No such file"):
        notify("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "pid", "wanted"),
    [
        ("60000000", None, 60.0),
        ("60000000", "own", 60.0),
        ("60000000", "1", None),  # meant for another process
        (None, None, None),
        ("0", None, None),
        ("", None, None),
        ("-5", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdogs_time(
    microseconds: str | None, pid: str | None, wanted: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert watchdog_seconds() == wanted


def test_extending_asks_again_and_again_and_stops(
    supervisor: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification, "EXTEND_EVERY_SECONDS", 0.01)
    with extending("building the engine"):
        for _ in range(3):
            assert receive(supervisor) == ["STATUS=building the engine", "EXTEND_TIMEOUT_USEC=60000000"]
    assert "extend" not in [thread.name for thread in threading.enumerate()]
    while waiting(supervisor):
        supervisor.recv(4096)
    time.sleep(0.1)
    assert not waiting(supervisor)


def test_each_extension_outlasts_the_wait_for_the_next() -> None:
    assert notification.EXTEND_SECONDS > 2 * notification.EXTEND_EVERY_SECONDS


def test_extending_ends_with_an_error_too(supervisor: socket.socket) -> None:
    with pytest.raises(ValueError, match="broken"), extending("building the engine"):
        raise ValueError("broken")
    assert "extend" not in [thread.name for thread in threading.enumerate()]


def test_extending_for_a_limited_time_and_without_a_status_of_its_own(supervisor: socket.socket) -> None:
    with extending(longest_seconds=0):
        pass
    assert not waiting(supervisor)
    with extending(longest_seconds=60):
        assert receive(supervisor) == ["EXTEND_TIMEOUT_USEC=60000000"]


def test_extending_without_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with extending("nothing"):
        pass
    assert "extend" not in [thread.name for thread in threading.enumerate()]


Daemon = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def daemon(tmp_path: Path, supervisor: socket.socket) -> Iterator[Daemon]:
    """Starts ``edge run`` on a configuration, as the unit does."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str) -> subprocess.Popen[str]:
        config = tmp_path / "edge.toml"
        config.write_text(text, encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("EDGE_")}
        command = [sys.executable, "-c", "from edge.cli import app; app()", "run", "--config", str(config)]
        environment = {**kept, "WATCHDOG_USEC": "60000000"}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


KEYS = {"READY", "STATUS", "WATCHDOG", "STOPPING", "EXTEND_TIMEOUT_USEC"}
CONFIG = """
[cameras.front]
source = "{folder}/in"
[store]
folder = "{folder}/out"
[status]
enabled = false
[detector]
provider = "cpu"
"""


def test_the_daemon_tells_when_it_is_ready_alive_and_ending(
    tmp_path: Path, supervisor: socket.socket, daemon: Daemon
) -> None:
    (tmp_path / "in").mkdir()
    process = daemon(CONFIG.format(folder=tmp_path))
    supervisor.settimeout(120)
    seen: list[str] = []
    while "READY=1" not in seen:
        seen += receive(supervisor)
    assert "WATCHDOG=1" not in seen  # a sign of life is a finished tick
    while "WATCHDOG=1" not in seen:
        seen += receive(supervisor)
    process.send_signal(signal.SIGTERM)
    while "STOPPING=1" not in seen:
        seen += receive(supervisor)
    assert seen.index("READY=1") < seen.index("WATCHDOG=1") < seen.index("STOPPING=1")
    assert process.wait(60) == 0
    assert all(line.split("=")[0] in KEYS for line in seen if line)


def test_a_daemon_that_cannot_start_never_says_ready(
    tmp_path: Path, supervisor: socket.socket, daemon: Daemon
) -> None:
    process = daemon(CONFIG.format(folder=tmp_path) + "nonsense = 1\n")
    assert process.wait(120) == 78
    lines = []
    while waiting(supervisor):
        lines += receive(supervisor)
    assert "READY=1" not in lines
