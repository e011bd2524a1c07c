"""The profile of a detector and the machine's peak; no test here looks at how long anything takes."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the package itself, while it is imported
    pytest.importorskip("onnx")

from benchmarks.speed import op_profile
from benchmarks.speed.op_profile import Kernel


def is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "result", "kind", "macs"),
    [
        ((1, 32, 8, 8), (64, 32, 1, 1), {}, (1, 64, 8, 8), "pointwise", 64 * 32 * 64),
        (
            (1, 32, 8, 8),
            (32, 1, 3, 3),
            {"group": 32, "pads": [1] * 4},
            (1, 32, 8, 8),
            "depthwise",
            32 * 9 * 64,
        ),
        (
            (1, 3, 8, 8),
            (16, 3, 3, 3),
            {"strides": [2, 2], "pads": [1] * 4},
            (1, 16, 4, 4),
            "other",
            16 * 27 * 16,
        ),
        ((1, 1, 8, 8), (16, 1, 3, 3), {"pads": [1] * 4}, (1, 16, 8, 8), "other", 16 * 9 * 64),
    ],
)
def test_multiply_adds_of_a_convolution_that_runs(
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    attributes: dict[str, Any],
    result: tuple[int, ...],
    kind: str,
    macs: int,
) -> None:
    data = op_profile._one_node("Conv", shape, np.ones(weight, np.float32), result, **attributes)
    kernels, run_ms = op_profile.profile_session(
        data, {"x": np.ones(shape, np.float32)}, 1, 2, optimized=False
    )
    assert [(k.type, k.kind, k.macs, k.calls, k.output) for k in kernels] == [("Conv", kind, macs, 1, result)]
    assert is_positive(run_ms)


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "macs"),
    [
        ("MatMul", [(2, 5, 7), (7, 3)], (2, 5, 3), 210),
        ("MatMul", [(2, 5, 7)], (2, 5, 3), 210),  # the weight is repacked and not in the profile
        ("FusedMatMul", [(5, 7), (7, 3)], (5, 3), 105),
        ("Gemm", [(5, 7), (3, 7), (3,)], (5, 3), 105),
        ("ConvTranspose", [(1, 4, 5, 5), (4, 6, 2, 2)], (1, 6, 10, 10), 4 * 25 * 6 * 4),
        ("QLinearConv", [(1, 4, 5, 5), (), (), (8, 4, 1, 1), (8,), (8,)], (1, 8, 5, 5), 8 * 4 * 25),
        ("Relu", [(1, 4)], (1, 4), 0),
        ("Add", [(1, 4), (1, 4)], (1, 4), 0),
        ("Constant", [], (1,), 0),
    ],
)
def test_multiply_adds_by_shape(
    kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], macs: int
) -> None:
    assert op_profile.multiply_adds(kind, inputs, output) == macs


def test_rates_by_kind_are_left_out_where_a_weight_is_not_known() -> None:
    plain = [Kernel("Conv", ((1, 4, 5, 5), (8, 4, 1, 1)), (1, 8, 5, 5), 1.0, 1.0, 1)]
    packed = [Kernel("QLinearConv", ((1, 4, 5, 5), ()), (1, 8, 5, 5), 0.5, 0.5, 1)]
    found = op_profile.summary(packed, plain, run_ms=1.0, rounds=1, peak=1e-3)
    assert set(found["convolutions"]) == {"all"}
    assert found["convolutions"]["all"]["ms"] == 0.5


def test_only_the_last_runs_of_a_profile_count() -> None:
    arguments = {
        "op_name": "Relu",
        "node_index": "0",
        "input_type_shape": [{"float": [1, 4]}],
        "output_type_shape": [{"float": [1, 4]}],
    }
    events: list[dict[str, Any]] = []
    for micros in (9000, 1000, 3000):
        events.append({"cat": "Node", "name": "relu_kernel_time", "dur": micros, "args": arguments})
        events.append({"cat": "Session", "name": "model_run", "dur": micros + 1000})
    kernels, run_ms = op_profile.read_events(events, rounds=2)
    assert kernels == [Kernel("Relu", ((1, 4),), (1, 4), 2.0, 1.0, 1)]
    assert run_ms == 3.0


def test_the_peak_is_the_best_that_was_tried() -> None:
    peak = op_profile.measure_peak(1, 2)
    tried = {entry["shape"]: entry for entry in peak["tried"]}
    assert len(tried) == len(op_profile.PEAK_CONVOLUTIONS) + len(op_profile.PEAK_MATRICES)
    for entry in tried.values():
        assert is_positive(entry["median_gmac_per_s"])
        assert entry["best_gmac_per_s"] >= entry["median_gmac_per_s"]
    assert peak["gmac_per_s"] == tried[peak["shape"]]["best_gmac_per_s"]
    assert peak["gmac_per_s"] == max(entry["best_gmac_per_s"] for entry in tried.values())
