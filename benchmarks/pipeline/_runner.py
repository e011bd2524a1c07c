"""Runs the appliance once, in a process of its own: ``python -m benchmarks.pipeline._runner SPEC``.

``SPEC`` is JSON: ``clips`` (one video file per camera), ``paced`` (whether they are played at their own rate)
and ``settings`` (sections of the configuration).
Prints one JSON object, a ``Run`` of benchmarks/pipeline/result.py. The process is closed to others as that of
``edge run`` is, which costs something: freed frames go back to the kernel. The clock starts when the detector
has found the known face and every camera has its first frame, and a second one waits to be taken; it stops
when the last image is durable.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from benchmarks.machine import peak_megabytes
from edge.config import Config
from edge.daemon.appliance import Appliance
from edge.frames import RawFrame
from edge.process import harden
from edge.sources.ledger import Ledger
from edge.sources.video import VideoSource
from edge.status.metrics import STAGES

SETTLE_SECONDS = 0.5
"""For the threads of store and status endpoint to have begun."""


class TimedSource(VideoSource):
    """A video file whose decoding is timed, the frame's copy into NumPy included.

    At its own rate it is like a camera: the newest frame wins, and none is read again.
    """

    def __init__(self, camera: str, config: Any, stop: threading.Event) -> None:
        super().__init__(camera, config, stop)
        self.seconds: list[float] = []

    def keep_ledger(self) -> Ledger | None:
        return None if self.config.pace else super().keep_ledger()

    @property
    def waits(self) -> bool:
        return not self.config.pace

    def __iter__(self) -> Iterator[RawFrame]:
        frames = super().__iter__()
        while True:
            begin = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            self.seconds.append(time.perf_counter() - begin)
            yield frame


class Watched:
    """Calls of a function, from any thread: wall seconds of each, and CPU seconds of its thread, which
    are all that there are where the detector has one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        begin, cpu = time.perf_counter(), time.thread_time()
        try:
            return self._function(*arguments, **named)
        finally:
            self.cpu.append(time.thread_time() - cpu)
            self.wall.append(time.perf_counter() - begin)


def percentiles(seconds: list[float]) -> list[float] | None:
    """Median and 95th percentile in milliseconds."""
    return [round(float(p) * 1e3, 3) for p in np.percentile(seconds, [50, 95])] if seconds else None


def bare_cpu_seconds(clip: str, quality: int) -> float:
    """CPU time per frame of decoding a clip and of encoding each frame as JPEG, and of nothing else."""
    film = cv2.VideoCapture(clip)
    begin, frames = time.process_time(), 0
    while (answer := film.read())[0]:
        cv2.imencode(".jpg", answer[1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        frames += 1
    film.release()
    return (time.process_time() - begin) / frames


def main() -> None:
    harden()
    logging.disable(logging.WARNING)
    spec = json.loads(sys.argv[1])
    names = [f"camera{number}" for number in range(1, len(spec["clips"]) + 1)]
    pace = spec["paced"]
    cameras = {name: {"source": clip, "pace": pace} for name, clip in zip(names, spec["clips"], strict=True)}
    config = Config(cameras=cameras, status={"port": 0}, **spec["settings"])
    stop = threading.Event()
    sources = [TimedSource(name, camera, stop) for name, camera in config.cameras.items()]
    appliance = Appliance(config, sources, stop)
    appliance.open()
    detector = appliance.pipeline.detector
    detector.look = look = Watched(detector.look)  # type: ignore[method-assign]
    detector.session.run = inference = Watched(detector.session.run)  # type: ignore[method-assign]
    metrics = appliance.pipeline.metrics
    with appliance:
        captures = [lane.capture for lane in appliance.pipeline.lanes.values()]
        while any(capture.alive and not capture.captured for capture in captures):
            time.sleep(0.01)
        time.sleep(SETTLE_SECONDS)
        begin, cpu = time.perf_counter(), time.process_time()
        while appliance.pipeline.tick():
            pass
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    dropped: Counter[str] = Counter()
    for name in names:
        dropped.update(metrics.by_reason("frames_dropped", name))
    stages = {
        stage: [round(seconds * 1e3, 3) for seconds in times]
        for stage in STAGES
        if (times := metrics.percentiles(stage)) is not None
    }
    print(
        json.dumps(
            {
                "frames": sum(metrics.count("frames_captured", name) for name in names),
                "images": sum(metrics.count("images_written", name) for name in names),
                "regions": sum(metrics.count("regions", name) for name in names),
                "dropped": dropped,
                "seconds": seconds,
                "cpu_seconds": cpu,
                "detector_cpu_seconds": sum(look.cpu),
                "views": len(inference.wall),
                "stages": {
                    "decode": percentiles([s for source in sources for s in source.seconds]),
                    "detection": percentiles(look.wall),
                    "inference": percentiles(inference.wall),
                    **stages,
                },
                "rss_megabytes": peak_megabytes(),
                # Last, so that its memory is not counted.
                "bare_cpu_seconds": bare_cpu_seconds(spec["clips"][0], config.store.quality),
            }
        )
    )


if __name__ == "__main__":
    main()
