"""``edge demo``: the whole appliance on a synthetic camera, and then a second look at what it stored."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.config import Config
from edge.daemon.appliance import Appliance
from edge.detection.rescan import FACE_SCORE, find_faces
from edge.errors import ConfigError
from edge.sources.synthetic import SyntheticSource
from edge.status.schema import Status

CAMERA = "demo"


@dataclass(frozen=True)
class DemoResult:
    """``answers``: how often the endpoint answered while the pipeline ran. ``hits``: images on which
    the second look found something, with the best score."""

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


def run_demo(config: Config, seconds: float, announce: Callable[[str], None]) -> DemoResult:
    """Run the pipeline for ``seconds`` of synthetic video, then look for faces on every image.

    Raises EdgeError when the appliance does not start, and ConfigError when the images would be encrypted.
    """
    if config.store.recipient is not None:
        raise ConfigError(
            "edge demo looks at its images again, so it cannot encrypt them: unset store.recipient"
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
    announce(f"looking for faces on {len(images)} stored images")
    return DemoResult(status, appliance.address, answers, elapsed, images, find_faces(images))


def _answers(address: str) -> bool:
    with urllib.request.urlopen(address + "/status", timeout=5) as answer:
        return bool(json.load(answer)["cameras"])
