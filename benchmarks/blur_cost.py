"""Cost of ``edge.blur.anonymize`` on one core: ``python -m benchmarks blur-cost``.

Regions of 100x100 px (after the margins) in a frame of 1920x1080, for every fill. The time includes
the copy of the frame; the row without regions is that copy alone. The cost does not depend on what the
picture shows, so the frame is synthetic.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from benchmarks import common
from edge import blur
from edge.boxes import Floats
from edge.config import BlurConfig
from edge.frames import RawFrame

WIDTH, HEIGHT = 1920, 1080
SIDE = 100
"""Side of a region, in pixels."""
COUNTS = (0, 1, 10, 100)
WARM_UP = 5
TARGET_MS = 3.0
"""Target: infill of 100 regions takes less than this, whole call, on one core."""


def region_boxes(count: int, config: BlurConfig, seed: int = 0) -> Floats:
    """Boxes, float32 ``[count, 4]``, whose regions are 100x100 px, apart, and all over the frame.

    They lie off any grid, so that ``infill`` cannot profit from its cells.
    """
    rng = np.random.default_rng(seed)
    columns, rows = 12, 9
    pitch = np.array([WIDTH // columns, HEIGHT // rows])
    cells = rng.permutation(columns * rows)[:count]
    corner = np.stack([cells % columns, cells // columns], axis=1) * pitch
    corner += rng.integers(0, pitch - SIDE + 1, (count, 2))
    # A quarter of a pixel less on each side: growing and rounding then give 100 px exactly.
    low, side = corner + 0.25, SIDE - 0.5
    width = side / (1 + 2 * config.margin_sides)
    height = side / (1 + config.margin_top + config.margin_bottom)
    x1, y1 = low[:, 0] + config.margin_sides * width, low[:, 1] + config.margin_top * height
    boxes = np.stack([x1, y1, x1 + width, y1 + height], axis=1).astype(np.float32)
    regions = blur.regions_of(boxes, WIDTH, HEIGHT, config)
    if len(regions) != count or not (regions[:, 2:] - regions[:, :2] == SIDE).all():
        raise ValueError(f"regions are not {SIDE}x{SIDE} px: {regions[:3].tolist()}")
    return boxes


def synthetic_frame(seed: int = 0) -> RawFrame:
    """A frame of noise on a gradient."""
    rng = np.random.default_rng(seed)
    gradient = np.linspace(40, 200, WIDTH)[None, :, None]
    pixels = (gradient + rng.integers(0, 40, (HEIGHT, WIDTH, 3))).astype(np.uint8)
    return RawFrame(pixels, "benchmark", 0, 0.0, 0.0, 0)


def measure(rounds: int) -> list[dict[str, object]]:
    """Median and p95 of every fill and count, in milliseconds.

    Every round runs every row once, in a new order, so that other work on the machine hits all rows alike.
    """
    frame = synthetic_frame()
    fills = get_args(BlurConfig.model_fields["fill"].annotation)
    configs = {fill: BlurConfig.model_validate({"fill": fill}) for fill in fills}
    rows = {
        (fill, count): region_boxes(count, config) for fill, config in configs.items() for count in COUNTS
    }
    taken: dict[tuple[str, int], list[float]] = {row: [] for row in rows}
    shuffle = random.Random(0)
    for number in range(WARM_UP + rounds):
        for fill, count in shuffle.sample(list(rows), len(rows)):
            begin = time.perf_counter()
            blur.anonymize(frame, rows[fill, count], configs[fill])
            elapsed = time.perf_counter() - begin
            if number >= WARM_UP:
                taken[fill, count].append(elapsed * 1e3)
    return [
        {
            "fill": fill,
            "regions": count,
            "median_ms": round(float(np.median(times)), 3),
            "p95_ms": round(float(np.percentile(times, 95)), 3),
            "min_ms": round(min(times), 3),
        }
        for (fill, count), times in taken.items()
    ]


def main(*, rounds: int, file: Path | None) -> None:
    """Measure, print and keep the result."""
    cv2.setNumThreads(1)
    result = common.begin("blur_cost")
    rows = measure(rounds)
    reached = next(r["median_ms"] for r in rows if (r["fill"], r["regions"]) == ("infill", 100))
    met = isinstance(reached, float) and reached < TARGET_MS
    result |= {
        "frame": [WIDTH, HEIGHT],
        "region": [SIDE, SIDE],
        "rounds": rounds,
        "opencv_threads": cv2.getNumThreads(),
        "rows": rows,
        "target": {"row": "infill, 100 regions, median", "below_ms": TARGET_MS, "met": met},
    }
    header = ["fill", "regions", "median ms", "p95 ms", "min ms"]
    print(common.table(header, [list(row.values()) for row in rows]))
    verdict = "met" if met else "MISSED"
    print(f"\ninfill of 100 regions, median below {TARGET_MS} ms: {verdict} ({reached} ms)")
    print(common.machine_line(result))
    common.finish(result, file)
