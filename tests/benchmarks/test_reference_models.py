"""The baseline with random weights has size, signature and behaviour of an exported EfficientDet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")
pytest.importorskip("benchmarks", reason="the benchmarks are not in the wheel")

import tensorflow as tf

from benchmarks.__main__ import app
from benchmarks.reference_models.export import build, export
from convert import build as conversion
from convert.request import BuildRequest
from convert.sample import sample_picture, sample_pictures
from convert.training.efficientdet.network import VARIANTS, Fusion

SIZE = 128
COUNT = 9 * (16**2 + 8**2 + 4**2 + 2**2 + 1)
SHAPES = {
    "detection_boxes": (1, 100, 4),
    "detection_scores": (1, 100),
    "detection_classes": (1, 100),
    "detection_anchor_indices": (1, 100),
    "detection_multiclass_scores": (1, 100, 1),
    "num_detections": (1,),
    "raw_detection_boxes": (1, COUNT, 4),
    "raw_detection_scores": (1, COUNT, 1),
}


@pytest.fixture(scope="module")
def module() -> Any:
    return build("D0", SIZE)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, built again and saved by the command."""
    folder = tmp_path_factory.mktemp("reference") / "d0"
    app(["reference-models", "D0", "--out", str(folder), "--size", str(SIZE)], standalone_mode=False)
    return folder


@pytest.fixture(scope="module")
def signature(saved: Path) -> Any:
    return tf.saved_model.load(str(saved)).signatures["serving_default"]


def detect(function: Any, picture: Any) -> dict[str, Any]:
    return {name: value.numpy() for name, value in function(input_tensor=tf.constant(picture[None])).items()}


@pytest.mark.slow
@pytest.mark.sweep
def test_the_weights_of_every_fusion_add_up_to_one(module: Any) -> None:
    found = [layer for layer in module.network.layers if isinstance(layer, Fusion)]
    assert len(found) == VARIANTS["D0"].layers * 8
    for layer in found:
        assert layer.shares().numpy().sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
@pytest.mark.sweep
def test_the_signature_is_the_exporters(signature: Any) -> None:
    _, inputs = signature.structured_input_signature
    assert inputs == {"input_tensor": tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")}
    outputs = signature.structured_outputs
    assert {name: tuple(spec.shape) for name, spec in outputs.items()} == SHAPES
    assert {spec.dtype for spec in outputs.values()} == {tf.float32}


@pytest.mark.slow
@pytest.mark.sweep
def test_the_same_seed_gives_the_same_answer(module: Any, signature: Any) -> None:
    built, restored = (detect(function, sample_picture()) for function in (module.detect, signature))
    for name, value in built.items():
        np.testing.assert_allclose(restored[name], value, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.slow
@pytest.mark.sweep
def test_an_answer_is_sane_and_depends_on_the_picture(module: Any) -> None:
    answers = [detect(module.detect, picture) for _, picture in sample_pictures(SIZE, SIZE)]
    for answer in answers:
        boxes, scores = answer["detection_boxes"][0], answer["detection_scores"][0]
        count = int(answer["num_detections"][0])
        assert 0 < count <= 100
        assert (np.diff(scores) <= 0).all()
        assert (scores[:count] > 0).all()
        assert (scores[count:] == 0).all()
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[:count, 2:] > boxes[:count, :2]).all()
        assert (answer["detection_classes"][0, :count] == 1).all()
        index = answer["detection_anchor_indices"][0, :count].astype(int)
        assert (answer["raw_detection_scores"][0, index, 0] == scores[:count]).all()
        assert (answer["detection_multiclass_scores"][0, :count, 0] == scores[:count]).all()
        raw = answer["raw_detection_scores"]
        assert np.median(raw) < 0.05
        assert 0 < (raw > 0.3).mean() < 0.1
    raws = np.stack([answer["raw_detection_scores"] for answer in answers])
    assert raws.std(axis=0).max() > 0.1


@pytest.mark.slow
@pytest.mark.sweep
def test_another_seed_and_several_classes_give_another_network() -> None:
    answer = detect(build("D0", SIZE, classes=3, seed=1).detect, sample_picture())
    assert answer["raw_detection_scores"].shape == (1, COUNT, 3)
    assert answer["detection_multiclass_scores"].shape == (1, 100, 3)
    count = int(answer["num_detections"][0])
    assert set(answer["detection_classes"][0, :count]) == {1, 2, 3}


@pytest.mark.slow
@pytest.mark.sweep
def test_it_converts_and_the_detector_finds_the_same_boxes(saved: Path, tmp_path: Path) -> None:
    (built,) = conversion.build(BuildRequest(saved, tmp_path)).detectors
    assert built.parity, built.parity.text()
    assert len(built.parity.canvas.matches) > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("D9",), "unknown variant 'D9': one of D0, D1, D2"),
        (("D0", 100), "size 100: a multiple of 128"),
        (("D0", 0), "size 0: a multiple of 128"),
        (("D0", -128), "size -128: a multiple of 128"),
        (("D0", SIZE, 0), "classes 0: at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        build(*arguments)
    with pytest.raises(ValueError, match=message):
        export(arguments[0], tmp_path / "new", *arguments[1:])
    assert not (tmp_path / "new").exists()


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        export("D0", tmp_path, SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["D9", "--out", "new"], "D9"),
        (["D0"], "--out"),
        (["D0", "--out", "new", "--size", "100"], "size 100: a multiple of 128"),
        (["D0", "--out", "."], "exists already"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        app(["reference-models", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
