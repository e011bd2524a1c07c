"""What scaling a frame to the detector's canvas costs: ``python -m benchmarks.canvas_cost [--json F]``.

``edge.detection.detector.paint`` beside OpenCV's INTER_AREA, which it stands for, taking turns on one thread,
for the sizes of cameras and the canvas of the shipped detector. The process is closed to others as that of
the daemon is, so that freed buffers of a megabyte and more go back to the kernel.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks import common
from edge import boxes as geometry
from edge.detection.detector import paint
from edge.process import harden

CANVAS = (640, 384)
SIZES = ((1280, 720), (1920, 1080), (2560, 1440), (2592, 1944), (3840, 2160))


def timed(function: Callable[[], object]) -> float:
    """CPU milliseconds of one call."""
    begin = time.process_time()
    function()
    return (time.process_time() - begin) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description="What scaling a frame to the detector's canvas costs.")
    parser.add_argument("--rounds", type=int, default=60, help="calls of each (default: 60)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    result = common.begin("canvas_cost")
    harden()
    rows = []
    for width, height in SIZES:
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        letterbox = geometry.fit(width, height, *CANVAS)
        size = (letterbox.inner_width, letterbox.inner_height)
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(timed(lambda: paint(noise, letterbox, "area", (0, 0, 0))))  # noqa: B023
            theirs.append(timed(lambda: cv2.resize(noise, size, interpolation=cv2.INTER_AREA)))  # noqa: B023
        mine, other = statistics.median(ours), statistics.median(theirs)
        rows.append(
            {
                "frame": f"{width}x{height}",
                "canvas": f"{size[0]}x{size[1]}",
                "paint_ms": round(mine, 2),
                "inter_area_ms": round(other, 2),
                "ratio": round(mine / other, 2),
            }
        )
    header = ["frame", "scaled to", "edge.detection.detector.paint, ms", "INTER_AREA alone, ms", "ratio"]
    print(common.table(header, [list(row.values()) for row in rows]))
    common.finish(result | {"rows": rows}, arguments.json)


if __name__ == "__main__":
    main()
