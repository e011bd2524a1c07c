"""A detector file is trusted only when everything about it is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge import contract
from edge.config import DetectorConfig
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector
from edge.detection.session import check_output, read_detector
from edge.detection.views import Search
from edge.errors import ContractError, DetectionError, DetectorError, KnownFaceError, ProviderError
from tests.models import GOOD, save, tiny

BOXES = [[4, 4, 20, 24], [30, 30, 50, 60]]
PICTURE = np.full((64, 64, 3), 90, np.uint8)


def open_file(path: Path, **settings: object) -> Detector:
    config = DetectorConfig.model_validate({"provider": "cpu", **settings})
    return open_detector(read_detector(path), config)


def test_a_detector_that_follows_the_contract_works(tmp_path: Path) -> None:
    detector = open_file(save(tiny([*BOXES, [0, 0, 1, 1]], [0.9, 0.4, 0.1]), tmp_path / "tiny.onnx"))
    large_ones = Search(smallest_face=40)
    found = detector.detect(np.repeat(np.repeat(PICTURE, 2, axis=0), 2, axis=1), large_ones)
    np.testing.assert_allclose(found.boxes, np.array(BOXES) * 2)
    np.testing.assert_allclose(found.scores, [0.9, 0.4])
    assert detector.session.provider == "cpu"
    assert detector.session.size == (64, 64)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = save(tiny(BOXES, [0.9, 0.1]), tmp_path / "tiny.onnx")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DetectorError, match=r"sha256 .* changed or is incomplete"):
        read_detector(path)


@pytest.mark.parametrize("missing", ["tiny.onnx", "tiny.sha256"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    path = save(tiny(BOXES, [0.9, 0.1]), tmp_path / "tiny.onnx")
    (tmp_path / missing).unlink()
    with pytest.raises(DetectorError, match=missing):
        read_detector(path)


def test_external_data_is_refused(tmp_path: Path) -> None:
    model = tiny(BOXES, [0.9, 0.1])
    big = onnx.numpy_helper.from_array(np.zeros(4096, np.float32), "unused")
    onnx.external_data_helper.set_external_data(big, "../weights.bin")
    big.ClearField("raw_data")
    model.graph.initializer.append(big)
    with pytest.raises(ContractError, match="external data"):
        read_detector(save(model, tmp_path / "tiny.onnx"))


@pytest.mark.parametrize("key", sorted(GOOD.to_metadata()))
def test_every_metadata_key_is_needed(tmp_path: Path, key: str) -> None:
    metadata = GOOD.to_metadata()
    del metadata[key]
    with pytest.raises(ContractError, match=key):
        open_file(save(tiny(BOXES, [0.9, 0.1], metadata=metadata), tmp_path / "tiny.onnx"))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"contract_version": 3}, "version 3"),
        ({"contract_version": 5}, "version 5"),
        ({"letterbox": "centre"}, "letterbox"),
        ({"letterbox_multiple": 0}, "letterbox_multiple"),
        ({"precision": "fp64"}, "precision"),
        ({"target": "toaster"}, "target"),
        ({"nms_iou": 1.5}, "nms_iou"),
        ({"score_continue": 0.9}, "score_continue"),
        ({"score_begin": float("nan")}, "score_continue"),
        ({"score_last_look": 0.4}, "score_last_look"),
        ({"score_last_look": 1.0}, "score_last_look"),
        ({"score_last_look": float("nan")}, "score_last_look"),
        ({"source_sha256": "abc"}, "source_sha256"),
        ({"tools": "[]"}, "tools"),
        ({"parity": "{"}, "parity"),
    ],
)
def test_a_value_that_is_off_is_refused(changed: dict[str, object], text: str) -> None:
    with pytest.raises(ContractError, match=text):
        contract.from_metadata(replace(GOOD, **changed).to_metadata())  # type: ignore[arg-type]


def test_metadata_comes_back_as_it_went() -> None:
    assert contract.from_metadata(GOOD.to_metadata()) == GOOD


def test_wrong_tensors_are_refused(tmp_path: Path) -> None:
    model = tiny(BOXES, [0.9, 0.1], input_type=TensorProto.FLOAT)
    with pytest.raises(ContractError, match=r"tensor\(float\)"):
        open_file(save(model, tmp_path / "tiny.onnx"))
    model = tiny(BOXES, [0.9, 0.1])
    model.graph.output[1].name = "confidences"
    model.graph.node[-1].output[0] = "confidences"
    with pytest.raises(ContractError, match="confidences"):
        open_file(save(model, tmp_path / "other.onnx"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = save(tiny(BOXES, [0.9, 0.1]), tmp_path / "tiny.onnx")
    path.write_bytes(b"not a model")
    import hashlib

    path.with_suffix(".sha256").write_text(hashlib.sha256(b"not a model").hexdigest())
    with pytest.raises(DetectorError, match="cannot be opened"):
        open_file(path)


def test_another_size_than_the_fixed_one_is_refused(tmp_path: Path) -> None:
    path = save(tiny(BOXES, [0.9, 0.1]), tmp_path / "tiny.onnx")
    with pytest.raises(DetectorError, match="fixed size 64x64"):
        open_file(path, canvas="640x384")


@pytest.mark.parametrize(("size", "text"), [("650x384", "multiples of 32"), ("128x128", "640x384 or larger")])
def test_a_size_that_cannot_work_is_refused(tmp_path: Path, size: str, text: str) -> None:
    """The detector leaves the canvas open, but a smaller one has too few pixels for its graph."""
    model = tiny(BOXES, [0.9, 0.1])
    for side, symbol in zip(model.graph.input[0].type.tensor_type.shape.dim, contract.SYMBOLS, strict=False):
        side.dim_param = symbol
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 384, 640, 3]), "shape"))
    model.graph.node.insert(0, helper.make_node("Reshape", [contract.INPUT, "shape"], ["reshaped"]))
    model.graph.node[1].input[0] = "reshaped"
    path = save(model, tmp_path / "open.onnx")
    with pytest.raises(DetectorError, match=text):
        open_file(path, canvas=size)
    assert open_file(path, canvas="640x384").session.size == (640, 384)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "openvino"])
def test_a_named_provider_that_does_not_run_is_refused(tmp_path: Path, provider: str) -> None:
    path = save(tiny(BOXES, [0.9, 0.1]), tmp_path / "tiny.onnx")
    if open_file(path, provider="auto").session.provider != "cpu":
        pytest.skip("this machine has an accelerator")
    with pytest.raises(ProviderError, match=rf"'{provider}'.*'auto'"):
        open_file(path, provider=provider)


@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        (np.full((1, 2, 4), np.nan, np.float32), np.zeros((1, 2), np.float32)),
        (np.full((1, 2, 4), np.inf, np.float32), np.zeros((1, 2), np.float32)),
        (np.zeros((1, 2, 4), np.float32), np.full((1, 2), np.nan, np.float32)),
        (np.zeros((1, 2, 5), np.float32), np.zeros((1, 2), np.float32)),
        (np.zeros((2, 4), np.float32), np.zeros((1, 2), np.float32)),
        (np.zeros((1, 0, 4), np.float32), np.zeros((1, 0), np.float32)),
        (np.zeros((1, 2, 4), np.float64), np.zeros((1, 2), np.float32)),
        (np.zeros((1, 2, 4), np.float32), np.array([[0.1, 0.2]], np.float32)),
        (None, None),
    ],
    ids=["nan", "inf", "nan-score", "five", "no-batch", "empty", "double", "unsorted", "nothing"],
)
def test_odd_output_is_an_error_not_an_empty_picture(boxes: object, scores: object) -> None:
    with pytest.raises(DetectionError) as caught:
        check_output(boxes, scores)
    assert caught.value.reason == "detector_output"


def test_more_candidates_than_fit_are_an_error(tmp_path: Path) -> None:
    detector = open_file(save(tiny(BOXES, [0.9, 0.8]), tmp_path / "tiny.onnx"))
    with pytest.raises(DetectionError) as caught:
        detector.detect(PICTURE)
    assert caught.value.reason == "overflow"


@pytest.mark.parametrize("box", [[20, 4, 4, 24], [4, 4, 4, 24]], ids=["inside out", "empty"])
def test_a_box_that_would_cover_nothing_is_an_error(tmp_path: Path, box: list[int]) -> None:
    detector = open_file(save(tiny([box, [0, 0, 1, 1]], [0.9, 0.1]), tmp_path / "tiny.onnx"))
    with pytest.raises(DetectionError) as caught:
        detector.detect(PICTURE)
    assert caught.value.reason == "detector_output"


def test_nan_from_a_real_graph_is_an_error(tmp_path: Path) -> None:
    path = save(tiny([[np.nan, 0, 1, 1], [0, 0, 1, 1]], [0.9, 0.1]), tmp_path / "tiny.onnx")
    with pytest.raises(DetectorError, match="NaN"):
        open_file(path)


def test_a_run_that_takes_too_long_is_ended() -> None:
    config = DetectorConfig(provider="cpu", timeout_seconds=0.01, threads=1)
    slow = open_detector(read_detector(None), config)
    with pytest.raises(DetectionError) as caught:
        slow.detect(np.zeros((1080, 1920, 3), np.uint8))
    assert caught.value.reason == "detector_timeout"


def test_a_detector_that_sees_nothing_is_not_trusted(tmp_path: Path) -> None:
    blind = open_file(save(tiny(BOXES, [0.1, 0.05]), tmp_path / "tiny.onnx"))
    with pytest.raises(KnownFaceError, match="known face"):
        known_face.check(blind)
