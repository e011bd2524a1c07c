"""A folder or a video of known pictures as the source of a pipeline, of which no frame may be lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edge.config import CameraConfig
from edge.daemon.pipeline import Pipeline
from edge.reasons import Reason
from edge.sources import make_source
from edge.status.metrics import Metrics
from tests.daemon.blind import NEVER
from tests.daemon.playing import Truthful, check_accounts, config, make, picture

FRAMES = 24
ALL = list(range(FRAMES))
LOSSLESS = int.from_bytes(b"MPNG", "little")


def source_of(folder: Path, kind: str, **keys: Any) -> CameraConfig:
    """A folder or a video of ``picture(0)`` and those that follow, to the pixel."""
    if kind == "folder":
        place = folder / "inbox"
        place.mkdir()
        for number in ALL:
            assert cv2.imwrite(str(place / f"{number:02d}.png"), picture(number))
    else:
        place = folder / "clip.avi"
        writer = cv2.VideoWriter(str(place), cv2.CAP_FFMPEG, LOSSLESS, 25, (160, 120))
        for number in ALL:
            writer.write(picture(number))
        writer.release()
    made = {"source": str(place), "kind": kind, "poll_seconds": 0.01, "pace": False}
    return CameraConfig.model_validate(made | keys)


def reading(
    camera: CameraConfig, folder: Path, detector: Truthful, **tables: Any
) -> tuple[Pipeline, Metrics]:
    source = make_source("test", camera, threading.Event())
    pipeline, metrics = make(config(folder, **{"privacy": NEVER, **tables}), [source], detector)
    source._stop = pipeline._stop
    return pipeline, metrics


def tick_until(pipeline: Pipeline, condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        pipeline._next_known_face = 0.0
        if not pipeline.tick(0.005):
            return
    raise AssertionError("waited too long")


def run(pipeline: Pipeline, metrics: Metrics, until: int = FRAMES) -> None:
    """Until so many images are stored, or the file ends."""
    pipeline.start()
    tick_until(pipeline, lambda: metrics.count("images_written", "test") >= until)
    pipeline.stop()
    check_accounts(metrics)


def lost(pipeline: Pipeline) -> dict[Reason, int]:
    return pipeline.ledgers.lost("test")


def only_retried(metrics: Metrics) -> bool:
    dropped = {reason for reason in Reason if metrics.count("frames_dropped", "test", reason)}
    return dropped <= {Reason.RETRIED}
