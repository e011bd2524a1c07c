"""The benchmark of conversions measures what it says; no test here looks at how long anything takes."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

for _package in ("tensorflow", "tf2onnx", "onnx", "onnxscript"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages themselves, while they are imported
        pytest.importorskip(_package)

from benchmarks import common, convert_speed  # noqa: E402
from benchmarks.convert_speed import Kernel, Row  # noqa: E402
from convert.build import Wanted, build  # noqa: E402
from convert.options import ModelOptions  # noqa: E402
from edge.errors import DetectionError  # noqa: E402
from tests import saved_models  # noqa: E402

NUMBERS = ("median_ms", "p05_ms", "p95_ms", "min_ms", "ratio_to_tf", "nodes", "bytes")


def is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A whole run, with every row and the detector built by the benchmark itself."""
    folder = tmp_path_factory.mktemp("speed")
    model = saved_models.object_detection(folder / "tiny")
    file = folder / "result.json"
    # In a process of its own, because TensorFlow takes its number of threads once per process.
    command = [
        sys.executable,
        "-m",
        "benchmarks.convert_speed",
        str(model),
        "--rounds",
        "2",
        "--json",
        str(file),
    ]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "edge-fp32" in done.stdout
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_the_result_has_its_keys(result: dict[str, Any]) -> None:
    wanted = {"benchmark", "machine", "versions", "threads", "rounds", "model", "picture", "other_cores"}
    assert set(result) == wanted | {"busy", "rows", "profile", "peak"}
    assert (result["benchmark"], result["threads"], result["rounds"]) == ("convert_speed", 1, 2)
    assert result["model"] == "tiny"
    assert isinstance(result["busy"], bool)
    assert {"numpy", "tf2onnx", "onnx"} <= set(result["versions"])
    assert {"load_begin", "load_end", "cpu", "cores"} <= set(result["machine"])


def test_every_row_has_figures_or_an_error(result: dict[str, Any]) -> None:
    assert [row["name"] for row in result["rows"]] == ["tf", "plain-tf2onnx", "edge-fp32"]
    for row in result["rows"]:
        if "error" in row:
            assert row["name"] == "plain-tf2onnx"
            assert row["median_ms"] is row["ratio_to_tf"] is None
            continue
        assert all(is_positive(row[key]) for key in NUMBERS), row
        assert row["min_ms"] <= row["p05_ms"] <= row["median_ms"] <= row["p95_ms"]
    assert result["rows"][0]["ratio_to_tf"] == 1
    assert result["rows"][2]["parity"]["ok"] is True


def test_the_profile_adds_up(result: dict[str, Any]) -> None:
    profile = result["profile"]["edge-fp32"]
    assert sum(entry["ms"] for entry in profile["operators"]) == pytest.approx(profile["kernels_ms"], abs=0.1)
    assert "Conv" in {entry["type"] for entry in profile["operators"]}
    assert all(is_positive(profile[key]) for key in ("run_ms", "gmac", "floor_ms", "largest_ratio_fp32"))
    whole = profile["convolutions"]["all"]
    parts = [entry for kind, entry in profile["convolutions"].items() if kind != "all"]
    assert {"pointwise", "depthwise", "other"} == set(profile["convolutions"]) - {"all"}
    assert sum(part["nodes"] for part in parts) == whole["nodes"]
    assert sum(part["gmac"] for part in parts) == pytest.approx(whole["gmac"], abs=3e-4)
    peak = result["peak"]["gmac_per_s"]
    assert profile["floor_ms"] == pytest.approx(profile["gmac"] / peak * 1e3, abs=0.05)


def test_the_peak_is_the_best_that_was_tried(result: dict[str, Any]) -> None:
    peak = result["peak"]
    tried = {entry["shape"]: entry for entry in peak["tried"]}
    assert len(tried) == len(convert_speed.PEAK_CONVOLUTIONS) + len(convert_speed.PEAK_MATRICES)
    for entry in tried.values():
        assert is_positive(entry["median_gmac_per_s"])
        assert entry["best_gmac_per_s"] >= entry["median_gmac_per_s"]
    assert tried[peak["shape"]]["best_gmac_per_s"] == peak["gmac_per_s"]
    assert peak["gmac_per_s"] == max(entry["best_gmac_per_s"] for entry in tried.values())


def test_the_text_names_rows_and_warns_of_a_busy_machine(result: dict[str, Any]) -> None:
    text = convert_speed.as_text({**result, "busy": True})
    assert all(row["name"] in text for row in result["rows"])
    assert "BUSY" in text
    assert "GMAC/s" in text
    assert "BUSY" not in convert_speed.as_text({**result, "busy": False})


def test_results_are_drawn_beside_each_other(result: dict[str, Any], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("matplotlib")
    refused = {**result["rows"][1], "median_ms": None, "p95_ms": None, "error": "refused"}
    other = {**result, "rows": [result["rows"][0], refused, result["rows"][2]], "busy": True}
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, content in zip(files, (result, other), strict=True):
        file.write_text(json.dumps(content), encoding="utf-8")
    picture = tmp_path / "plot.png"
    convert_speed.main(["--plot", str(picture), "--merge", *map(str, files)])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_generic_model_takes_its_options_from_the_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved_models.generic(tmp_path / "plain")
    options = ModelOptions(input_range="0..1", box_format="yxyx", labels=("0",))
    _, built = build(model, tmp_path / "out", options, Wanted())
    quick = {"gmac_per_s": 1.0, "shape": "none", "threads": 1, "tried": []}
    monkeypatch.setattr(convert_speed, "measure_peak", lambda threads, runs: quick)
    monkeypatch.setattr(convert_speed, "prepare_tensorflow", lambda threads: None)
    monkeypatch.setattr(cv2, "setNumThreads", lambda threads: None)
    arguments = argparse.Namespace(
        model=model, detector=[built[0].path], anchors=None, rounds=2, threads=1, skip_plain=False
    )
    rows = convert_speed.benchmark(arguments)["rows"]
    assert [row["name"] for row in rows] == ["tf", "plain-tf2onnx", "edge-fp32"]
    assert not any("error" in row for row in rows)
    assert len({row["faces"] for row in rows}) == 1


def test_rows_are_interleaved_and_each_begins_in_turn() -> None:
    calls: list[str] = []

    def look(name: str) -> int:
        calls.append(name)
        return 3

    rows = [Row("a", lambda: look("a")), Row("b", None, error="refused"), Row("c", lambda: look("c"))]
    figures = convert_speed.measure(rows, rounds=2)
    assert calls == ["a", "c", "c", "a"] * 2 + ["a", "c"]
    assert set(figures) == {"a", "c"}
    assert figures["a"]["faces"] == 3


def test_a_detector_that_sees_faces_everywhere_is_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved_models.generic(tmp_path / "plain")
    options = ModelOptions(input_range="0..1", box_format="yxyx", labels=("0",))
    _, built = build(model, tmp_path / "out", options, Wanted())
    monkeypatch.setattr(convert_speed, "MODEL_BOXES", 5)
    picture = convert_speed.bench_picture()
    _, detector, _ = convert_speed.detector_rows([built[0].path], picture, 1)[0]
    detector.score_begin = detector.score_continue = 0.0
    with pytest.raises(DetectionError):
        detector.detect(picture)
    monkeypatch.setattr(convert_speed, "open_detector", lambda file, config: detector)
    row, _, _ = convert_speed.detector_rows([built[0].path], picture, 1)[0]
    assert row.error is None
    assert row.note is not None
    assert "the 5 best" in row.note
    assert 0 < len(detector.detect(picture).scores) <= 5


def test_the_picture_shows_both_portraits() -> None:
    picture = convert_speed.bench_picture()
    assert picture.shape == (720, 1280, 3)
    assert picture.dtype == np.uint8
    assert picture[:, :614].std() > 20 < picture[:, 614:].std()


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
    data = convert_speed._one_node("Conv", shape, np.ones(weight, np.float32), result, **attributes)
    kernels, run_ms = convert_speed.profile_session(
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
    assert convert_speed.multiply_adds(kind, inputs, output) == macs


def test_rates_by_kind_are_left_out_where_a_weight_is_not_known() -> None:
    plain = [Kernel("Conv", ((1, 4, 5, 5), (8, 4, 1, 1)), (1, 8, 5, 5), 1.0, 1.0, 1)]
    packed = [Kernel("QLinearConv", ((1, 4, 5, 5), ()), (1, 8, 5, 5), 0.5, 0.5, 1)]
    found = convert_speed.summary(packed, plain, run_ms=1.0, rounds=1, peak=1e-3)
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
    kernels, run_ms = convert_speed.read_events(events, rounds=2)
    assert kernels == [Kernel("Relu", ((1, 4),), (1, 4), 2.0, 1.0, 1)]
    assert run_ms == 3.0


@pytest.mark.parametrize(
    "line", [[], ["model", "--rounds", "1"], ["model", "--threads", "0"], ["--merge", "a.json"]]
)
def test_a_wrong_command_line_ends_with_2(line: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        convert_speed.main(line)
    assert ended.value.code == 2


def test_no_model_ends_with_2(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        convert_speed.main([str(tmp_path / "absent")])
    assert ended.value.code == 2


def test_benchmarks_find_the_shipped_pictures() -> None:
    assert (common.ROOT / "edge" / "data" / "hopper.jpg").is_file()
