"""Ways from a picture to boxes, and their time in one process: what ``python -m benchmarks speed`` compares.

All rows see the same picture, with the same number of threads:

* *tf*: the SavedModel's own signature; *tf-xla*: the same compiled by XLA, where that works.
* *plain-tf2onnx*: the whole SavedModel as tf2onnx converts it, with its default optimizers, in ONNX
  Runtime. A refusal is a row without figures.
* *edge-fp32* and so on: a detector as the box runs it, from scaling the frame to suppression.

A model of no known exporter takes a canvas and gives raw boxes; there the rows of TensorFlow and of plain
tf2onnx include NumPy's scaling, decoding and suppression (``convert.reference.detect_picture``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from benchmarks import common
from convert import families, reference
from convert.graphs import Array
from convert.model import Model, Probe
from convert.options import from_record
from convert.plan import GENERIC, Plan
from edge import contract
from edge.config import DetectorConfig
from edge.contract import Contract
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason

WIDTH, HEIGHT = 1280, 720
PICTURE = f"hopper.jpg and astronaut.jpg of edge/data side by side, {WIDTH}x{HEIGHT}"
WARM_UP = 3
OPSET = 18
MIN_SCORE = 0.3
"""Boxes from this score on are counted as faces, so that rows can be seen to do the same work."""
PLAIN_SECONDS = 900
MODEL_BOXES = 100
"""The most boxes that TensorFlow's models return."""
MODEL_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


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


@dataclass(frozen=True, kw_only=True)
class _PlainModel(Model):
    """A model whose signature runs in ONNX Runtime."""

    session: Any

    def call(self, picture: Array) -> dict[str, Array]:
        given = {self.session.get_inputs()[0].name: picture}
        return dict(zip(self.keys(), self.session.run(None, given), strict=True))

    def keys(self) -> list[str]:
        """The outputs' keys, whichever way tf2onnx named its outputs."""
        known = {tensor.name: tensor.key for tensor in self.outputs}
        return [known.get(output.name, output.name) for output in self.session.get_outputs()]


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


def prepare_tensorflow(threads: int) -> None:
    """Fix TensorFlow's threads. It makes its pools once per process, with the first operation."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        set_to = (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        )
        if set_to != (threads, threads):
            raise common.give_up(
                f"TensorFlow runs in this process already, with {set_to} threads instead of {threads}"
            ) from None
    # The sessions that the conversion opens would otherwise make the pools, with threads of their own.
    tf.linalg.matmul(tf.ones((8, 8)), tf.ones((8, 8))).numpy()


def signature_row(name: str, model: Model, plan: Plan | None, picture: Pixels) -> Row:
    """``model``'s signature as a row; ``plan`` is that of a generic model."""
    rgb = np.ascontiguousarray(picture[..., ::-1])

    def whole() -> int:
        return int((model.call(rgb[None])["detection_scores"][0] >= MIN_SCORE).sum())

    def around() -> int:
        assert plan is not None
        return int((reference.detect_picture(model, plan, rgb)[1] >= MIN_SCORE).sum())

    return Row(name, whole if plan is None else around, nodes=len(model.graph.node))


def xla_row(model: Model, picture: Pixels) -> Row:
    """The SavedModel's signature compiled by XLA for this size of picture, or why that does not work."""
    import tensorflow as tf

    rgb = tf.constant(np.ascontiguousarray(picture[None, ..., ::-1]))
    compiled = tf.function(lambda x: model.function(**{model.input.key: x}), jit_compile=True)

    def run() -> int:
        return int((compiled(rgb)["detection_scores"].numpy()[0] >= MIN_SCORE).sum())

    # XLA says what it cannot compile by any of TensorFlow's errors, and by some of Python's.
    try:
        run()
    except Exception as error:
        # Before this, names and numbers that differ from run to run.
        text = _one_line(error).rpartition(" on XLA_CPU_JIT: ")[2]
        return Row("tf-xla", None, error=f"{type(error).__name__}: {text}")
    return Row("tf-xla", run)


def convert_plain(model: Model, plan: Plan | None, folder: Path, draft: Path) -> tuple[Path | None, str]:
    """The whole model as tf2onnx converts it: a file and how it was made, or None and why not.

    First the frozen graph that this project works on, with the outputs that say where faces are; where
    that is refused, tf2onnx's own command line on the SavedModel, as its users would call it.
    """
    keys = MODEL_OUTPUTS if plan is None else tuple(tensor.key for tensor in model.outputs)
    errors: list[str] = []
    ways: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("tf2onnx.convert.from_graph_def of the frozen graph", lambda: _from_frozen(model, keys)),
        ("python -m tf2onnx.convert --saved-model", lambda: _from_command(model, folder, draft)),
    )
    for way, convert in ways:
        # Neither tf2onnx nor ONNX Runtime has a common base for its errors: a refusal is a result here.
        try:
            data = convert()
            row = _plain_row(data, model, plan, bench_picture(), 1)
            assert row.run is not None
            row.run()
        except Exception as error:
            errors.append(f"{way}: {type(error).__name__}: {_one_line(error)}")
            continue
        file = draft / "plain.onnx"
        file.write_bytes(data)
        return file, "; ".join([way, *(f"refused: {text}" for text in errors)])
    return None, "; ".join(errors)


def plain_row(
    file: Path | None, note: str, model: Model, plan: Plan | None, picture: Pixels, threads: int
) -> Row:
    """What ``convert_plain`` gave, as a row."""
    if file is None:
        return Row("plain-tf2onnx", None, error=note)
    return dataclasses.replace(_plain_row(file.read_bytes(), model, plan, picture, threads), note=note)


def _plain_row(data: bytes, model: Model, plan: Plan | None, picture: Pixels, threads: int) -> Row:
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(Model)}
    plain = _PlainModel(**fields, session=_open(data, threads))
    row = signature_row("plain-tf2onnx", plain, plan, picture)
    return dataclasses.replace(row, nodes=count_nodes(data), bytes=len(data))


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else "no message")[:300]


def _from_frozen(model: Model, keys: Iterable[str]) -> bytes:
    import tf2onnx

    # What it refuses is in the result; its log repeats that with a stack for every node.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    names = [tensor.name for tensor in map(model.output, keys) if tensor is not None]
    proto, _ = tf2onnx.convert.from_graph_def(
        model.graph, input_names=[model.input.name], output_names=names, opset=OPSET
    )
    return bytes(proto.SerializeToString())


def _from_command(model: Model, folder: Path, draft: Path) -> bytes:
    file = draft / "plain.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(folder), "--output", str(file)]
    command += ["--opset", str(OPSET), "--tag", "serve", "--signature_def", model.signature]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PLAIN_SECONDS, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
    return file.read_bytes()


def detector_row(path: Path, picture: Pixels, threads: int) -> tuple[Row, Detector]:
    """A detector file on the provider that it was made for; named by precision and, but for the CPU, target.

    Raises EdgeError when it cannot be opened.
    """
    file = read_detector(path)
    target = contract_of(file.data).target
    config = DetectorConfig(path=path, provider=target, tiles="1x1", threads=threads, timeout_seconds=600)
    detector = open_detector(file, config)
    kept = detector.session.contract
    name, parity = row_name(kept.precision, target), json.loads(kept.parity)
    row = Row(name, _look(detector, picture), count_nodes(file.data), len(file.data), parity)
    try:
        detector.detect(picture)
    except DetectionError as error:
        row = dataclasses.replace(row, run=None, error=str(error))
        if error.reason == Reason.OVERFLOW:
            note = calm(detector, picture)
            row = dataclasses.replace(row, run=_look(detector, picture), error=None, note=note)
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
    """Raise the thresholds of a detector that sees a face everywhere, as an untrained one does, until no
    more candidates pass than TensorFlow returns boxes; says so."""
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
        detector.detect(picture)
    canvas: Pixels = seen.call_args.args[0]
    return canvas


def _look(detector: Detector, picture: Pixels) -> Callable[[], int]:
    return lambda: len(detector.detect(picture).at_least(MIN_SCORE).scores)


def count_nodes(data: bytes) -> int:
    """Nodes of an ONNX file, those in the bodies of its loops and branches included."""
    import onnx

    def count(graph: Any) -> int:
        inner = (
            attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")
        )
        return len(graph.node) + sum(count(body) for body in inner)

    return count(onnx.ModelProto.FromString(data).graph)


def _open(data: bytes, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def measure(rows: Sequence[Row], rounds: int) -> dict[str, dict[str, Any]]:
    """Figures of each row that runs.

    Every round runs every row once, and begins with another one: what else the machine does, and what a
    row leaves in the caches, hits all alike. ``cores_used`` shows whether the threads are as wanted.
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


def plan_of(model: Model, names: dict[int, str], detector: Detector, anchors: Path | None) -> Plan | None:
    """How a generic model is fed and read: as the detector that was made from it records. Else None."""
    if families.recognise(model) != GENERIC:
        return None
    options = from_record(json.loads(detector.session.contract.tools).get("options", {}), anchors)
    return families.make_plan(model, Probe(model.graph), names, options)
