"""A converted detector against TensorFlow, picture to boxes: ``python -m benchmarks.convert_speed MODEL``.

All rows see the same picture, on the CPU, with the same number of threads:

* *tf*: the SavedModel's own signature.
* *plain-tf2onnx*: the whole SavedModel as tf2onnx converts it, with its default optimizers, in ONNX
  Runtime. A refusal is a row without figures.
* *edge-fp32* and so on: a detector as the box runs it, from scaling the frame to suppression.

A model of no known exporter takes a canvas and gives raw boxes; there the first two rows include NumPy's
scaling, decoding and suppression (``convert.reference.whole``).

Then ONNX Runtime's profiler tells where a detector's time goes, and the multiply-adds of its graph over
the best rate that this machine reaches give a floor that no fp32 detector of that graph passes here.

``--merge A.json B.json --plot FILE.png`` draws results side by side and measures nothing.

Exit code: 0 measured, also when the machine was busy (see "busy" in the result), 2 nothing to measure.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
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
from convert import model as tensorflow_model
from convert.build import Wanted, build
from convert.errors import ConvertError
from convert.graphs import Array
from convert.model import Model, Probe
from convert.options import ModelOptions, from_record
from convert.plan import GENERIC, Plan
from convert.source import open_source
from edge import contract
from edge.config import DetectorConfig
from edge.detector import Detector, open_detector
from edge.errors import DetectionError, EdgeError
from edge.frames import Pixels
from edge.reasons import Reason
from edge.session import read_detector

WIDTH, HEIGHT = 1280, 720
PICTURE = f"hopper.jpg and astronaut.jpg of edge/data side by side, {WIDTH}x{HEIGHT}"
WARM_UP = 3
OPSET = 18
MIN_SCORE = 0.3
"""Boxes from this score on are counted as faces, so that rows can be seen to do the same work."""
MAX_LOAD, MAX_OTHER_CORES = 1.5, 0.15
"""Above either the machine counts as busy: load average at the start, cores that other processes used."""
PLAIN_SECONDS = 900
MODEL_BOXES = 100
"""The most boxes that TensorFlow's models return."""
MODEL_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
PACKAGES = (
    "tensorflow", "tensorflow-cpu", "tf2onnx", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu",
    "numpy", "opencv-python-headless",
)  # fmt: skip

PEAK_CONVOLUTIONS = ((256, 256, 64, 1), (512, 512, 32, 1), (128, 128, 64, 1), (256, 256, 32, 3))
"""Input channels, output channels, side of the map, side of the kernel."""
PEAK_MATRICES = (512, 1024)
"""Side of both factors."""
PEAK_RUNS = 30

Shape = tuple[int, ...]


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


@dataclass(frozen=True)
class Kernel:
    """One node in ONNX Runtime's profile; ``ms`` is the time in one run."""

    type: str
    inputs: tuple[Shape, ...]
    output: Shape
    ms: float
    fastest_ms: float
    calls: int

    @property
    def macs(self) -> int:
        return self.calls * multiply_adds(self.type, self.inputs, self.output)

    @property
    def kind(self) -> str | None:
        return convolution_kind(self.inputs) if _is_convolution(self.type) else None


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


# ---------------------------------------------------------------------------------------------------- rows


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
        return int((reference.whole(model, plan, rgb)[1] >= MIN_SCORE).sum())

    return Row(name, whole if plan is None else around, nodes=len(model.graph.node))


def plain_row(
    model: Model, plan: Plan | None, folder: Path, draft: Path, picture: Pixels, threads: int
) -> Row:
    """The whole model as tf2onnx converts it, or why it does not run.

    First the frozen graph that this project works on, with the outputs that say where faces are; where
    that is refused, tf2onnx's own command line on the SavedModel, as its users would call it.
    """
    keys = MODEL_OUTPUTS if plan is None else tuple(tensor.key for tensor in model.outputs)
    errors: list[str] = []
    nodes: int | None = None
    ways: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("tf2onnx.convert.from_graph_def of the frozen graph", lambda: _from_frozen(model, keys)),
        ("python -m tf2onnx.convert --saved-model", lambda: _from_command(model, folder, draft)),
    )
    for way, convert in ways:
        # Neither tf2onnx nor ONNX Runtime has a common base for its errors: a refusal is a result here.
        try:
            data = convert()
            nodes = count_nodes(data)
            session = _open(data, threads)
            fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(Model)}
            plain = _PlainModel(**fields, session=session)
            row = signature_row("plain-tf2onnx", plain, plan, picture)
            assert row.run is not None
            row.run()
        except Exception as error:
            errors.append(f"{way}: {type(error).__name__}: {_one_line(error)}")
            continue
        note = "; ".join([way, *(f"refused: {text}" for text in errors)])
        return dataclasses.replace(row, nodes=nodes, bytes=len(data), note=note)
    return Row("plain-tf2onnx", None, nodes=nodes, error="; ".join(errors))


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


def detector_rows(files: Sequence[Path], picture: Pixels, threads: int) -> list[tuple[Row, Detector, Path]]:
    """One row for each detector file, named by precision and, where it is not the CPU, target."""
    rows: list[tuple[Row, Detector, Path]] = []
    for path in files:
        config = DetectorConfig(path=path, provider="cpu", threads=threads, timeout_seconds=600)
        try:
            file = read_detector(path)
            detector = open_detector(file, config)
        except EdgeError as error:
            raise common.give_up(str(error)) from error
        kept = detector.session.contract
        name = f"edge-{kept.precision}" + ("" if kept.target == "cpu" else f"-{kept.target}")
        if any(row.name == name for row, _, _ in rows):
            name = f"{name} ({path.stem})"
        row = Row(
            name, _look(detector, picture), count_nodes(file.data), len(file.data), json.loads(kept.parity)
        )
        try:
            detector.detect(picture)
        except DetectionError as error:
            row = dataclasses.replace(row, run=None, error=str(error))
            if error.reason == Reason.OVERFLOW:
                row = dataclasses.replace(
                    row, run=_look(detector, picture), error=None, note=_calm(detector, picture)
                )
        rows.append((row, detector, path))
    return rows


def _calm(detector: Detector, picture: Pixels) -> str:
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


# ------------------------------------------------------------------------------------------------- measure


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
            "p05_ms": round(float(np.percentile(times, 5)), 3),
            "p95_ms": round(float(np.percentile(times, 95)), 3),
            "min_ms": round(min(times), 3),
            "cores_used": round(used[name] / (sum(times) / 1e3), 2),
            "faces": faces[name],
        }
        for name, times in taken.items()
    }


def cpu_seconds_of_others() -> dict[int, float]:
    """CPU time of every other process that can be seen, by id; empty where there is no /proc."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(stat.parent.name) != os.getpid():
            found[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / tick
    return found


# ------------------------------------------------------------------------------------------------- profile


def _is_convolution(kind: str) -> bool:
    return kind.endswith("Conv") or kind in ("ConvInteger", "ConvTranspose")


def _weight(inputs: Sequence[Shape]) -> Shape:
    """Scales and zero points of quantized operators lie between the input and the weight; a weight that
    its kernel has repacked is not in the profile."""
    return next((shape for shape in inputs[1:] if len(shape) == len(inputs[0])), ())


def convolution_kind(inputs: Sequence[Shape]) -> str:
    """``pointwise``, ``depthwise`` or ``other``; ``unknown`` where the profile does not show the weight.

    >>> convolution_kind([(1, 32, 8, 8), (64, 32, 1, 1)]), convolution_kind([(1, 32, 8, 8), (32, 1, 3, 3)])
    ('pointwise', 'depthwise')
    """
    weight = _weight(inputs)
    if not weight:
        return "unknown"
    if len(weight) > 2 and weight[1] == 1 < inputs[0][1]:
        return "depthwise"
    return "pointwise" if set(weight[2:]) == {1} else "other"


def multiply_adds(kind: str, inputs: Sequence[Shape], output: Shape) -> int:
    """Multiply-adds of a convolution or a matrix product; 0 for every other operator.

    >>> multiply_adds("Conv", [(1, 3, 8, 8), (16, 3, 3, 3), (16,)], (1, 16, 4, 4))
    6912
    >>> multiply_adds("MatMul", [(2, 5, 7), (7, 3)], (2, 5, 3))
    210
    """
    if not inputs or not inputs[0]:
        return 0
    if _is_convolution(kind):
        weight = _weight(inputs)
        places = inputs[0] if kind == "ConvTranspose" else output
        return math.prod(places) * math.prod(weight[1:]) if weight else 0
    if kind.endswith(("MatMul", "MatMulInteger")):
        return math.prod(output) * inputs[0][-1]
    if kind.endswith("Gemm"):  # either factor may be stored transposed
        return math.prod(inputs[0]) * output[-1]
    return 0


def profile_session(
    data: bytes,
    feeds: dict[str, Array],
    threads: int,
    rounds: int,
    *,
    optimized: bool = True,
    free: dict[str, int] | None = None,
) -> tuple[list[Kernel], float]:
    """Run a graph under ONNX Runtime's profiler; returns its nodes and the median time of a run in ms.

    ``free`` gives numbers to the free sides of the input.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")  # as edge.session does
    for symbol, side in (free or {}).items():
        options.add_free_dimension_override_by_name(symbol, side)
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="convert-speed-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for _ in range(WARM_UP + rounds):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return read_events(events, rounds)


def read_events(events: Iterable[dict[str, Any]], rounds: int) -> tuple[list[Kernel], float]:
    """Nodes and median run of a profile whose last ``rounds`` runs count."""
    nodes: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    runs = []
    for event in events:
        arguments = event.get("args", {})
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["name"], str(arguments.get("node_index"))].append(event)
        elif event.get("name") == "model_run":
            runs.append(event["dur"] / 1e3)
    kernels = []
    for found in nodes.values():
        calls = max(1, len(found) // len(runs))
        counted = [event["dur"] / 1e3 for event in found[-calls * rounds :]]
        arguments = found[-1]["args"]
        inputs, outputs = (_shapes(arguments[f"{side}_type_shape"]) for side in ("input", "output"))
        output = outputs[0] if outputs else ()
        kernels.append(
            Kernel(
                arguments["op_name"], inputs, output, calls * float(np.median(counted)), min(counted), calls
            )
        )
    return kernels, float(np.median(runs[-rounds:]))


def _shapes(described: Iterable[dict[str, list[int]]]) -> tuple[Shape, ...]:
    return tuple(tuple(shape) for tensor in described for shape in tensor.values())


def measure_peak(threads: int, runs: int = PEAK_RUNS) -> dict[str, Any]:
    """The best rate of multiply-adds in fp32 that ONNX Runtime reaches here, in GMAC/s.

    The time is the kernel's own, without the reordering in front of it, and the fastest of all runs: a
    floor must not be too high.
    """
    tried: list[dict[str, Any]] = []
    for name, data, feeds, kind in _peak_graphs():
        kernels, _ = profile_session(data, feeds, threads, runs)
        kernel = next(k for k in kernels if k.macs and (k.kind is not None) == (kind == "Conv"))
        rates = {
            key: round(kernel.macs / ms / 1e6, 2)
            for key, ms in (("best", kernel.fastest_ms), ("median", kernel.ms))
        }
        tried.append({"shape": name, **{f"{key}_gmac_per_s": rate for key, rate in rates.items()}})
    best = max(tried, key=lambda entry: float(entry["best_gmac_per_s"]))
    return {"gmac_per_s": best["best_gmac_per_s"], "shape": best["shape"], "threads": threads, "tried": tried}


def _peak_graphs() -> Iterable[tuple[str, bytes, dict[str, Array], str]]:
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> Array:
        return rng.standard_normal(shape, np.float32)

    for inputs, outputs, side, kernel in PEAK_CONVOLUTIONS:
        pads = [kernel // 2] * 4
        weight = floats(outputs, inputs, kernel, kernel)
        data = _one_node("Conv", (1, inputs, side, side), weight, (1, outputs, side, side), pads=pads)
        text = f"Conv {kernel}x{kernel} {inputs}->{outputs} on {side}x{side}"
        yield text, data, {"x": floats(1, inputs, side, side)}, "Conv"
    for side in PEAK_MATRICES:
        data = _one_node("MatMul", (side, side), floats(side, side), (side, side))
        yield f"MatMul {side}x{side} by {side}x{side}", data, {"x": floats(side, side)}, "MatMul"


def _one_node(kind: str, given: Shape, weight: Array, result: Shape, **attributes: Any) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], **attributes)],
        "peak",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return bytes(model.SerializeToString())


def profile_detector(
    detector: Detector, path: Path, picture: Pixels, threads: int, rounds: int, peak: float
) -> dict[str, Any]:
    """Where one detector's time goes; ``peak`` in GMAC/s."""
    canvas = canvas_of(detector, picture)
    feeds = {contract.INPUT: canvas[None]}
    free = dict(zip(contract.SYMBOLS, (1, *canvas.shape[:2]), strict=True))
    data = path.read_bytes()
    kernels, run_ms = profile_session(data, feeds, threads, rounds, free=free)
    # The optimizer pads channels to whole blocks; what the model asks for is counted on the plain graph.
    plain, _ = profile_session(data, feeds, threads, 1, optimized=False, free=free)
    return summary(kernels, plain, run_ms, rounds, peak)


def summary(
    kernels: Sequence[Kernel], plain: Sequence[Kernel], run_ms: float, rounds: int, peak: float
) -> dict[str, Any]:
    """Times of ``kernels`` by operator type, and rates with the multiply-adds of ``plain``."""
    by_type: dict[str, list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        by_type[kernel.type].append(kernel)
    operators: list[dict[str, Any]] = [
        {
            "type": kind,
            "ms": round(sum(k.ms for k in members), 4),
            "share": round(sum(k.ms for k in members) / run_ms, 4),
            "nodes": len(members),
        }
        for kind, members in by_type.items()
    ]
    operators.sort(key=lambda entry: -float(entry["ms"]))
    convolutions = {}
    known = not any(k.kind == "unknown" for k in kernels)
    for kind in ("pointwise", "depthwise", "other", "all") if known else ("all",):
        counted = [k for k in plain if k.kind and kind in (k.kind, "all")]
        ms = sum(k.ms for k in kernels if k.kind and kind in (k.kind, "all"))
        macs = sum(k.macs for k in counted)
        if ms > 0 and macs > 0:
            rate = macs / ms / 1e6
            convolutions[kind] = {
                "nodes": len(counted),
                "gmac": round(macs / 1e9, 4),
                "ms": round(ms, 4),
                "gmac_per_s": round(rate, 2),
                "share_of_peak": round(rate / peak, 4),
            }
    total = sum(k.macs for k in plain)
    return {
        "rounds": rounds,
        "run_ms": round(run_ms, 3),
        "kernels_ms": round(sum(k.ms for k in kernels), 3),
        "operators": operators,
        "convolutions": convolutions,
        "gmac": round(total / 1e9, 4),
        "floor_ms": round(total / peak / 1e6, 3),
    }


# -------------------------------------------------------------------------------------------------- result


def benchmark(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that the command line asks for."""
    result = common.begin("convert_speed")
    threads, rounds = arguments.threads, arguments.rounds
    cv2.setNumThreads(threads)
    prepare_tensorflow(threads)
    picture = bench_picture()
    with tempfile.TemporaryDirectory(prefix="convert-speed-") as name:
        draft = Path(name)
        try:
            with open_source(arguments.model) as source:
                files, detectors = _detectors(arguments, draft, picture)
                model = tensorflow_model.load(source.folder)
                plan = _plan(model, source.labels, detectors[0][1], arguments.anchors)
                size = sum(file.stat().st_size for file in source.folder.rglob("*") if file.is_file())
                rows = [dataclasses.replace(signature_row("tf", model, plan, picture), bytes=size)]
                if not arguments.skip_plain:
                    print("converting the whole model with tf2onnx", file=sys.stderr)
                    rows.append(plain_row(model, plan, source.folder, draft, picture, threads))
        except ConvertError as error:
            raise common.give_up(str(error)) from error
        rows += [row for row, _, _ in detectors]
        print(f"{rounds} rounds of {len(rows)} rows", file=sys.stderr)
        before, begin = cpu_seconds_of_others(), time.perf_counter()
        figures = measure(rows, rounds)
        elapsed = time.perf_counter() - begin
        after = cpu_seconds_of_others()
        others = sum(max(0.0, seconds - before.get(pid, 0.0)) for pid, seconds in after.items()) / elapsed
        print("the machine's peak, and profiles", file=sys.stderr)
        peak = measure_peak(threads, PEAK_RUNS if rounds >= 5 else rounds)
        profiles = {
            row.name: profile_detector(detector, file, picture, threads, max(rounds, 2), peak["gmac_per_s"])
            for (row, detector, _), file in zip(detectors, files, strict=True)
            if row.run is not None
        }
    tf_ms = figures["tf"]["median_ms"]
    for name, profile in profiles.items():
        profile["largest_ratio_fp32"] = round(tf_ms / profile["floor_ms"], 2) if profile["floor_ms"] else None
        # Not against the profiled run, which the profiler itself makes longer.
        profile["outside_kernels_ms"] = round(max(0.0, figures[name]["median_ms"] - profile["kernels_ms"]), 3)
    load = result["machine"]["load_begin"][0]
    return result | {
        "versions": common.versions(PACKAGES),
        "threads": threads,
        "rounds": rounds,
        "model": source.name,
        "picture": PICTURE,
        "other_cores": round(others, 3),
        "busy": load > MAX_LOAD or others > MAX_OTHER_CORES,
        "rows": [_as_json(row, figures.get(row.name), tf_ms) for row in rows],
        "profile": profiles,
        "peak": peak,
    }


def _detectors(
    arguments: argparse.Namespace, draft: Path, picture: Pixels
) -> tuple[list[Path], list[tuple[Row, Detector, Path]]]:
    """The detectors given, or one in fp32 that is built here."""
    files = list(arguments.detector)
    if not files:
        print("building the fp32 detector", file=sys.stderr)
        _, built = build(arguments.model, draft / "built", ModelOptions(), Wanted())
        files = [one.path for one in built]
    return files, detector_rows(files, picture, arguments.threads)


def _plan(model: Model, names: dict[int, str], detector: Detector, anchors: Path | None) -> Plan | None:
    """How a generic model is fed and read: as the detector that was made from it records. Else None."""
    if families.recognise(model) != GENERIC:
        return None
    options = from_record(json.loads(detector.session.contract.tools).get("options", {}), anchors)
    return families.make_plan(model, Probe(model.graph), names, options)


def _as_json(row: Row, figures: dict[str, Any] | None, tf_ms: float) -> dict[str, Any]:
    empty = dict.fromkeys(("median_ms", "p05_ms", "p95_ms", "min_ms", "cores_used", "faces"))
    taken: dict[str, Any] = figures or empty
    ratio = round(tf_ms / taken["median_ms"], 2) if figures else None
    entry = {"name": row.name, **taken, "ratio_to_tf": ratio}
    entry |= {"nodes": row.nodes, "bytes": row.bytes, "parity": row.parity}
    extras = {"error": row.error, "note": row.note}
    return entry | {key: text for key, text in extras.items() if text is not None}


def _parity_text(parity: dict[str, Any] | None) -> str:
    if not parity:
        return "-"
    same = parity.get("same_canvas", parity)
    if "recall" not in same:
        return "ok" if parity.get("ok") else "no"
    return f"{'ok' if parity.get('ok') else 'NO'}: {same['recall']:.1%} of {same['boxes']} boxes"


def as_text(result: dict[str, Any]) -> str:
    """Tables and notes for people."""
    header = [
        "row",
        "median ms",
        "p05 ms",
        "p95 ms",
        "times faster than TF",
        "cores used",
        "faces",
        "nodes",
        "MB",
    ]
    lines = []
    for row in result["rows"]:
        figures = [
            row[key] for key in ("median_ms", "p05_ms", "p95_ms", "ratio_to_tf", "cores_used", "faces")
        ]
        size = "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f}"
        cells = [*figures, row["nodes"], size, _parity_text(row["parity"])]
        lines.append([row["name"], *("-" if cell is None else cell for cell in cells)])
    parts = [
        f"{result['model']}, {result['threads']} thread(s), {result['rounds']} rounds, {result['picture']}"
    ]
    parts += ["", common.table([*header, "parity"], lines), ""]
    parts += [
        f"{row['name']}: {row[key]}" for row in result["rows"] for key in ("error", "note") if key in row
    ]
    peak = result["peak"]
    parts.append(f"peak: {peak['gmac_per_s']} GMAC/s in fp32 ({peak['shape']}, fastest run)")
    for name, profile in result["profile"].items():
        parts += ["", *_profile_text(name, profile)]
    parts += ["", f"{common.machine_line(result)}, other processes used {result['other_cores']} cores"]
    if result["busy"]:
        parts.append(
            f"BUSY: load above {MAX_LOAD} at the start, or other processes used more than {MAX_OTHER_CORES} "
            "cores; these figures are no result: run again on a quiet machine"
        )
    return "\n".join(parts)


def _profile_text(name: str, profile: dict[str, Any]) -> list[str]:
    rows = [[e["type"], e["nodes"], f"{e['ms']:.3f}", f"{e['share']:.1%}"] for e in profile["operators"][:10]]
    convolutions = [
        [kind, e["nodes"], e["gmac"], f"{e['ms']:.2f}", e["gmac_per_s"], f"{e['share_of_peak']:.0%}"]
        for kind, e in profile["convolutions"].items()
    ]
    return [
        f"{name}: one run {profile['run_ms']} ms under the profiler, kernels {profile['kernels_ms']} ms; "
        f"outside of kernels, without it, about {profile['outside_kernels_ms']} ms",
        "",
        common.table(["operator", "nodes", "ms", "share"], rows),
        "",
        common.table(["convolutions", "nodes", "GMAC", "ms", "GMAC/s", "of peak"], convolutions),
        "",
        f"{profile['gmac']} GMAC take {profile['floor_ms']} ms at the peak, if all else were free: in fp32 "
        f"no more than {profile['largest_ratio_fp32']} times faster than TF on this machine",
    ]


# ---------------------------------------------------------------------------------------------------- plot


def plot(results: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw results side by side: time per row above, time per operator type below."""
    try:
        import matplotlib
    except ImportError:
        raise common.give_up("--plot needs matplotlib: pip install 'edge-anonymizer[bench]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    # matplotlib's types are known only where it is installed.
    figure: Any
    figure, axes = pyplot.subplots(
        2, len(results), figsize=(6.4 * len(results), 6.4), squeeze=False, layout="constrained"
    )
    kinds = _largest_kinds(results)
    colours = dict(zip([*kinds, "other operators", "outside of kernels"], _colours(len(kinds)), strict=True))
    for column, result in enumerate(results):
        _draw_rows(axes[0][column], result)
        _draw_operators(axes[1][column], result, kinds, colours)
    labels: dict[str, Any] = {}
    for axis in axes[1]:
        handles, names = axis.get_legend_handles_labels()
        labels |= dict(zip(names, handles, strict=True))
    if labels:
        places = {"loc": "outside lower center", "ncols": 4 * len(results), "fontsize": 8, "frameon": False}
        figure.legend(labels.values(), labels.keys(), **places)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def _colours(kinds: int) -> list[Any]:
    from matplotlib import colormaps

    return [*(colormaps["tab10"](place) for place in range(kinds)), "0.6", "0.85"]


def _largest_kinds(results: Sequence[dict[str, Any]], count: int = 7) -> list[str]:
    """The operator types that take most time over all results."""
    total: dict[str, float] = defaultdict(float)
    for result in results:
        for profile in result["profile"].values():
            for entry in profile["operators"]:
                total[entry["type"]] += entry["ms"] / profile["kernels_ms"]
    return sorted(total, key=lambda kind: -total[kind])[:count]


def _draw_rows(axis: Any, result: dict[str, Any]) -> None:
    rows = result["rows"][::-1]
    longest = max(row["p95_ms"] or 0 for row in rows)
    for place, row in enumerate(rows):
        if row["median_ms"] is None:
            axis.text(longest * 0.01, place, "does not convert or run", va="center", fontsize=8, color="0.4")
            continue
        middle = row["median_ms"]
        error = [[max(0, middle - row["p05_ms"])], [max(0, row["p95_ms"] - middle)]]
        colour = "tab:blue" if row["name"].startswith("edge") else "0.6"
        axis.barh(place, middle, color=colour, xerr=error, error_kw={"elinewidth": 1, "ecolor": "0.3"})
        text = f" {middle:.1f} ms" + ("" if row["name"] == "tf" else f", {row['ratio_to_tf']:.2f}x")
        axis.text(row["p95_ms"], place, text, va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.set_xlim(0, longest * 1.35)
    axis.set_xlabel("picture to boxes, ms (median, p05 to p95)")
    busy = " - BUSY MACHINE" if result["busy"] else ""
    axis.set_title(f"{result['model']}, {result['threads']} thread(s){busy}", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_operators(axis: Any, result: dict[str, Any], kinds: Sequence[str], colours: dict[str, Any]) -> None:
    names = list(result["profile"])[::-1]
    for place, name in enumerate(names):
        profile = result["profile"][name]
        times = {entry["type"]: entry["ms"] for entry in profile["operators"]}
        parts = {kind: times.pop(kind, 0.0) for kind in kinds}
        parts |= {"other operators": sum(times.values()), "outside of kernels": profile["outside_kernels_ms"]}
        left = 0.0
        for kind, ms in parts.items():
            axis.barh(place, ms, left=left, color=colours[kind], label=kind if place == 0 else None)
            left += ms
        floor = {"color": "black", "linestyle": ":", "label": "multiply-adds at peak" if place == 0 else None}
        axis.plot([profile["floor_ms"]] * 2, [place - 0.42, place + 0.42], **floor)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.9, max(len(names), 1) - 0.1)
    axis.set_xlabel("time per operator type, ms")
    axis.spines[["top", "right"]].set_visible(False)


# ------------------------------------------------------------------------------------------- command line


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="A converted detector against TensorFlow on the CPU.")
    parser.add_argument("model", type=Path, nargs="?", help="SavedModel: a folder or a zip")
    parser.add_argument(
        "--detector",
        type=Path,
        action="append",
        default=[],
        help="detector made from it, again for each (default: fp32 is built; a generic model needs one)",
    )
    parser.add_argument("--anchors", type=Path, help="the anchors that the detector was built with, if any")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds (default: 15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every row (default: 1)")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    parser.add_argument("--plot", type=Path, help="draw the result to this file")
    parser.add_argument("--merge", type=Path, nargs="+", help="measure nothing: draw these results")
    parser.add_argument("--skip-plain", action="store_true", help="leave out plain tf2onnx")
    arguments = parser.parse_args(argv)
    if arguments.merge:
        if arguments.plot is None or arguments.model is not None:
            parser.error("--merge needs --plot, and no model")
        plot([json.loads(file.read_text(encoding="utf-8")) for file in arguments.merge], arguments.plot)
        return
    if arguments.model is None:
        parser.error("which SavedModel?")
    if arguments.rounds < 2 or arguments.threads < 1:
        parser.error("--rounds must be 2 or more, --threads 1 or more")
    result = benchmark(arguments)
    print(as_text(result))
    common.finish(result, arguments.json)
    if arguments.plot is not None:
        plot([result], arguments.plot)


if __name__ == "__main__":
    main()
