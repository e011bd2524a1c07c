"""Detectors as a build makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

import tensorflow as tf

from convert import reference, serialize
from convert.one_look import ONE_LOOK
from convert.options import DetectorOptions
from convert.parity import MIN_BOXES
from convert.plan import OBJECT_DETECTION
from convert.sample import sample_picture, sample_pictures
from edge import contract
from edge.boxes import iou
from tests.convert.building import YXYX, Detectors, Models, build_all, build_one, expected, open_on_cpu
from tests.saved_models import NMS_IOU


def session_of(path: Path) -> Any:
    import onnxruntime as ort

    return ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", ["pad", "stretch", "short side"])
def test_the_box_finds_what_tensorflow_finds(models: Models, detectors: Detectors, name: str) -> None:
    built = detectors(name)
    detector = open_on_cpu(built.path)
    picture = sample_picture()
    for view in (picture, np.ascontiguousarray(picture[:300]), np.ascontiguousarray(picture[:, 50:250])):
        boxes, scores = expected(models(name), view)
        assert len(boxes) > 3
        found = detector.detect(np.ascontiguousarray(view[..., ::-1]), ONE_LOOK)
        overlaps = iou(boxes.astype(np.float32), found.boxes)
        assert (overlaps.max(axis=1) > 0.9).mean() >= 0.9
        nearest = overlaps.argmax(axis=1)
        assert np.abs(found.scores[nearest] - scores).max() < 0.05
        # It finds nothing else either.
        extra = found.scores[(overlaps.max(axis=0) < 0.5)]
        assert (extra > 0.35).mean() < 0.1 if len(extra) else True


def test_the_contract_says_how_the_model_sees(detectors: Detectors) -> None:
    kept = open_on_cpu(detectors("pad").path).session.contract
    assert (kept.letterbox, kept.interpolation) == ("pad-right-bottom", "linear-corner")
    assert kept.padding == (124, 116, 104)
    assert kept.letterbox_short_side == 0
    assert kept.nms_iou == NMS_IOU
    assert kept.family == OBJECT_DETECTION
    assert kept.labels == "1"
    tools = json.loads(kept.tools)
    assert tools["tensorflow"] == tf.__version__ == tools["tensorflow_of_source"]
    other = open_on_cpu(detectors("stretch").path).session.contract
    assert (other.letterbox, other.interpolation) == ("stretch", "linear-corner")
    third = open_on_cpu(detectors("short side").path).session.contract
    assert (third.letterbox, third.letterbox_short_side) == ("pad-right-bottom", 48)


def graph_of(path: Path) -> Any:
    model = onnx.load(path)
    weights = sorted(onnx.numpy_helper.to_array(t).tobytes() for t in model.graph.initializer)
    # Names count up in a process that builds several times.
    return [(node.op_type, len(node.input)) for node in model.graph.node], weights


def test_the_graph_is_rewritten(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    answer = reference.detect_picture

    def counted(*given: Any) -> Any:
        asked.append(given)
        return answer(*given)

    monkeypatch.setattr(reference, "detect_picture", counted)
    made = build_all(models("pad"), tmp_path, "cpu", "tensorrt", "cuda")
    parity = made[0].parity
    assert len(asked) == parity.pictures == len(list(sample_pictures(64, 64))), "no crowd, and asked once"
    assert min(len(parity.canvas.matches), len(parity.path.matches)) >= MIN_BOXES
    assert graph_of(made[2].path) == graph_of(made[0].path) != graph_of(made[1].path)
    assert [open_on_cpu(built.path).session.contract.target for built in made] == ["cpu", "tensorrt", "cuda"]
    for built in made:
        model = onnx.load(built.path)
        operators = [node.op_type for node in model.graph.node]
        assert not {"BatchNormalization", "MatMul", "Loop", "NonMaxSuppression", "If"} & set(operators)
        assert operators.count("TopK") == 1
        assert dict(built.operators) == {op: operators.count(op) for op in operators}
        assert model.ir_version == serialize.IR_VERSION
        assert any("anchors in the graph" in note for note in built.notes)
        assert [step.name for step in built.steps if step.modified]
    first = [onnx.load(built.path).graph.node[0].op_type for built in made]
    assert first == ["Transpose", "Cast", "Transpose"]


def test_a_build_can_be_repeated(models: Models, tmp_path: Path) -> None:
    """Same source, same tools, same graph; and what lies in the folder is replaced."""
    graphs = []
    for _ in range(2):
        graphs.append(graph_of(build_one(models("pad"), tmp_path).path))
        assert len(list(tmp_path.iterdir())) == 4
    assert graphs[0] == graphs[1]


def test_the_same_target_twice_is_one_detector(models: Models, tmp_path: Path) -> None:
    build_one(models("pad"), tmp_path, detector=DetectorOptions(("cpu", "cpu")))


def test_half_precision(models: Models, tmp_path: Path) -> None:
    built = build_one(models("pad"), tmp_path, detector=DetectorOptions(("cuda",), "fp16"))
    assert built.path.name == "pad-cuda-fp16.onnx"
    assert open_on_cpu(built.path).session.contract.precision == "fp16"
    types = {value.data_type for value in onnx.load(built.path).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
    assert any("fp32" in note for note in built.notes)


def test_int8(models: Models, tmp_path: Path, pictures: Path) -> None:
    wanted = DetectorOptions(("cpu",), "int8", calibration=pictures)
    built = build_one(models("pad"), tmp_path, detector=wanted)
    assert built.path.name == "pad-cpu-int8.onnx"
    assert built.operators["QuantizeLinear"] > 0
    assert built.parity.pictures == 4
    assert any("stay float" in note for note in built.notes)
    picture = np.ascontiguousarray(sample_picture()[..., ::-1])
    assert len(open_on_cpu(built.path).detect(picture, ONE_LOOK).boxes)


def test_batches(models: Models, detectors: Detectors, tmp_path: Path) -> None:
    built = build_one(models("generic"), tmp_path, YXYX, DetectorOptions(batch=4))
    session = session_of(built.path)
    assert session.get_inputs()[0].shape == [4, 64, 64, 3]
    canvases = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype(np.uint8)
    canvases[2:] //= 2
    boxes, scores = session.run([contract.BOXES, contract.SCORES], {contract.INPUT: canvases})
    single = session_of(detectors("generic", YXYX).path)
    for row in range(4):
        wanted = single.run([contract.BOXES, contract.SCORES], {contract.INPUT: canvases[row : row + 1]})
        np.testing.assert_allclose(scores[row], wanted[1][0], atol=1e-4)
        np.testing.assert_allclose(boxes[row, :50], wanted[0][0, :50], atol=1e-2)
