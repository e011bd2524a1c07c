"""A detector that takes long to open: ``edge run`` as a process, with a stand-in for systemd."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from edge.config import make_config
from edge.daemon.opening import OPENING_SECONDS, Opening, StoppedError, until_stopped
from edge.detection.providers import BUILD_SECONDS
from edge.errors import ProviderError
from edge.status.schema import Status

SLOW = """
import sys
from edge.daemon import appliance
from edge.errors import ProviderError

def open_slowly(config):
    sys.stdin.readline()  # as long as the test likes
    raise ProviderError("the card is on fire; put it out")

appliance.open_daemon_detectors = open_slowly
from edge.cli import app
app()
"""


class Slow(NamedTuple):
    """The process, and where systemd would listen."""

    process: subprocess.Popen[str]
    supervisor: socket.socket
    log: list[str]

    @property
    def address(self) -> str:
        return self.log[0].split("status endpoint: ")[1].strip()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    """``edge run``, while it opens the detector."""
    (tmp_path / "in").mkdir()
    config = tmp_path / "edge.toml"
    config.write_text(
        f'[cameras.front]\nsource = "{tmp_path}/in"\n[store]\nfolder = "{tmp_path}/out"\n[status]\nport = 0\n'
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_")}
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, "run", "--config", str(config)],
            env={**kept, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stderr is not None
            yield Slow(process, supervisor, [process.stderr.readline()])
            process.kill()


def test_while_it_opens_the_box_answers_and_asks_for_time_and_an_error_ends_it(
    slow: Slow, tmp_path: Path
) -> None:
    assert slow.supervisor.recv(4096).decode().startswith("STATUS=opening the detector since ")
    assert slow.supervisor.recv(4096).decode() == "EXTEND_TIMEOUT_USEC=60000000"
    code, text = slow.get("/readyz")
    (problem,) = json.loads(text)["problems"]
    assert code == 503
    assert re.fullmatch(r"opening the detector since \d\d:\d\d:\d\d UTC.*", problem)
    status = Status.model_validate_json(slow.get("/status")[1])
    assert [(camera.name, camera.state) for camera in status.cameras] == [("front", "connecting")]
    assert "edge_ready 0.0" in slow.get("/metrics")[1]
    assert slow.get("/")[0] == slow.get("/healthz")[0] == 200
    _, log = slow.process.communicate("go on\n", timeout=60)
    assert slow.process.returncode == 1
    assert "the card is on fire; put it out" in log
    assert "Traceback" not in log
    slow.supervisor.setblocking(False)
    with pytest.raises(BlockingIOError):  # neither READY=1 nor anything else
        slow.supervisor.recv(4096)
    assert not (tmp_path / "out").exists()


def test_a_signal_ends_it_at_once(slow: Slow) -> None:
    assert slow.supervisor.recv(4096)
    slow.process.send_signal(signal.SIGTERM)
    assert slow.process.wait(20) == 0  # it would wait for its input
    assert slow.process.stderr is not None
    assert "stopped while the detector was being opened" in slow.process.stderr.read()


def test_work_gives_its_answer_or_its_error_until_it_is_stopped() -> None:
    stopping, release = threading.Event(), threading.Event()

    def fail() -> int:
        raise ProviderError("no card")

    assert until_stopped(lambda: 5, stopping) == 5
    with pytest.raises(ProviderError, match="no card"):
        until_stopped(fail, stopping)
    stopping.set()
    with pytest.raises(StoppedError):
        until_stopped(lambda: release.wait(30), stopping)
    release.set()


def test_an_opening_that_hangs_is_not_healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opening = Opening(make_config({"store": {"folder": tmp_path}}, "test"), [])
    assert opening.status().healthy
    monkeypatch.setattr("edge.daemon.opening.OPENING_SECONDS", 0.0)
    assert not opening.status().healthy
    assert OPENING_SECONDS >= BUILD_SECONDS
