"""``edge demo``: the whole appliance on a synthetic camera, and then a rescan of what it stored."""

from __future__ import annotations

import json
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge import logs
from edge.commands.terminal import print_plain
from edge.config import Config, make_config
from edge.daemon.appliance import Appliance
from edge.detection.rescan import FACE_SCORE, find_faces
from edge.errors import ConfigError
from edge.sources.synthetic import SyntheticSource
from edge.status.schema import Status

CAMERA = "demo"


@dataclass(frozen=True)
class DemoResult:
    """True when images were stored, no face was found on any of them, and the status endpoint answered.

    ``answers``: how often the endpoint answered while the pipeline ran. ``hits``: images on which the rescan
    found something, with the best score.
    """

    status: Status
    address: str
    answers: int
    seconds: float
    images: list[Path]
    hits: list[tuple[Path, float]]

    @property
    def leaks(self) -> list[tuple[Path, float]]:
        """Images on which a face was found."""
        return [(path, score) for path, score in self.hits if score >= FACE_SCORE]

    def __bool__(self) -> bool:
        return bool(self.images) and not self.leaks and self.answers > 0


def demo(out: Path | None, seconds: float, console: Console, errors: Console) -> bool:
    """Run the demo and print what it did; return whether all went well.

    Images go to ``out``, or to a new temporary folder. Raises EdgeError when the appliance does not start.
    """
    logs.start()
    folder = out if out is not None else Path(tempfile.mkdtemp(prefix="edge-demo-"))
    table = {"store": {"folder": folder}, "status": {"port": 0}, "detector": {"provider": "auto"}}
    result = run_demo(make_config(table, "edge demo"), seconds, errors.print)
    console.print(demo_table(result))
    for path, score in result.hits:
        kind, style = ("face", "red") if (path, score) in result.leaks else ("weak hit", "yellow")
        print_plain(errors, f"{kind} on {path} (score {score:.2f})", style=style)
    if result:
        console.print(f"No face found on {len(result.images)} images in {folder}", highlight=False)
    return bool(result)


def run_demo(config: Config, seconds: float, announce: Callable[[str], None]) -> DemoResult:
    """Run the pipeline for ``seconds`` of synthetic video, then search every image for faces.

    Raises EdgeError when the appliance does not start, and ConfigError when the images would be encrypted.
    """
    if config.store.recipient is not None:
        raise ConfigError(
            "edge demo searches its images for faces, so it cannot encrypt them: unset store.recipient"
        )
    stop = threading.Event()
    source = SyntheticSource(CAMERA, seconds, stop)
    before = set(config.store.folder.rglob("*.jpg"))
    begin = time.monotonic()
    answers = 0
    with Appliance(config, [source], stop) as appliance:
        announce(f"status endpoint: {appliance.address}")
        asked = begin
        while appliance.pipeline.tick():
            if time.monotonic() - asked >= 1:
                asked = time.monotonic()
                answers += _answers(appliance.address)
    status = appliance.status()
    elapsed = time.monotonic() - begin
    images = sorted(set(config.store.folder.rglob("*.jpg")) - before)
    announce(f"searching for faces on {len(images)} stored images")
    search = appliance.pipeline.lanes[CAMERA].search
    hits = find_faces(images, search)
    return DemoResult(status, appliance.address, answers, elapsed, images, hits)


def demo_table(result: DemoResult) -> Table:
    """What the pipeline did, as rows for the terminal."""
    camera = result.status.cameras[0]
    table = Table(title="edge demo", show_header=False)
    dropped = ", ".join(f"{reason} {count}" for reason, count in camera.dropped.items())
    rows = [
        ("frames captured", str(camera.captured)),
        ("images written", str(camera.written)),
        ("frames dropped", dropped or "none"),
        ("regions covered", str(camera.regions)),
        ("of these held", str(camera.regions_held)),
        ("found by the last look", f"{camera.regrown} images, {camera.escalated} covered whole"),
        ("frames per second", f"{camera.written / result.seconds:.1f}"),
        ("detector, provider", f"{result.status.detector}, {result.status.provider}"),
        ("status endpoint", f"answered {result.answers} times at {result.address}"),
        ("images with a face left", str(len(result.leaks))),
        ("weaker hits to look at", str(len(result.hits) - len(result.leaks))),
    ]
    for stage, times in result.status.stages.items():
        rows.append((f"{stage} p50 / p95", f"{times.p50_ms:.1f} / {times.p95_ms:.1f} ms"))
    for name, value in rows:
        table.add_row(name, value)
    return table


def _answers(address: str) -> bool:
    with urllib.request.urlopen(address + "/status", timeout=5) as answer:
        return bool(json.load(answer)["cameras"])
