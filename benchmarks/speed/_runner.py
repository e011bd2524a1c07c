"""One process of ``python -m benchmarks speed``: ``python -m benchmarks.speed._runner SPEC``, with JSON.

``prepare`` makes the detectors and tf2onnx's own conversion of a SavedModel, once. ``measure`` times every
row in this process with one number of threads, and profiles the detectors; TensorFlow fixes its threads once
per process, hence one process for each number.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2

from benchmarks.speed import op_profile, tensorflow_rows
from benchmarks.speed import rows as speed_rows
from benchmarks.speed.rows import Row
from convert import model as tensorflow_model
from convert.build import build
from convert.errors import ConvertError
from convert.options import DetectorOptions
from convert.request import BuildRequest
from convert.source import open_source
from edge.detection.detector import Detector
from edge.errors import EdgeError


def prepare(spec: dict[str, Any]) -> dict[str, Any]:
    """Detectors by precision and target, those that are refused with the reason; and plain tf2onnx."""
    draft, source = Path(spec["draft"]), Path(spec["model"])
    detectors: list[str] = list(spec["detectors"])
    refused: dict[str, str] = {}
    for precision, target in spec["wanted"]:
        name = speed_rows.row_name(precision, target)
        print(f"building {name}", file=sys.stderr, flush=True)
        calibration = Path(spec["calibration"]) if spec["calibration"] else None
        options = DetectorOptions(targets=(target,), precision=precision, calibration=calibration)
        try:
            result = build(BuildRequest(source, draft / f"{precision}-{target}", detector=options))
        except ConvertError as error:
            refused[name] = str(error).splitlines()[0]
            continue
        detectors += [str(built.path) for built in result.detectors]
    print("converting the whole model with tf2onnx", file=sys.stderr, flush=True)
    with open_source(source) as opened:
        model = tensorflow_model.load(opened.folder)
        plan = None
        if detectors:
            _, detector = speed_rows.detector_row(Path(detectors[0]), speed_rows.bench_picture(), 1)
            plan = tensorflow_rows.plan_of(model, opened.labels, detector, _anchors(spec))
        plain, note = tensorflow_rows.convert_plain(model, plan, opened.folder, draft)
        size = sum(file.stat().st_size for file in opened.folder.rglob("*") if file.is_file())
        name = opened.name
    return {
        "model": name,
        "bytes": size,
        "detectors": detectors,
        "refused": refused,
        "plain": None if plain is None else str(plain),
        "plain_note": note,
    }


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Rows with one number of threads, and where the detectors' time goes."""
    threads, rounds = int(spec["threads"]), int(spec["rounds"])
    cv2.setNumThreads(threads)
    tensorflow_rows.prepare_tensorflow(threads)
    picture = speed_rows.bench_picture()
    opened_detectors: list[tuple[Row, Detector, Path]] = []
    for path in map(Path, spec["detectors"]):
        row, detector = speed_rows.detector_row(path, picture, threads)
        opened_detectors.append((row, detector, path))
    with open_source(Path(spec["model"])) as opened:
        model = tensorflow_model.load(opened.folder)
        plan = None
        if opened_detectors:
            plan = tensorflow_rows.plan_of(model, opened.labels, opened_detectors[0][1], _anchors(spec))
        rows = [tensorflow_rows.signature_row("tf", model, plan, picture)]
        if plan is None:
            rows.append(tensorflow_rows.xla_row(model, picture))
        plain = None if spec["plain"] is None else Path(spec["plain"])
        rows.append(tensorflow_rows.plain_row(plain, spec["plain_note"], model, plan, picture, threads))
    rows += [row for row, _, _ in opened_detectors]
    files = {row.name: str(path) for row, _, path in opened_detectors}
    figures = speed_rows.measure(rows, rounds)
    result: dict[str, Any] = {
        "rows": [
            {
                "name": row.name,
                "threads": threads,
                "file": files.get(row.name),
                "nodes": row.nodes,
                "bytes": row.bytes,
                "parity": row.parity,
                "error": row.error,
                "note": row.note,
                **(figures.get(row.name) or {}),
            }
            for row in rows
        ]
    }
    if spec["profile"]:
        peak = op_profile.measure_peak(threads, op_profile.PEAK_RUNS if rounds >= 5 else rounds)
        result["peak"] = peak
        result["profile"] = {}
        for row, detector, path in opened_detectors:
            if row.run is None or detector.session.provider != "cpu":
                continue
            canvas = speed_rows.canvas_of(detector, picture)
            rate = peak["gmac_per_s"]
            profile = op_profile.profile_detector(path.read_bytes(), canvas, threads, max(rounds, 2), rate)
            # Not against the profiled run, which the profiler itself makes longer.
            outside = figures[row.name]["median_ms"] - profile["kernels_ms"]
            profile["outside_kernels_ms"] = round(max(0.0, outside), 3)
            result["profile"][row.name] = profile
    return result


def _anchors(spec: dict[str, Any]) -> Path | None:
    return Path(spec["anchors"]) if spec["anchors"] else None


def main() -> None:
    spec = json.loads(sys.argv[1])
    try:
        result = {"prepare": prepare, "measure": measure}[spec["mode"]](spec)
    except (ConvertError, EdgeError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    Path(spec["answer"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
