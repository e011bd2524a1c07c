"""Networks of edge-train: recognised, decoded inside the graph, canvas free, and the same boxes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

import tensorflow as tf

from convert.options import DetectorOptions, ModelOptions
from convert.result import BuiltDetector
from convert.sample import sample_picture
from convert.stated import STATED as STATED_PATH
from convert.training.zipped import write_zip
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.errors import DetectorError
from tests.convert.building import build_all, build_one, check_figures, refusal
from tests.convert.test_inspect import inspected
from tests.convert.trained import STATED, trained

Trained = Callable[[str], Path]
CANVAS = (416, 288)
"""Not one of the canvases that a build compares on."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = trained(name, tmp_path_factory.mktemp(name) / "saved_model")
        return made[name]

    return make


@pytest.fixture(scope="module")
def plates(saved: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltDetector, ...]:
    """A zip of ``tiny`` with a free canvas, for the CPU and for TensorRT."""
    folder = tmp_path_factory.mktemp("plates")
    path = write_zip(saved("tiny"), folder / "plates.zip")
    return build_all(path, folder / "out", "cpu", "tensorrt")


def opened(path: Path, size: tuple[int, int] | None) -> Detector:
    canvas = f"{size[0]}x{size[1]}" if size else None
    config = DetectorConfig(path=path, provider="cpu", canvas=canvas)
    return open_detector(read_detector(path), config)


def maps_of(folder: Path, canvas: Any) -> dict[str, Any]:
    """TensorFlow's maps for uint8 ``[H, W, 3]``, without a line of ``convert``."""
    out = tf.saved_model.load(str(folder)).signatures["serving_default"](image=canvas[None])
    return {key: value.numpy()[0] for key, value in out.items()}


def check_has(found: tuple[Any, Any], box: Any, score: float) -> None:
    boxes, scores = found
    near = np.abs(boxes - box).max(axis=1) < 0.05
    assert near.any(), box
    assert np.abs(scores[near] - score).min() < 1e-4


def canvas_of(width: int, height: int) -> Any:
    return np.ascontiguousarray(sample_picture()[:height, :width])


@pytest.mark.parametrize("name", ["centre", "tiny"])
def test_the_family_is_recognised_by_its_signature(saved: Trained, name: str) -> None:
    facts = inspected(saved(name))
    assert facts["family"] == name
    assert facts["labels"] == "1 plate"
    assert facts["canvas"] == "any multiple of 32 pixels"
    assert facts["cut"].startswith("between ")
    assert inspected(saved(name), ModelOptions(size=(640, 384)))["canvas"] == "640x384"


def test_a_zip_of_tiny_becomes_a_detector_for_every_canvas(
    saved: Trained, plates: tuple[BuiltDetector, ...]
) -> None:
    built = plates[0]
    assert built.path.name == "plates-cpu-fp32.onnx"
    check_figures(built.parity.figures())
    detector = opened(built.path, CANVAS)
    kept = detector.session.contract
    assert (kept.family, kept.labels, kept.licence) == ("tiny", "plate", "Apache-2.0")
    assert (kept.letterbox, kept.letterbox_multiple, kept.interpolation) == ("pad-right-bottom", 32, "area")
    assert (kept.score_begin, kept.score_continue, kept.score_last_look) == (0.25, 0.2, 0.4)
    assert (kept.score_reason, kept.nms_iou, kept.smallest_face) == ("made up", 0.4, 12)
    assert opened(built.path, None).session.size is None
    with pytest.raises(DetectorError, match="multiples of 32"):
        opened(built.path, (400, 300))
    canvas = canvas_of(*CANVAS)
    found = detector.session.run(canvas)
    maps = maps_of(saved("tiny"), canvas)
    checked = 0
    for stride in (8, 16, 32):
        for row, column in np.argwhere(maps[f"score_{stride}"][..., 0] > 0.4):
            dx, dy, w, h = maps[f"box_{stride}"][row, column]
            x, y, half_w, half_h = column + dx, row + dy, np.exp(w) / 2, np.exp(h) / 2
            box = np.array([x - half_w, y - half_h, x + half_w, y + half_h]) * stride
            check_has(found, box, maps[f"score_{stride}"][row, column, 0])
            checked += 1
    assert checked >= 3


def test_peaks_of_centre_are_picked_in_the_graph(saved: Trained, tmp_path: Path) -> None:
    built = build_one(saved("centre"), tmp_path, ModelOptions(size=CANVAS))
    check_figures(built.parity.figures())
    detector = opened(built.path, None)
    assert detector.session.size == CANVAS
    assert detector.session.contract.letterbox_multiple == 1
    canvas = canvas_of(*CANVAS)
    boxes, scores = detector.session.run(canvas)
    maps = maps_of(saved("centre"), canvas)
    heat = np.pad(maps["heat"][..., 0], 1)
    peaks = 0
    for row, column in np.argwhere(maps["heat"][..., 0] > 0.2):
        around = heat[row : row + 3, column : column + 3]
        if heat[row + 1, column + 1] < around.max():
            continue
        (h, w), (y, x) = maps["size"][row, column], maps["offset"][row, column]
        middle = np.array([column + x + 0.5, row + y + 0.5])
        half = np.exp([w, h]) / 2
        box = np.concatenate([middle - half, middle + half]) * 4
        check_has((boxes, scores), box, heat[row + 1, column + 1])
        peaks += 1
    assert peaks == (scores > 0.2).sum() >= 3


def test_the_graph_is_plain(saved: Trained, tmp_path: Path) -> None:
    """No padding by itself, no transposition of the picture, and none between convolutions."""
    built = build_one(saved("tiny"), tmp_path, ModelOptions(size=(320, 320)))
    assert built.operators.get("Pad", 0) == 0
    assert built.operators["Transpose"] == 3  # one for the boxes of each grid
    assert "Shape" not in built.operators  # with a fixed canvas they are constants


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions(saved: Trained, tmp_path: Path, pictures: Path, precision: str) -> None:
    options = DetectorOptions(precision=precision, calibration=pictures)
    built = build_one(saved("centre"), tmp_path, ModelOptions(size=(256, 256)), options)
    assert built.parity.figures()["ok"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["centre", "tiny"])
def test_a_free_canvas_fits_tensorrt(
    saved: Trained, plates: tuple[BuiltDetector, ...], tmp_path: Path, name: str
) -> None:
    built = plates[1] if name == "tiny" else build_all(saved(name), tmp_path, "tensorrt")[0]
    assert built.target == "tensorrt"
    check_figures(built.parity.figures())
    assert inspected(built.path)["input"] == "image: uint8 [batch, height, width, 3]"


@pytest.mark.slow
def test_a_batch_is_fixed_and_the_canvas_free(saved: Trained, tmp_path: Path) -> None:
    built = build_one(saved("tiny"), tmp_path, detector=DetectorOptions(batch=2))
    assert inspected(built.path)["input"] == "image: uint8 [2, height, width, 3]"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ModelOptions(size=(640, 360)), "--size 640x360: both sides must be multiples of 32"),
        (ModelOptions(box_format="yxyx"), "--box-format: this model is of the family tiny"),
        (ModelOptions(labels=("face",)), "--label face: this model has the classes 1 (plate)"),
    ],
)
def test_options_that_do_not_fit(saved: Trained, tmp_path: Path, options: ModelOptions, text: str) -> None:
    assert text in refusal(saved("tiny"), tmp_path / "out", options)


def test_what_the_model_states_is_checked(saved: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(saved("tiny"), folder)
    (folder / STATED_PATH).write_text(json.dumps({**STATED, "score_begin": 1.5}))
    text = refusal(folder, tmp_path / "out")
    assert text.endswith("detector.json: score_begin is 1.5; wanted a number between 0 and 1")
