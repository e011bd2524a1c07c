"""An RTSP camera, served by GStreamer in another process: it plays, stops, lies, dies and comes back."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import CameraConfig
from edge.reasons import Reason
from edge.sources import Source, make_source
from edge.sources.health import FRESH_SECONDS
from edge.sources.stream_clock import LATE_SECONDS
from tests.proxy import Damage, Proxy
from tests.rtsp_server import RtspServer, missing
from tests.watch import watching

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "the server is there"),
]

OPEN_SECONDS, READ_SECONDS = 5.0, 3.0
LONGEST_SECONDS = OPEN_SECONDS + 3 * READ_SECONDS + 5
"""Until a camera that does not answer is down, at worst; most of it is FFmpeg's."""


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer(width=640, height=360) as server:
        yield server
        assert server.running


def source_of(url: str, stop: threading.Event, **keys: object) -> Source:
    return make_source(
        "yard",
        CameraConfig.model_validate(
            {
                "source": url,
                "open_timeout_seconds": OPEN_SECONDS,
                "read_timeout_seconds": READ_SECONDS,
                **keys,
            }
        ),
        stop,
    )


def at_port(url: str, port: int) -> str:
    return f"rtsp://127.0.0.1:{port}/" + url.rsplit("/", 1)[1]


def udp_sockets() -> int:
    """How many UDP sockets this process has, from Linux's tables."""
    lines = [
        line for name in ("udp", "udp6") for line in Path(f"/proc/self/net/{name}").read_text().split("\n")
    ]
    inodes = {line.split()[9] for line in lines if line and "inode" not in line}
    held = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held += os.readlink(descriptor).removeprefix("socket:[").rstrip("]") in inodes
        except FileNotFoundError:
            continue  # that of the listing itself
    return held


def test_cameras_over_tcp_and_udp_play_in_one_process(server: RtspServer) -> None:
    stop = threading.Event()
    assert udp_sockets() == 0
    with watching(source_of(server.url, stop, transport="tcp"), stop) as tcp:
        tcp.until(lambda: len(tcp.frames) >= 10)
        assert udp_sockets() == 0
        with watching(source_of(server.url, stop, transport="udp"), stop) as udp:
            udp.until(lambda: len(udp.frames) >= 60)
            assert udp_sockets() == 2  # RTP and RTCP
            with watching(source_of(server.url, stop, transport="tcp"), stop) as another:
                another.until(lambda: len(another.frames) >= 10)
                assert udp_sockets() == 2
            tcp.tick()
    for watch in (tcp, udp, another):
        assert {(frame.width, frame.height) for frame in watch.frames} == {(640, 360)}
        assert watch.capture.connections == 1
    # What came while the stream was opened is old; after that, nothing is
    assert max(udp.ages[-20:]) < 1
    captured = [frame.captured for frame in udp.frames]
    assert captured == sorted(captured)


def test_a_camera_that_falls_silent_is_stale_then_down_then_live_again(server: RtspServer) -> None:
    stop = threading.Event()
    with watching(source_of(server.url, stop), stop) as watch:
        watch.until(lambda: len(watch.frames) >= 60)
        server.pause()
        watch.until_state("stale", FRESH_SECONDS + 5)
        assert watch.capture.last_error == "no fresh picture for more than 2 seconds"
        watch.until_state("down", LONGEST_SECONDS)
        assert "no frame within 3 seconds" in watch.capture.last_error
        silent = time.monotonic()
        seen = len(watch.frames)
        watch.during(1)
        assert len(watch.frames) == seen
        server.resume()
        watch.until_state("live", LONGEST_SECONDS)
        watch.until(lambda: len(watch.frames) >= seen + 60)
    assert watch.capture.connections == 2
    assert watch.capture.last_error == ""
    # None of those that were held up in between was handed on as fresh
    late = [f for f, age in zip(watch.frames[seen:], watch.ages[seen:], strict=True) if age <= FRESH_SECONDS]
    assert late
    assert all(frame.captured > silent for frame in late)
    numbers = [frame.number for frame in watch.frames]
    assert numbers == sorted(set(numbers))


def test_pictures_that_come_late_say_how_late_and_end_in_a_new_connection(server: RtspServer) -> None:
    """As from a router that queues: everything arrives, 2.5 seconds after it was sent."""
    stop = threading.Event()
    with Proxy(server.port) as proxy:
        url = at_port(server.url, proxy.port)
        with watching(source_of(url, stop), stop) as watch:
            watch.until(lambda: len(watch.frames) >= 60)
            assert max(watch.ages[-10:]) < 1
            proxy.delay_seconds = 2.5
            watch.during(1)  # those that are on their way
            seen = len(watch.frames)
            watch.until(lambda: len(watch.frames) >= seen + 5)
            assert min(watch.ages[seen:]) > FRESH_SECONDS
            assert max(watch.ages[seen:]) < 5
            utc_ages = [time.time_ns() / 1e9 - frame.utc_ns / 1e9 for frame in watch.frames[-1:]]
            assert utc_ages[0] > FRESH_SECONDS
            assert watch.capture.state == "stale"
            watch.until_state("down", LONGEST_SECONDS)
            assert "seconds late" in watch.capture.last_error
            proxy.delay_seconds = 0
            watch.until_state("live", LONGEST_SECONDS)


@pytest.mark.sweep
def test_a_camera_whose_clock_runs_at_half_speed_is_live_for_good() -> None:
    stop = threading.Event()
    with (
        RtspServer(width=640, height=360, clock=0.5) as server,
        watching(source_of(server.url, stop), stop) as watch,
    ):
        watch.until(lambda: bool(watch.capture.source.clock.problem), 3 * LONGEST_SECONDS)
        speed = re.search(r"runs at ([\d.]+) times", watch.capture.source.clock.problem)
        assert speed is not None
        assert float(speed[1]) == pytest.approx(0.5, abs=0.05)
        connections, seen = watch.capture.connections, len(watch.frames)
        watch.during(2 * READ_SECONDS + 2)
        assert (watch.capture.state, watch.capture.connections) == ("live", connections)
        assert max(watch.ages[seen + 1 :]) < LATE_SECONDS


def test_a_camera_that_loses_power_is_live_again_after_it_has_started(server: RtspServer) -> None:
    stop = threading.Event()
    with watching(source_of(server.url, stop), stop) as watch:
        watch.until_state("live")
        server.kill()
        watch.until_state("down", LONGEST_SECONDS)
        watch.during(2)
        server.start()
        watch.until_state("live", LONGEST_SECONDS + 10)  # and the pause, which has grown to 4 s or so
    assert watch.capture.connections == 2


def flipped_bits(before: int, data: bytes) -> bytes:
    """Damage here and there, in headers as in pictures, once the first pictures are through."""
    chance = random.Random(before)
    spoiled = bytearray(data)
    for place in range(0, len(spoiled) if before > 60_000 else 0, 400):
        spoiled[min(len(spoiled) - 1, place + chance.randrange(400))] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def noise_after_the_handshake(before: int, data: bytes) -> bytes:
    return random.Random(before).randbytes(len(data)) if before > 60_000 else data


def noise_from_the_start(before: int, data: bytes) -> bytes:
    return random.Random(before).randbytes(len(data))


@pytest.mark.parametrize("damage", [flipped_bits, noise_after_the_handshake, noise_from_the_start])
def test_garbage_is_no_crash(server: RtspServer, damage: Damage, capfd: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    with Proxy(server.port) as proxy:
        proxy.damage = damage
        with watching(source_of(at_port(server.url, proxy.port), stop), stop) as watch:
            watch.until(lambda: bool(watch.errors) or watch.counts[Reason.UNDECODABLE] > 0)
            proxy.damage = None
            watch.until_state("live", 2 * LONGEST_SECONDS)
    assert {(frame.width, frame.height) for frame in watch.frames} == {(640, 360)}
    assert capfd.readouterr() == ("", "")  # FFmpeg would print addresses, and much else


def test_the_newest_frame_wins_where_the_rest_is_slow(server: RtspServer) -> None:
    stop = threading.Event()
    with watching(source_of(server.url, stop), stop) as watch:
        watch.until(lambda: len(watch.frames) >= 60)
        taken, captured = len(watch.frames), watch.capture.captured
        overtaken = watch.counts[Reason.OVERTAKEN]
        for _ in range(6):
            time.sleep(0.4)  # a slow detector: 12 frames pass
            watch.tick()
    overtaken = watch.counts[Reason.OVERTAKEN] - overtaken
    assert max(watch.ages[taken:]) < 1
    assert overtaken >= 30
    rest = watch.capture.slot.take()
    assert watch.capture.captured - captured == len(watch.frames) - taken + overtaken + (rest is not None)


def test_a_process_can_end_while_a_stream_hangs() -> None:
    """Its threads are inside FFmpeg, which would wait for five minutes."""
    script = """
import sys, threading, time
from edge.sources.capture import Capture
from edge.config import CameraConfig
from edge.sources import make_source
stop = threading.Event()
captures = [
    Capture(
        make_source("a", CameraConfig(source=sys.argv[1], open_timeout_seconds=300), stop),
        stop, threading.Event(), print,
    )
    for _ in range(3)
]
for capture in captures:
    capture.start()
time.sleep(1)
stop.set()
deadline = time.monotonic() + 1
print([capture.join(max(0, deadline - time.monotonic())) for capture in captures])
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = subprocess.run(
            [sys.executable, "-c", script, f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.stdout.count("False"), done.stdout.count("True")) == (3, 0)
    assert (done.returncode, done.stderr) == (0, "")
