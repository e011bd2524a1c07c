"""Cost of checking the known face and of waiting for it: ``python -m benchmarks known-face``.

Processor time of one check with each shipped detector on the CPU, on canvases of any size and on fixed ones,
as a share of two cores over the default interval. And the memory that the images of one 1080p camera take
while they wait that long: views of the synthetic camera, enlarged, with the noise of a camera in dim light,
as JPEG of the default quality.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import cv2
import numpy as np

from benchmarks import common
from edge import blur
from edge.boxes import NO_BOXES
from edge.config import BlurConfig, DetectorConfig, PrivacyConfig, StoreConfig
from edge.config.detector import ShippedName
from edge.daemon.detector_threads import open_daemon_detector
from edge.daemon.quarantine import MOST_BYTES
from edge.detection.known_face import KnownFaces
from edge.detection.shipped import FILES
from edge.frames import RawFrame
from edge.sources.synthetic import draw_wall, view
from edge.store.encode import encode

CORES = 2
TARGET_SHARE = 0.01
FIXED = "640x384"
WIDTH, HEIGHT, IMAGES = 1920, 1080, 10
NOISE_LEVELS = 4.0
"""Standard deviation of the noise, of 255."""


def cost_of(name: ShippedName, canvas: str | None, checks: int) -> dict[str, Any]:
    """Median processor time of a check, in milliseconds, and its share of the box."""
    privacy = PrivacyConfig()
    config = DetectorConfig.model_validate({"provider": "cpu", "name": name, "canvas": canvas})
    detector, _ = open_daemon_detector(config)  # with the threads that a run of the daemon has
    faces = KnownFaces(detector, privacy.smallest_face_pixels)
    faces.check_all()
    taken = []
    for _ in range(checks):
        begin = time.process_time()
        faces.check()
        taken.append(time.process_time() - begin)
    share = median(taken) / (CORES * privacy.known_face_interval_seconds)
    return {
        "detector": name,
        "canvas": canvas or "any",
        "cpu_ms": round(1000 * median(taken), 1),
        "share": round(share, 4),
    }


def image_bytes() -> int:
    """Mean size of an image of a 1080p camera."""
    wall, store, sizes, rng = draw_wall(), StoreConfig(), [], np.random.default_rng(1)
    for number in range(IMAGES):
        large = cv2.resize(view(wall, float(number)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = (large + rng.normal(0, NOISE_LEVELS, large.shape)).clip(0, 255).astype(np.uint8)
        raw = RawFrame(noisy, "bench", number, float(number), 0.0, 0)
        sizes.append(len(encode(blur.anonymize(raw, NO_BOXES, BlurConfig()), store.format, store.quality)))
    return round(mean(sizes))


def main(*, checks: int, file: Path | None) -> None:
    """Measure, print and keep the result."""
    result = common.begin("known_face")
    rows = [cost_of(name, canvas, checks) for name in FILES for canvas in (None, FIXED)]
    size, seconds = image_bytes(), PrivacyConfig().known_face_interval_seconds
    result |= {"checks": checks, "rows": rows, "image_bytes": size, "limit_bytes": MOST_BYTES}
    print(common.table(["detector", "canvas", "cpu ms", "share"], [list(row.values()) for row in rows]))
    met = all(row["share"] < TARGET_SHARE for row in rows)
    print(f"\nbelow {TARGET_SHARE:.0%} of {CORES} cores every {seconds:g} s: {'met' if met else 'MISSED'}")
    for rate in (1, 5):
        needed = rate * seconds * size
        print(f"one camera, {rate} images a second: {needed / 1e6:.1f} MB wait, of {MOST_BYTES / 1e6:.0f} MB")
    print(common.machine_line(result))
    common.finish(result, file)
