"""Where a detector's time goes: ONNX Runtime's profile by operator type, beside the machine's peak.

The multiply-adds of a graph over the best rate that this machine reaches in fp32 give a floor that no fp32
detector of that graph passes here.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.graphs import Array
from edge import contract
from edge.frames import Pixels

WARM_UP = 3
OPSET = 18
PEAK_CONVOLUTIONS = ((256, 256, 64, 1), (512, 512, 32, 1), (128, 128, 64, 1), (256, 256, 32, 3))
"""Input channels, output channels, side of the map, side of the kernel."""
PEAK_MATRICES = (512, 1024)
"""Side of both factors."""
PEAK_RUNS = 30

Shape = tuple[int, ...]


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
    options.add_session_config_entry("session.force_spinning_stop", "1")  # as edge.detection.session does
    for symbol, side in (free or {}).items():
        options.add_free_dimension_override_by_name(symbol, side)
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="op-profile-") as folder:
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


def profile_detector(data: bytes, canvas: Pixels, threads: int, rounds: int, peak: float) -> dict[str, Any]:
    """Where one detector's time goes on a canvas, uint8 ``[H, W, 3]`` RGB; ``peak`` in GMAC/s."""
    feeds = {contract.INPUT: canvas[None]}
    free = dict(zip(contract.SYMBOLS, (1, *canvas.shape[:2]), strict=True))
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
