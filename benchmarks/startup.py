"""From the start of the process to the first stored image: ``python -m benchmarks startup``.

The real ``edge run`` on a video file and on an RTSP camera of this machine (25 frames per second, 720p),
detector on the CPU, everything else at its default. The clock runs from just before the process is made
until the image's name is there (looked for every 5 ms); the name appears when the bytes have been flushed.
In between, lines of the log mark the stages. Exit code 1 when the target is missed.

The steps before the first line of the log are timed in a process that takes them one by one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2

from benchmarks import common
from benchmarks.soak.cameras import RtspCamera
from benchmarks.soak.scene import HEIGHT, WIDTH, Scene
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from tests.rtsp_server import missing

TARGET_SECONDS = 2.5
FPS = 25
CLIP_SECONDS = 8
POLL_SECONDS, LIMIT_SECONDS = 0.005, 60.0

_STEPS = """
import json, sys, time
begin = time.perf_counter()
steps = {}
def step(name):
    global begin
    now = time.perf_counter()
    steps[name] = now - begin
    begin = now
import edge.cli
step("import of the command line and the configuration")
from edge.config import read_config
from pathlib import Path
config = read_config(Path(sys.argv[1]))
step("configuration")
import numpy, cv2
step("import of numpy and OpenCV")
import onnxruntime
step("import of ONNX Runtime")
import fastapi, uvicorn, prometheus_client
step("import of the status endpoint's packages")
import edge.daemon.run
step("import of the rest")
from edge.detection.session import read_detector
file = read_detector(config.detector.path)
step("detector read and hashed")
from edge.detection.detector import open_detector
detector = open_detector(file, config.detector)
step("detector opened and run once")
from edge.detection import known_face
known_face.check(detector)
step("known face")
json.dump(steps, sys.stdout)
"""


@dataclass
class Start:
    """Stages of one start, in seconds. ``wait`` is the delay line and the store."""

    to_detector: float
    to_endpoint: float
    to_first_frame: float
    wait: float
    total: float


def write_clip(path: Path, scene: Scene) -> None:
    """Write a video of the soak's scene: 720p, 25 frames per second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    for number in range(CLIP_SECONDS * FPS):
        writer.write(scene.draw(number * 1000 // FPS))
    writer.release()


def write_config(path: Path, folder: Path, source: str, extra: str = "") -> None:
    path.write_text(
        f'[cameras.front]\nsource = "{source}"\n{extra}\n[store]\nfolder = "{folder}"\n'
        '[status]\nport = 0\n[detector]\nprovider = "cpu"\n',
        encoding="utf-8",
    )


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}


def start_once(config: Path, images: Path, log: Path) -> Start:
    """Start ``edge run``, wait for its first image, end it. Raises RuntimeError when none comes."""
    edge = str(Path(sys.executable).with_name("edge"))
    begin = time.time()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [edge, "run", "--config", str(config)], stderr=file, env=environment(), cwd=config.parent
        )
    try:
        while not any(images.glob("front/*/*.jpg")):
            if process.poll() is not None or time.time() - begin > LIMIT_SECONDS:
                raise RuntimeError(f"no image came:\n{log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(POLL_SECONDS)
        end = time.time()
    finally:
        process.terminate()
        process.wait(30)
    return stages(log.read_text(encoding="utf-8"), begin, end)


def stages(log: str, begin: float, end: float) -> Start:
    """Read the stages from a log. ``begin`` and ``end`` are times (time.time). Raises RuntimeError when a
    line is missing."""
    times = []
    for text in ("finds the known face", "status endpoint:", r"camera front: .*\d+x\d+$"):
        match = re.search(rf"^(\S+ \S+),(\d+) .*{text}", log, re.MULTILINE)
        if match is None:
            raise RuntimeError(f"no line {text!r} in the log:\n{log[-2000:]}")
        moment = datetime.strptime(match.group(1), "%Y-%m-%d %H:%M:%S").timestamp()
        times.append(moment + int(match.group(2)) / 1000)
    detector, endpoint, frame = times
    return Start(detector - begin, endpoint - detector, frame - endpoint, end - frame, end - begin)


def measure(config: Path, work: Path, runs: int) -> list[Start]:
    """Start ``runs`` times, each with an empty store; one more before, which is not counted."""
    starts = []
    for number in range(runs + 1):
        folder = work / f"{config.stem}-{number}"
        text = re.sub(r'folder = "[^"]*"', f'folder = "{folder}"', config.read_text(encoding="utf-8"))
        config.write_text(text, encoding="utf-8")
        starts.append(start_once(config, folder, work / "edge.log"))
    return starts[1:]


def measure_steps(config: Path, runs: int) -> dict[str, float]:
    """Median time of each step before the first line of the log, in seconds."""
    taken: dict[str, list[float]] = {}
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", _STEPS, str(config)],
            capture_output=True,
            text=True,
            check=True,
            env=environment(),
            cwd=common.ROOT,
        )
        for name, seconds in json.loads(done.stdout).items():
            taken.setdefault(name, []).append(seconds)
    return {name: round(statistics.median(seconds), 3) for name, seconds in taken.items()}


def summary(starts: list[Start]) -> dict[str, Any]:
    """Median, least and most of every stage, in seconds."""
    rows = [asdict(start) for start in starts]
    return {
        name: {
            "median": round(statistics.median(row[name] for row in rows), 3),
            "least": round(min(row[name] for row in rows), 3),
            "most": round(max(row[name] for row in rows), 3),
        }
        for name in rows[0]
    }


@contextlib.contextmanager
def rtsp_camera(detector: Detector, work: Path) -> Iterator[str]:
    """Run an RTSP camera; yields its URL."""
    camera = RtspCamera("front", Scene(0, detector), FPS, time.time(), work, "tcp")
    camera.start()
    try:
        yield camera.url
    finally:
        camera.close()


def run(runs: int, rtsp: bool) -> dict[str, Any]:
    """Measure; the result has ``good``."""
    result = common.begin("startup")
    detector = open_detector(read_detector(None), DetectorConfig(provider="cpu", threads=1))
    with tempfile.TemporaryDirectory(prefix="startup-") as name:
        work = Path(name)
        write_clip(work / "clip.mp4", Scene(0, detector))
        video = work / "video.toml"
        write_config(video, work / "images", str(work / "clip.mp4"))
        steps = measure_steps(video, runs)
        sources = {"video file": summary(measure(video, work, runs))}
        if rtsp:
            with rtsp_camera(detector, work) as url:
                network = work / "rtsp.toml"
                write_config(network, work / "images", url)
                sources["rtsp"] = summary(measure(network, work, runs))
    good = all(stage["total"]["median"] < TARGET_SECONDS for stage in sources.values())
    return result | {
        "runs": runs,
        "fps": FPS,
        "left_out": "" if rtsp else "rtsp",
        "sources": sources,
        "steps_seconds": steps,
        "target": {"what": "total, median", "below_seconds": TARGET_SECONDS, "met": good},
        "good": good,
    }


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    rows = [
        [source, stage.replace("_", " "), *values.values()]
        for source, stages_ in result["sources"].items()
        for stage, values in stages_.items()
    ]
    print(common.table(["source", "stage", "median s", "least s", "most s"], rows))
    print()
    print(common.table(["step before the first line", "median s"], result["steps_seconds"].items()))
    verdict = "met" if result["good"] else "MISSED"
    print(f"\nfirst image stored within {TARGET_SECONDS} s, median: {verdict}")
    print(common.machine_line(result))


def main(*, runs: int, rtsp: bool, file: Path | None) -> None:
    """Measure, print and keep the result. Exits with 1 when the target is missed."""
    if rtsp and missing():
        raise common.give_up(f"{missing()}; or leave it out: --no-rtsp")
    result = run(runs, rtsp)
    show(result)
    common.finish(result, file)
    raise SystemExit(0 if result["good"] else 1)
