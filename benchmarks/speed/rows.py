"""Ways from a picture to boxes, and their time in one process: what ``python -m benchmarks speed`` compares.

All rows see the same picture, with the same number of threads:

* *tf*: the SavedModel's own signature; *tf-xla*: the same compiled by XLA, where that works.
* *plain-tf2onnx*: the whole SavedModel as tf2onnx converts it, with its default optimizers, in ONNX
  Runtime. A refusal is a row without figures.
* *edge-fp32* and so on: a detector as the box runs it, from scaling the frame to suppression.

A model of an unknown exporter takes a canvas and gives raw boxes; there the rows of TensorFlow and of plain
tf2onnx include NumPy's scaling, decoding and suppression (``convert.reference.detect_picture``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmarks import common
from benchmarks.one_view import open_at
from convert.one_look import ONE_LOOK
from edge import contract
from edge.config import DetectorConfig
from edge.contract import Contract
from edge.detection.detector import Detector
from edge.detection.session import read_detector
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason

WIDTH, HEIGHT = 1280, 720
PICTURE = f"hopper.jpg and astronaut.jpg of edge/data side by side, {WIDTH}x{HEIGHT}"
CANVAS = "1280x736"
"""For a detector of any size: the picture as it is, but for the sides' common factor of 32."""
WARM_UP = 3
MIN_SCORE = 0.3
"""Boxes from this score on are counted as faces, which shows that rows do the same work."""
MODEL_BOXES = 100
"""The most boxes that TensorFlow's models return."""


@dataclass
class Row:
    """One way from the picture to boxes. ``run`` returns the number of faces; None: ``error`` says why."""

    name: str
    run: Callable[[], int] | None
    nodes: int | None = None
    bytes: int | None = None
    parity: dict[str, Any] | None = None
    error: str | None = None
    note: str | None = None


def bench_picture() -> Pixels:
    """Both shipped portraits, uint8 ``[720, 1280, 3]`` BGR."""
    parts = []
    for name, width in (("hopper.jpg", 614), ("astronaut.jpg", WIDTH - 614)):
        picture = cv2.imread(str(common.ROOT / "edge" / "data" / name), cv2.IMREAD_COLOR)
        if picture is None:
            raise common.give_up(f"edge/data/{name} cannot be read")
        scaled_width = max(width, round(picture.shape[1] * HEIGHT / picture.shape[0]))
        scaled = cv2.resize(picture, (scaled_width, HEIGHT), interpolation=cv2.INTER_LINEAR)
        left = (scaled_width - width) // 2
        parts.append(scaled[:, left : left + width])
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.uint8)


def detector_row(path: Path, picture: Pixels, threads: int) -> tuple[Row, Detector]:
    """A detector file on the provider it was made for; named by precision and, except for the CPU, target.

    Raises EdgeError when it cannot be opened.
    """
    file = read_detector(path)
    target = contract_of(file.data).target
    config = DetectorConfig(path=path, provider=target, threads=threads, timeout_seconds=600)
    detector = open_at(file, config, CANVAS)
    kept = detector.session.contract
    name, parity = row_name(kept.precision, target), json.loads(kept.parity)
    row = Row(name, _detection(detector, picture), count_nodes(file.data), len(file.data), parity)
    try:
        detector.detect(picture, ONE_LOOK)
    except DetectionError as error:
        row = dataclasses.replace(row, run=None, error=str(error))
        if error.reason == Reason.OVERFLOW:
            note = calm(detector, picture)
            row = dataclasses.replace(row, run=_detection(detector, picture), error=None, note=note)
    return row, detector


def row_name(precision: str, target: str) -> str:
    """What the row of a detector is called."""
    return f"edge-{precision}" + ("" if target == "cpu" else f"-{target}")


def contract_of(data: bytes) -> Contract:
    """The contract in a detector's metadata. Raises ContractError."""
    import onnx

    entries = onnx.ModelProto.FromString(data).metadata_props
    return contract.from_metadata({entry.key: entry.value for entry in entries})


def calm(detector: Detector, picture: Pixels) -> str:
    """Raise the thresholds of a detector that sees faces everywhere, as an untrained one does, until no more
    candidates pass than TensorFlow returns boxes; returns a note about it."""
    _, scores = detector.session.run(canvas_of(detector, picture))
    detector.score_begin = detector.score_continue = float(np.nextafter(scores[MODEL_BOXES], np.float32(2)))
    return (
        f"all {len(scores)} candidates pass the detector's own threshold, as if it were untrained; measured "
        f"with a threshold of {detector.score_continue:.3f}, which the {MODEL_BOXES} best pass"
    )


def canvas_of(detector: Detector, picture: Pixels) -> Pixels:
    """What the detector's graph gets for a picture, uint8 ``[H, W, 3]`` RGB."""
    watch = mock.patch.object(detector.session, "run", wraps=detector.session.run)
    with watch as seen, contextlib.suppress(DetectionError):
        detector.detect(picture, ONE_LOOK)
    canvas: Pixels = seen.call_args.args[0]
    return canvas


def _detection(detector: Detector, picture: Pixels) -> Callable[[], int]:
    return lambda: len(detector.detect(picture, ONE_LOOK).at_least(MIN_SCORE).scores)


def count_nodes(data: bytes) -> int:
    """Nodes of an ONNX file, those in the bodies of its loops and branches included."""
    import onnx

    def count(graph: Any) -> int:
        inner = (
            attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")
        )
        return len(graph.node) + sum(count(body) for body in inner)

    return count(onnx.ModelProto.FromString(data).graph)


def measure(rows: Sequence[Row], rounds: int) -> dict[str, dict[str, Any]]:
    """Figures of each row that runs.

    Every round runs every row once, and begins with another one, so that other work on the machine and what a
    row leaves in the caches affect all alike. ``cores_used`` shows whether the threads are as asked for.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    used: dict[str, float] = defaultdict(float)
    faces: dict[str, int] = {}
    runs = [(row.name, row.run) for row in rows if row.run is not None]
    # Loading a SavedModel leaves millions of objects; a collection of them must not fall into some row.
    gc.collect()
    gc.freeze()
    try:
        for number in range(WARM_UP + rounds):
            turn = number % len(runs)
            for name, run in runs[turn:] + runs[:turn]:
                cpu, begin = time.process_time(), time.perf_counter()
                faces[name] = run()
                elapsed = time.perf_counter() - begin
                if number >= WARM_UP:
                    taken[name].append(elapsed * 1e3)
                    used[name] += time.process_time() - cpu
    finally:
        gc.unfreeze()
    return {
        name: {
            "median_ms": round(float(np.median(times)), 3),
            "p95_ms": round(float(np.percentile(times, 95)), 3),
            "min_ms": round(min(times), 3),
            "cores_used": round(used[name] / (sum(times) / 1e3), 2),
            "faces": faces[name],
        }
        for name, times in taken.items()
    }
