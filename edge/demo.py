"""``edge demo``: the whole appliance on a synthetic camera, and then a second look at what it stored."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edge.appliance import Appliance
from edge.config import Config, DetectorConfig
from edge.detector import Detector, open_detector
from edge.pictures import read_picture
from edge.session import read_detector
from edge.sources.synthetic import SyntheticSource
from edge.status.schema import Status

CAMERA = "demo"
FULL_SIZE = "1280x736"
"""Canvas of the second look: four times the pixels of the first."""
FACE_SCORE = 0.5
"""Score from which the second look counts as a face. Weaker hits (from the detector's ``score_begin``)
are listed too; on this scene they are collars, and covered heads that look like heads."""


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

    Raises EdgeError when the appliance does not start.
    """
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
    announce(f"looking for faces on {len(images)} stored images, at {FULL_SIZE}")
    return DemoResult(status, appliance.address, answers, elapsed, images, find_faces(images))


def _answers(address: str) -> bool:
    with urllib.request.urlopen(address + "/status", timeout=5) as answer:
        return bool(json.load(answer)["cameras"])


def find_faces(images: Sequence[Path]) -> list[tuple[Path, float]]:
    """Images on which the shipped detector, at full size, finds anything; with the best score."""
    detector = open_detector(
        read_detector(None), DetectorConfig(provider="cpu", size_pixels=FULL_SIZE, threads=1)
    )
    with ThreadPoolExecutor() as pool:
        scores = list(pool.map(lambda path: _best_score(detector, path), images))
    return [
        (path, score) for path, score in zip(images, scores, strict=True) if score >= detector.score_begin
    ]


def _best_score(detector: Detector, path: Path) -> float:
    found = detector.detect(read_picture(path).pixels)
    return float(found.scores.max(initial=0))
