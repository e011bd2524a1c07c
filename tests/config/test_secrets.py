"""A marked secret is put wherever people put passwords of cameras, and looked for in all that is said."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import av.error
import cv2
import pytest
from rich.console import Console

from edge.commands import doctor
from edge.commands.doctor_cameras import check_camera as doctor_rows
from edge.config import CameraConfig, PrivacyConfig, make_config, read_config
from edge.daemon import read_status as snapshot
from edge.daemon.pipeline import Pipeline
from edge.daemon.recorded_settings import settings_of
from edge.daemon.run import run_daemon
from edge.detection.views import Search
from edge.errors import ConfigError
from edge.mqtt.messages import box_state, camera_state
from edge.sources import make_source
from edge.status.gauges import gauges_text
from edge.status.metrics import Metrics
from tests.marked import HEAD, IP, NAME, SECRET, TAIL, assert_clean, numbered
from tests.statuses import make_status
from tests.watch import watching

# Characters in a password, none of them percent-encoded
PASSWORDS = [f"{HEAD}{c}{TAIL}" for c in "/#?@[]:;!$&'()*+,= %\\\"<>^`{|}~é"] + [
    f"{HEAD}/#?@[]{TAIL}", f"//{SECRET}", f"@{SECRET}", f"[{SECRET}", f"{SECRET}%", f"1/{SECRET}",
    f"12345?{SECRET}", f"{HEAD} ! {TAIL}", f"x!{SECRET}", f"{HEAD}! appsink {TAIL}", f"@{NAME}/{SECRET}",
    f"p@{SECRET}/q",
]  # fmt: skip
SOURCES = [
    *(f"rtsp://admin:{password}@{host}/stream" for password in PASSWORDS for host in (IP, NAME)),
    # Elsewhere in the URL
    f"rtsp://{IP}/user=admin&password={SECRET}&channel=1",
    f"rtsp://{IP}/user=admin_password={SECRET}_channel=1_stream=0.sdp?real_stream",
    f"rtsp://{IP}/user=a@b&password={SECRET}",
    f"rtsp://{NAME}/user=a@{SECRET}",
    f"rtsp://{IP}/{SECRET}/live",
    f"rtsp://{IP}/live?token={SECRET}",
    f"http://{NAME}/live#{SECRET}",
    f"rtsp://{SECRET}@{IP}/live",
    f"rtsp://admin:%53{SECRET[1:]}@{IP}/live",
    f"rtsp://{IP}/live;{SECRET}",
    # Broken
    f"rtsp://admin:{SECRET}",
    f"rtsp://admin:{SECRET}/{IP}/stream",
    f"rtsp://admin:{SECRET}@",
    f"rtsp://admin:{SECRET}@/stream",
    f"rtsp://admin:{SECRET}@[::1/stream",
    f"rtsp://admin:{SECRET}@{IP}:{SECRET}/stream",
    f"rtsp://{NAME}:{SECRET}@{IP}:99999/stream",
    f"rtsp:///admin:{SECRET}@{IP}/stream",
    f"rtsp:/admin:{SECRET}@{IP}/stream",
    f"rtsp//admin:{SECRET}@{IP}/stream",
    f"rtsp:\\\\admin:{SECRET}@{IP}\\stream",
    f"admin:{SECRET}@{IP}/stream",
    f"admin:{SECRET}",
    f"{IP}/user=admin&password={SECRET}",
    f"192.0.2.10/{SECRET}",
    f"//{NAME}/{SECRET}",
    f"'rtsp://admin:{SECRET}@{IP}/stream'",
    f"rstp://admin:{SECRET}@{IP}/stream",
    f"{SECRET}://admin@{IP}/stream",
    f"admin:{SECRET}@rtsp://{IP}/stream",
    f"rtsp://{NAME}/1 rtsp://admin:{SECRET}@{IP}/2",
    f"rtsp%3A%2F%2Fadmin%3A{SECRET}%40{NAME}",
    f"rtsp://admin:{SECRET}\n@{IP}/stream",
    f"rtsp://admin:{SECRET}@{'x' * 300}/stream",
    f"{'x' * 300}:{SECRET}@{IP}",
    f"file:///srv/{SECRET}",
    # Pipelines
    f'rtspsrc location="rtsp://admin:{SECRET}@{IP}/1" user-pw={SECRET} ! decodebin ! appsink',
    f"rtspsrc location=rtsp://admin:x!{SECRET}@{IP}/1 ! appsink",
    f"rtspsrc location=rtsp://admin:x ! {SECRET} ! appsink",
    f"{SECRET} ! appsink",
]


class Libraries:
    """Stand-ins that quote whatever they are given in their errors."""

    def __init__(self) -> None:
        self.connects = self.raises = True

    def connect(self, place: tuple[str, int], timeout: float) -> Any:
        if not self.connects:
            raise socket.gaierror(-2, f"cannot find {place}")
        return contextlib.nullcontext()

    def open(self, source: str, *others: object) -> Any:
        if self.raises:
            raise cv2.error(f"can't find starting number (in the name of file): {source}")
        return SimpleNamespace(isOpened=lambda: False, release=lambda: None)

    def open_with_ffmpeg(self, source: str, **options: object) -> Any:
        kind = av.error.InvalidDataError if self.raises else av.error.ConnectionRefusedError
        raise kind(1, f"cannot open {source}", source)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Libraries:
    made = Libraries()
    monkeypatch.setattr(socket, "create_connection", made.connect)
    monkeypatch.setattr(cv2, "VideoCapture", made.open)
    monkeypatch.setattr(av, "open", made.open_with_ffmpeg)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "GStreamer: YES")
    return made


def told_of(camera: CameraConfig) -> Iterator[str]:
    """What capture, status, metrics, MQTT and doctor say of a camera, each as a text."""
    stop = threading.Event()
    with watching(make_source("front", camera, stop), stop) as watch:
        watch.until(lambda: watch.capture.last_error != "")
    capture = watch.capture
    yield f"{capture.source.label} {capture.last_error} {camera!r}"
    metrics = Metrics()
    metrics.add_camera("front")
    lane = SimpleNamespace(capture=capture, search=Search(), gate=SimpleNamespace(noise=None, limit=3.0))
    pipeline = SimpleNamespace(metrics=metrics, lanes={"front": lane})
    seen = snapshot._camera(cast(Pipeline, pipeline), "front")
    status = make_status(seen, problems=[capture.last_error], degraded=[capture.last_error])
    yield status.model_dump_json()
    yield (metrics.text() + gauges_text(status)).decode()
    yield json.dumps([box_state(status), camera_state(seen, status.store_folder)])
    checks = list(doctor_rows("front", camera, PrivacyConfig(), None))
    yield json.dumps([asdict(check) for check in checks])
    table = io.StringIO()
    Console(file=table, width=1000).print(doctor.doctor_table(checks))
    yield table.getvalue()


def check_camera(camera: dict[str, Any], caplog: pytest.LogCaptureFixture) -> str:
    """Hunt for the secret in what is said of one camera; returns all of it."""
    config = make_config({"cameras": {"front": camera}, "status": {"enabled": False}}, "edge.toml")
    texts = [repr(config), json.dumps(settings_of(config))]
    if config.cameras["front"].resolved_kind() in ("video", "folder"):
        with pytest.raises(ConfigError) as caught:
            run_daemon(config)
        texts.append(str(caught.value))
    texts += [*told_of(config.cameras["front"]), caplog.text]
    for text in texts:
        assert_clean(text)
    assert "front" in caplog.text
    return "\n".join(texts)


@pytest.mark.parametrize("source", SOURCES, ids=numbered(SOURCES))
def test_no_part_of_a_source_is_told(
    libraries: Libraries, caplog: pytest.LogCaptureFixture, tmp_path: Path, source: str
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(f"[cameras.front]\nsource = {json.dumps(source, ensure_ascii=False)}\n")
    assert read_config(path).cameras["front"].source == source.strip()
    libraries.raises = libraries.connects = True
    check_camera({"source": source}, caplog)
    libraries.raises = False
    check_camera({"source": source}, caplog)
    libraries.connects = False
    check_camera({"source": source}, caplog)


@pytest.mark.parametrize("kind", ["stream", "video", "folder", "v4l2", "gstreamer"])
def test_no_part_of_a_source_of_the_wrong_kind_is_told(
    libraries: Libraries, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    for source in SOURCES[-40::4]:
        check_camera({"source": source, "kind": kind}, caplog)


@pytest.mark.parametrize("char", "/#?@[] %")
def test_the_way_out_is_to_percent_encode(
    libraries: Libraries, caplog: pytest.LogCaptureFixture, char: str
) -> None:
    libraries.raises = libraries.connects = False
    told = check_camera({"source": f"rtsp://admin:{HEAD}{char}{TAIL}@{IP}/stream"}, caplog)
    assert f"rtsp://{IP}: " in told
    assert "percent-encode" in told
    caplog.clear()
    told = check_camera({"source": f"rtsp://admin:{SECRET}@{IP}/stream"}, caplog)
    assert "percent-encode" not in told


def test_a_box_at_work_tells_no_secret(tmp_path: Path, edge_script: str) -> None:
    sources = {
        "slash": f"rtsp://admin:{HEAD}/{TAIL}@127.0.0.1:1/x",
        "hash": f"rtsp://admin:{HEAD}#{TAIL}@127.0.0.1:1/x",
        "path": f"rtsp://127.0.0.1:1/user=admin&password={SECRET}&channel=1",
        "plain": f"rtsp://admin:{SECRET}@127.0.0.1:1/x?token={SECRET}",
    }
    sections = [f"[cameras.{name}]\nsource = {json.dumps(source)}\n" for name, source in sources.items()]
    folder = tmp_path / "images"
    path = tmp_path / "edge.toml"
    path.write_text("".join(sections) + f'[store]\nfolder = "{folder}"\n[status]\nport = 0\n')
    kept = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_")}
    process = subprocess.Popen(
        [edge_script, "run", "--verbose", "--config", str(path)],
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    log, address, waiting = "", "", set(sources)
    try:
        while waiting or not address:
            line = process.stdout.readline()
            assert line, log
            log += line
            waiting -= {name for name in waiting if f"camera {name}: rtsp://127.0.0.1:1: " in line}
            address = address or "".join(re.findall(r"status endpoint: (\S+)", line))
        answers = []
        for page in ("", "status", "metrics", "readyz"):
            try:
                answer = urllib.request.urlopen(f"{address}/{page}", timeout=30)
            except urllib.error.HTTPError as refusal:
                answer = refusal  # not ready, as no camera is live
            with answer:
                answers.append(answer.read().decode())
        assert '"source":"rtsp://127.0.0.1:1"' in answers[1]
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, log + rest
    records = [file.read_text() for file in folder.rglob("*.jsonl")]
    assert any("rtsp://127.0.0.1:1" in record for record in records)
    for text in (log, rest, *answers, *records):
        assert_clean(text)
