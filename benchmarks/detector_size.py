"""What the canvas of the shipped detector costs and finds: ``python -m benchmarks.detector_size``.

Two questions. Does freezing the free sides of the graph when a session opens pay, compared with a
graph whose sides are numbers in the file, and with leaving them free? And how does recall fall with
the size of the canvas? Recall is measured on the train split, so that the eval split stays unseen, on
pictures 400 pixels wide: what a camera sees is measured by ``python -m benchmarks scenes``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks import common
from edge import boxes as geometry
from edge import contract
from edge.blur import regions_of
from edge.config import BlurConfig, DetectorConfig
from edge.detection.detector import Detections, Detector, open_detector
from edge.detection.session import read_detector
from edge.pictures import read_picture

SIZES = ((640, 384), (960, 544), (1280, 736))
CANVASES = (
    "320x320",
    "640x384",
    "640x480",
    "960x544",
    "native",
    "native, score 0.2",
)
SCORES = (0.2, 0.35, 0.5)
MATCH_IOU, MIN_SIDE = 0.4, 12
COVERED_SHARE = 0.6
"""A face counts as left when less than this share of its box would be painted over."""
LEFT_SIDES = (12, 20, 40, 80)


def sessions(size: tuple[int, int], threads: int) -> dict[str, ort.InferenceSession]:
    """The same graph three ways: sides free, frozen as the session opens, numbers in the file."""
    width, height = size
    model = onnx.load_from_string(read_detector(None).data)
    sides = dict(zip(contract.SYMBOLS, (1, height, width), strict=True))
    opened = {}
    for name in ("free", "frozen", "fixed"):
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        if name == "frozen":
            for symbol, side in sides.items():
                options.add_free_dimension_override_by_name(symbol, side)
        if name == "fixed":
            for dim in model.graph.input[0].type.tensor_type.shape.dim[:3]:
                dim.dim_value = sides[dim.dim_param]
            for output in model.graph.output:
                output.type.tensor_type.shape.dim[0].dim_value = 1
        opened[name] = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    return opened


def latency(rounds: int, threads: int) -> list[dict[str, Any]]:
    """Milliseconds per run, rows interleaved round by round."""
    work: dict[tuple[str, str], Callable[[], Any]] = {}
    for size in SIZES:
        canvas = np.random.default_rng(0).integers(0, 256, (1, size[1], size[0], 3), np.uint8)
        for name, session in sessions(size, threads).items():
            work[f"{size[0]}x{size[1]}", name] = partial(session.run, None, {contract.INPUT: canvas})
    times: dict[tuple[str, str], list[float]] = {key: [] for key in work}
    for round_number in range(rounds + 2):
        for key, run in work.items():
            begin = time.perf_counter()
            run()
            if round_number >= 2:  # the first rounds warm up
                times[key].append((time.perf_counter() - begin) * 1000)
    return [
        {
            "size": size,
            "sides": name,
            "median_ms": round(statistics.median(values), 2),
            "p95_ms": round(float(np.percentile(values, 95)), 2),
        }
        for (size, name), values in times.items()
    ]


def recall(data: Path, canvas: str, limit: int) -> dict[str, Any]:
    """Recall, false boxes per picture and faces left of one canvas size on the train split."""
    score = 0.2 if "score 0.2" in canvas else 0.35
    config = DetectorConfig(provider="cpu", size_pixels=canvas.split(",")[0], score_begin=score)
    detector = open_detector(read_detector(None), config)
    return _recall(data, canvas, detector, limit)


def _recall(data: Path, canvas: str, detector: Detector, limit: int) -> dict[str, Any]:
    lines = (data / "faces" / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    pictures = [row for row in map(json.loads, lines) if row["split"] == "train"][:limit]
    found, wanted, false = dict.fromkeys(SCORES, 0), 0, dict.fromkeys(SCORES, 0)
    left, present = dict.fromkeys(LEFT_SIDES, 0), dict.fromkeys(LEFT_SIDES, 0)
    for row in pictures:
        faces = np.array([face["box"] for face in row["faces"] if not face["invalid"]], np.float32).reshape(
            -1, 4
        )
        truth = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:]], axis=1)
        counted = np.minimum(faces[:, 2], faces[:, 3]) >= MIN_SIDE
        wanted += int(counted.sum())
        pixels = read_picture(data / "faces" / row["image"], convert=True).pixels
        detections = detector.detect(pixels)
        for score, hits, extra in hits_of(detections, truth, counted):
            found[score] += hits
            false[score] += extra
        bare = uncovered(detections, detector.score_begin, truth, pixels.shape[1], pixels.shape[0])
        sides = np.minimum(faces[:, 2], faces[:, 3])
        for side in LEFT_SIDES:
            present[side] += int((sides >= side).sum())
            left[side] += int((bare & (sides >= side)).sum())
    return {
        "canvas": canvas,
        "pictures": len(pictures),
        "faces": wanted,
        "recall": {str(s): round(found[s] / wanted, 4) for s in SCORES},
        "false_per_picture": {str(s): round(false[s] / len(pictures), 3) for s in SCORES},
        "left": {str(side): [left[side], present[side]] for side in LEFT_SIDES},
    }


def hits_of(
    found: Detections, truth: geometry.Floats, counted: np.ndarray[Any, Any]
) -> list[tuple[float, int, int]]:
    """Per score: true faces found among the counted ones, and boxes on no face."""
    overlap = geometry.iou(truth, found.boxes) >= MATCH_IOU
    rows = []
    for score in SCORES:
        taken = overlap & (found.scores >= score)
        extra = (found.scores >= score) & ~overlap.any(axis=0)
        rows.append((score, int((taken.any(axis=1) & counted).sum()), int(extra.sum())))
    return rows


def uncovered(
    found: Detections, score: float, truth: geometry.Floats, width: int, height: int
) -> np.ndarray[Any, Any]:
    """Which true faces the default regions of these detections leave in view, bool ``[N]``."""
    painted = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in regions_of(found.at_least(score).boxes, width, height, BlurConfig()).tolist():
        painted[y1:y2, x1:x2] = True
    shares = [
        float(painted[y1:y2, x1:x2].mean()) if x2 > x1 and y2 > y1 else 1.0
        for x1, y1, x2, y2 in geometry.clip(truth, width, height).astype(int).tolist()
    ]
    return np.array(shares, np.float64) < COVERED_SHARE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of test data (default: beside the checkout)")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--rounds", type=int, default=20, help="timed rounds")
    parser.add_argument("--limit", type=int, default=10_000, help="pictures at most")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads of ONNX Runtime (more than 1: idle pools disturb each other)",
    )
    arguments = parser.parse_args()
    result = common.begin("detector_size")
    result["threads"] = arguments.threads
    result["latency"] = latency(arguments.rounds, arguments.threads)
    print(common.machine_line(result), "\n")
    print(
        common.table(
            ["canvas", "sides", "median ms", "p95 ms"], [list(r.values()) for r in result["latency"]]
        )
    )
    data = common.data_folder(arguments.data)
    if data is None:
        print("\nno data folder: recall is left out (--data DIR)")
    else:
        result["recall"] = [recall(data, canvas, arguments.limit) for canvas in CANVASES]
        rows = [
            [
                r["canvas"],
                *r["recall"].values(),
                *r["false_per_picture"].values(),
                *(f"{left}/{present}" for left, present in r["left"].values()),
            ]
            for r in result["recall"]
        ]
        header = [
            "canvas",
            *(f"recall {s}" for s in SCORES),
            *(f"false/picture {s}" for s in SCORES),
            *(f"left, {side} px" for side in LEFT_SIDES),
        ]
        print("\n" + common.table(header, rows))
    common.finish(result, arguments.json)


if __name__ == "__main__":
    main()
