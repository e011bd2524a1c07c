"""SavedModel in, verified detectors out, or a sentence and nothing published."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

import tensorflow as tf

from convert import build as building
from convert import families, inspect, parity
from convert import plan as plans
from convert.build import Built, Wanted, build, verify
from convert.cli import app
from convert.errors import ConvertError, ParityError
from convert.optimize import optimize
from convert.options import ModelOptions
from convert.plan import OBJECT_DETECTION, Plan
from convert.sample import sample_picture
from edge import contract
from edge.boxes import iou
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.errors import DetectorError, EdgeError
from tests import saved_models
from tests.conftest import DATA

Models = Callable[[str], Path]
Detectors = Callable[..., Built]
COMMAND = [sys.executable, "-c", "from convert.cli import app; app()"]
NOISE = re.compile(r"[IWE]0000 |tensorflow/|WARNING|absl|oneDNN|Deprecat|Instructions for updating|tf2onnx\.")
NMS_IOU = 0.45
YXYX = ModelOptions(input_range="0..1", box_format="yxyx")

MAKERS: dict[str, Callable[[Path], Path]] = {
    "pad": lambda p: saved_models.object_detection(p, nms_iou=NMS_IOU),
    "stretch": lambda p: saved_models.object_detection(p, pad=False),
    "short side": lambda p: saved_models.object_detection(p, short_side=48),
    "two": lambda p: saved_models.object_detection(p, classes=2),
    "named": lambda p: saved_models.object_detection(p, classes=2, labels={1: "hat", 2: "Human face"}),
    "background": lambda p: saved_models.object_detection(p, classes=2, background=True),
    "one of two": lambda p: saved_models.object_detection(p, classes=1, background=True, pad=False),
    "variable": lambda p: saved_models.object_detection(p, variable=True),
    "generic": saved_models.generic,
    "generic pixels": lambda p: saved_models.generic(p, box_format="xyxy", normalized=False),
    "generic centres": lambda p: saved_models.generic(
        p, box_format="cxcywh", logits=True, input_range=(2 / 255, -1.0)
    ),
    "generic bytes": lambda p: saved_models.generic(p, dtype="uint8", input_range=(1.0, 0.0)),
    "generic wide": lambda p: saved_models.generic(p, size=(96, 64), classes=2),
    "generic free": lambda p: saved_models.generic(p, fixed=False),
    "generic offsets": lambda p: saved_models.generic(p, offsets_only=True, logits=True),
    "two inputs": saved_models.two_inputs,
    "encoded": saved_models.encoded_input,
    "unsigned": saved_models.without_signature,
    "grey": saved_models.grey_input,
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """SavedModels by name, each made once."""
    root = tmp_path_factory.mktemp("saved_models")

    def make(name: str) -> Path:
        folder = root / name.replace(" ", "_")
        return folder if folder.is_dir() else MAKERS[name](folder)

    return make


@pytest.fixture(scope="session")
def anchor_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anchors") / "anchors.npy"
    np.save(path, saved_models.anchors(64, 64).astype(np.float32))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("astronaut.jpg", "hopper.jpg"):
        shutil.copy(DATA / name, folder)
    return folder


@pytest.fixture(scope="session")
def detectors(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    """Detectors by the name of their SavedModel and options, each built once."""
    made: dict[tuple[str, str], Built] = {}

    def make(name: str, options: ModelOptions | None = None) -> Built:
        key = (name, str(options or ModelOptions()))
        if key not in made:
            made[key] = one(models(name), tmp_path_factory.mktemp("detectors"), options)
        return made[key]

    return make


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``edge-convert`` as a user starts it, with TensorFlow as talkative as it is."""
    kept = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=kept | environment,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The error message; there is no traceback beside it, and nothing of TensorFlow's."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not NOISE.search(done.stderr), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-convert: ")]
    assert lines, done.stderr
    return "\n".join(lines)


def one(path: Path, out: Path, options: ModelOptions | None = None, wanted: Wanted | None = None) -> Built:
    _, made = build(path, out, options or ModelOptions(), wanted or Wanted())
    assert len(made) == 1
    return made[0]


def refusal(path: Path, out: Path, options: ModelOptions | None = None, wanted: Wanted | None = None) -> str:
    """What the error says; nothing is published."""
    with pytest.raises(EdgeError) as caught:
        build(path, out, options or ModelOptions(), wanted or Wanted())
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def opened(path: Path, **options: Any) -> Detector:
    return open_detector(
        read_detector(path), DetectorConfig(path=path, provider="cpu", tiles="1x1", **options)
    )


def session_of(path: Path) -> Any:
    import onnxruntime as ort

    return ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def check_figures(figures: dict[str, Any]) -> None:
    assert figures["ok"]
    assert figures["pictures"] >= 2
    for name in ("same_canvas", "whole_path"):
        part = figures[name]
        assert part["ok"]
        assert part["boxes"] > 10
        assert part["recall_limit"] <= part["recall"] <= 1
        assert 0 <= part["largest_score_difference"] <= part["score_difference_limit"]


# The whole command.


def test_a_zip_becomes_detectors_for_every_target(models: Models, tmp_path: Path) -> None:
    folder = models("named")
    path = tmp_path / "my faces.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, Path("export", file.relative_to(folder)))
    out = tmp_path / "out"
    targets = ("cpu", "cuda", "tensorrt", "openvino")
    done = run("build", path, "--out", out, *(part for t in targets for part in ("--target", t)))
    assert done.returncode == 0, done.stderr
    detectors = [out / f"my_faces-{target}-fp32.onnx" for target in targets]
    wanted = {p.name for d in detectors for p in (d, d.with_suffix(".sha256"))} | {"report.md", "report.json"}
    assert {p.name for p in out.iterdir()} == wanted

    for name in [*(str(d) for d in detectors), str(out / "report.md")]:
        assert name in done.stdout
    assert not NOISE.search(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    stages = [line.removesuffix(" ...") for line in done.stderr.splitlines()]
    assert stages[0] == "read the SavedModel"
    assert "load it in TensorFlow" in stages
    assert all(f"compare {target} with TensorFlow" in stages for target in targets)

    report = json.loads((out / "report.json").read_text())
    assert report["family"] == OBJECT_DETECTION
    assert report["labels"] == ["Human face"]
    assert set(report["seconds"]) == set(stages)
    assert [d["file"] for d in report["detectors"]] == [d.name for d in detectors]
    for entry, detector in zip(report["detectors"], detectors, strict=True):
        check_figures(entry["parity"])
        assert entry["sha256"] == hashlib.sha256(detector.read_bytes()).hexdigest()
        assert entry["nodes"] == sum(entry["operators"].values()) < report["nodes_exported"]
        assert entry["sha256"] in (out / "report.md").read_text()
        kept = opened(detector).session.contract
        assert (kept.name, kept.target, kept.labels) == ("my_faces", entry["target"], "Human face")
        assert kept.source_sha256 == report["source"]["sha256"]
        check_figures(json.loads(kept.parity))


def test_what_is_missing_is_asked_for(models: Models, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "--input-range" in said(run("build", models("generic"), "--out", out))
    assert not out.exists() or not list(out.iterdir())


def test_inspect_says_what_build_would_do(models: Models) -> None:
    done = run("inspect", models("named"), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    for text in (
        "TensorFlow SavedModel",
        "tf-object-detection-api",
        "pad-right-bottom",
        "1 hat, 2 Human face",
    ):
        assert text in done.stdout
    assert not NOISE.search(done.stdout + done.stderr)


def test_verify_compares_on_other_pictures(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path
) -> None:
    built = detectors("pad")
    done = run("verify", built.path, "--saved-model", models("pad"), "--images", pictures)
    assert done.returncode == 0, done.stderr
    assert "pictures: 2" in done.stdout
    assert "ok: True" in done.stdout


HELP = """
import sys
from convert.cli import app
for arguments in ([], ["build"], ["inspect"], ["verify"]):
    try:
        app([*arguments, "--help"])
    except SystemExit as end:
        assert not end.code
print(sorted({"tensorflow", "tf2onnx", "onnx", "onnx_ir", "onnxruntime"} & set(sys.modules)))
"""


def test_help_is_quick() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("--target", "--label", "--anchors", "--saved-model", "Exit codes"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--box-format", "zyx"], 1, "--box-format zyx: one of yxyx"),
        (["--input-range", "0..2"], 1, "--input-range 0..2: one of 0..1"),
        (["--resize", "crop"], 1, "--resize crop: one of stretch, pad"),
        (["--mean", "1,2"], 1, "--mean 1,2: wanted 3 numbers"),
        (["--mean", "a,b,c"], 1, "--mean a,b,c: wanted 3 numbers"),
        (["--std", "nan,1,1"], 1, "--std nan,1,1: wanted 3 numbers"),
        (["--variances", "1,2,3"], 1, "--variances 1,2,3: wanted 4 numbers"),
        (["--size", "640"], 1, "--size 640: wanted WIDTHxHEIGHT"),
        (["--size", "8x8"], 1, "--size 8x8: wanted WIDTHxHEIGHT"),
        (["--size", "-64x64"], 1, "--size -64x64: wanted WIDTHxHEIGHT"),
        (["--size", "64x64x3"], 1, "--size 64x64x3: wanted WIDTHxHEIGHT"),
        (["--size", "²²x64"], 1, "--size ²²x64: wanted WIDTHxHEIGHT"),
        (["--batch", "0"], 2, "--batch"),
        (["--batch", "65"], 2, "--batch"),
        (["--batch", "many"], 2, "--batch"),
        (["--no-such-option"], 2, "--no-such-option"),
    ],
)
def test_bad_options_are_refused_before_tensorflow_starts(
    tmp_path: Path, arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a child process was started")

    monkeypatch.setattr("convert.isolated.run", started)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    result = CliRunner().invoke(app, ["build", str(tmp_path), "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == code
    assert words in re.sub("\x1b\\[[0-9;]*m", "", result.output)


WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tf2onnx", "onnx", "onnx_ir", "onnxscript", "sympy"):
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from convert.cli import app
app()
"""


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "x"], ["build", "x", "--out", "y"]])
def test_without_the_convert_extra_it_says_what_to_install(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert "ModuleNotFoundError" not in done.stderr
    if arguments == ["--help"]:
        assert done.returncode == 0
    else:
        assert done.returncode == 1
        assert "not installed: tensorflow" in done.stderr
        assert "pip install 'edge-anonymizer[convert]'" in done.stderr


# What a build makes, in this process.


def expected(folder: Path, picture: Any, classes: tuple[int, ...] = (1,)) -> tuple[Any, Any]:
    """TensorFlow's own boxes (x1 y1 x2 y2, pixels) and scores, without a line of ``convert``."""
    out = tf.saved_model.load(str(folder)).signatures["serving_default"](input_tensor=picture[None])
    boxes, scores, found = (out[f"detection_{key}"].numpy()[0] for key in ("boxes", "scores", "classes"))
    strong = (scores >= 0.3) & np.isin(found, classes)
    height, width = picture.shape[:2]
    return boxes[strong][:, [1, 0, 3, 2]] * [width, height, width, height], scores[strong]


@pytest.mark.parametrize("name", ["pad", "stretch", "short side"])
def test_the_box_finds_what_tensorflow_finds(models: Models, detectors: Detectors, name: str) -> None:
    built = detectors(name)
    detector = opened(built.path)
    picture = sample_picture()
    for view in (picture, np.ascontiguousarray(picture[:300]), np.ascontiguousarray(picture[:, 50:250])):
        boxes, scores = expected(models(name), view)
        assert len(boxes) > 3
        found = detector.detect(np.ascontiguousarray(view[..., ::-1]))
        overlaps = iou(boxes.astype(np.float32), found.boxes)
        assert (overlaps.max(axis=1) > 0.9).mean() >= 0.9
        nearest = overlaps.argmax(axis=1)
        assert np.abs(found.scores[nearest] - scores).max() < 0.05
        # It finds nothing else either.
        extra = found.scores[(overlaps.max(axis=0) < 0.5)]
        assert (extra > 0.35).mean() < 0.1 if len(extra) else True


def test_the_contract_says_how_the_model_sees(detectors: Detectors) -> None:
    kept = opened(detectors("pad").path).session.contract
    assert (kept.letterbox, kept.interpolation) == ("pad-right-bottom", "linear-corner")
    assert kept.padding == (124, 116, 104)
    assert kept.letterbox_short_side == 0
    assert kept.nms_iou == NMS_IOU
    assert kept.family == OBJECT_DETECTION
    assert kept.labels == "1"
    tools = json.loads(kept.tools)
    assert tools["tensorflow"] == tf.__version__ == tools["tensorflow_of_source"]
    other = opened(detectors("stretch").path).session.contract
    assert (other.letterbox, other.interpolation) == ("stretch", "linear-corner")
    third = opened(detectors("short side").path).session.contract
    assert (third.letterbox, third.letterbox_short_side) == ("pad-right-bottom", 48)


def test_the_graph_is_rewritten(models: Models, tmp_path: Path) -> None:
    _, made = build(models("pad"), tmp_path, ModelOptions(), Wanted(("cpu", "tensorrt")))
    for built in made:
        model = onnx.load(built.path)
        operators = [node.op_type for node in model.graph.node]
        assert not {"BatchNormalization", "MatMul", "Loop", "NonMaxSuppression", "If"} & set(operators)
        assert operators.count("TopK") == 1
        assert dict(built.nodes) == {op: operators.count(op) for op in operators}
        assert model.ir_version == building.IR_VERSION
        assert any("anchors in the graph" in note for note in built.notes)
        assert [step.name for step in built.steps if step.modified]
    first = [onnx.load(built.path).graph.node[0].op_type for built in made]
    assert first == ["Transpose", "Cast"]


def test_a_build_can_be_repeated(models: Models, tmp_path: Path) -> None:
    """Same source, same tools, same graph; and what lies in the folder is replaced."""
    graphs = []
    for _ in range(2):
        built = one(models("pad"), tmp_path)
        model = onnx.load(built.path)
        weights = sorted(onnx.numpy_helper.to_array(t).tobytes() for t in model.graph.initializer)
        # Names count up in a process that builds several times.
        graphs.append(([(node.op_type, len(node.input)) for node in model.graph.node], weights))
        assert len(list(tmp_path.iterdir())) == 4
    assert graphs[0] == graphs[1]


def test_the_same_target_twice_is_one_detector(models: Models, tmp_path: Path) -> None:
    one(models("pad"), tmp_path, wanted=Wanted(("cpu", "cpu")))


def test_half_precision(models: Models, tmp_path: Path) -> None:
    built = one(models("pad"), tmp_path, wanted=Wanted(("cuda",), "fp16"))
    assert built.path.name == "pad-cuda-fp16.onnx"
    assert opened(built.path).session.contract.precision == "fp16"
    types = {value.data_type for value in onnx.load(built.path).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types
    assert any("fp32" in note for note in built.notes)


def test_int8(models: Models, tmp_path: Path, pictures: Path) -> None:
    wanted = Wanted(("cpu",), "int8", calibration=pictures)
    built = one(models("pad"), tmp_path, wanted=wanted)
    assert built.path.name == "pad-cpu-int8.onnx"
    assert built.nodes["QuantizeLinear"] > 0
    assert built.parity.pictures == 2
    assert any("stay float" in note for note in built.notes)
    assert len(opened(built.path).detect(np.ascontiguousarray(sample_picture()[..., ::-1])).boxes)


@pytest.mark.parametrize("name", ["two", "background"])
def test_classes_without_names_are_asked_for(models: Models, tmp_path: Path, name: str) -> None:
    text = refusal(models(name), tmp_path / "out")
    assert "the classes 1, 2" in text
    assert "--label" in text


@pytest.mark.parametrize("name", ["two", "background"])
@pytest.mark.parametrize("labels", [("1",), ("2",), ("2", "1")])
def test_classes_are_chosen(models: Models, tmp_path: Path, name: str, labels: tuple[str, ...]) -> None:
    built = one(models(name), tmp_path, ModelOptions(labels=labels))
    detector = opened(built.path)
    assert detector.session.contract.labels == ", ".join(sorted(labels))
    picture = sample_picture()
    boxes, _ = expected(models(name), picture, tuple(int(label) for label in labels))
    found = detector.detect(np.ascontiguousarray(picture[..., ::-1]))
    overlaps = iou(boxes.astype(np.float32), found.boxes).max(axis=1)
    # Two classes are merged, so that one's box may suppress the other's.
    assert (overlaps > (0.9 if len(labels) == 1 else NMS_IOU)).mean() >= 0.9


def test_a_single_class_behind_a_background_needs_no_name(detectors: Detectors) -> None:
    assert opened(detectors("one of two").path).session.contract.labels == "1"


def test_the_label_map_names_the_faces(models: Models, detectors: Detectors, tmp_path: Path) -> None:
    assert opened(detectors("named").path).session.contract.labels == "Human face"
    told = detectors("named", ModelOptions(labels=("hat",)))
    assert opened(told.path).session.contract.labels == "hat"
    text = refusal(models("named"), tmp_path / "out", ModelOptions(labels=("cat",)))
    assert text == "--label cat: this model has the classes 1 (hat), 2 (Human face)"


GENERIC: dict[str, tuple[str, ModelOptions]] = {
    "yxyx": ("generic", YXYX),
    "xyxy": ("generic pixels", ModelOptions(input_range="0..1", box_format="xyxy", normalized=False)),
    "guessed pixels": ("generic pixels", ModelOptions(input_range="0..1", box_format="xyxy")),
    "cxcywh": ("generic centres", ModelOptions(input_range="-1..1", box_format="cxcywh")),
    "bytes": ("generic bytes", ModelOptions(box_format="yxyx")),
    "mean and std": (
        "generic",
        ModelOptions(input_range="0..255", box_format="yxyx", mean=(0, 0, 0), std=(255, 255, 255)),
    ),
    "padded": ("generic", dataclasses.replace(YXYX, resize="pad")),
    "named outputs": ("generic", dataclasses.replace(YXYX, boxes="boxes", scores="scores")),
    "size of a free model": ("generic free", dataclasses.replace(YXYX, size=(64, 64))),
    "size that it has anyway": ("generic", dataclasses.replace(YXYX, size=(64, 64))),
    "wide": ("generic wide", dataclasses.replace(YXYX, labels=("1",))),
}


@pytest.mark.parametrize("case", GENERIC)
def test_models_of_no_known_exporter(detectors: Detectors, case: str) -> None:
    name, options = GENERIC[case]
    built = detectors(name, options)
    check_figures(built.parity.figures())
    kept = opened(built.path).session.contract
    assert kept.family == plans.GENERIC
    assert kept.letterbox == ("pad-right-bottom" if options.resize == "pad" else "stretch")
    recorded = json.loads(kept.tools)["options"]
    assert recorded == json.loads(json.dumps(options.record()))


def test_all_ways_to_say_the_same_give_the_same_boxes(detectors: Detectors) -> None:
    """The models are one network behind different outputs; only the conversion could tell them apart."""
    picture = np.ascontiguousarray(sample_picture()[..., ::-1])
    found = []
    for case in ("yxyx", "xyxy", "guessed pixels", "cxcywh", "bytes", "mean and std"):
        name, options = GENERIC[case]
        found.append(opened(detectors(name, options).path).detect(picture))
    assert len(found[0].boxes) > 3
    for other in found[1:]:
        np.testing.assert_allclose(other.boxes, found[0].boxes, atol=0.05)
        np.testing.assert_allclose(other.scores, found[0].scores, atol=1e-3)


def test_anchors_from_a_file(detectors: Detectors, anchor_file: Path) -> None:
    """Offsets without anchors, decoded as told, are the boxes of the same network with anchors."""
    options = ModelOptions(
        input_range="0..1", box_format="cycxhw", anchors=anchor_file, variances=(0.1, 0.1, 0.2, 0.2)
    )
    built = detectors("generic offsets", options)
    picture = np.ascontiguousarray(sample_picture()[..., ::-1])
    found = opened(built.path).detect(picture)
    wanted = opened(detectors("generic", YXYX).path).detect(picture)
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.05)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-3)


def npy(path: Path, array: Any) -> Path:
    np.save(path, array, allow_pickle=True)
    return path


BAD_ANCHORS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda p: p, "No such file"),
    "text": (lambda p: p.parent / "text.npy", "save float"),
    "too few": (lambda p: npy(p, np.full((10, 4), 0.5)), "has 10 anchors, but the model gives 640"),
    "shape": (lambda p: npy(p, np.full((640, 3), 0.5)), "shape [640, 3]"),
    "integers": (lambda p: npy(p, np.ones((640, 4), int)), "finite floats"),
    "nan": (lambda p: npy(p, np.full((640, 4), np.nan)), "finite floats"),
    "no width": (lambda p: npy(p, np.zeros((640, 4))), "positive sides"),
    "pixels": (lambda p: npy(p, np.full((640, 4), 32.0)), "no shares"),
    "objects": (lambda p: npy(p, np.array([None, {}], object)), "save float"),
}


@pytest.mark.parametrize("name", BAD_ANCHORS)
def test_bad_anchors_are_refused(models: Models, tmp_path: Path, name: str) -> None:
    make, reason = BAD_ANCHORS[name]
    (tmp_path / "text.npy").write_text("0 0 1 1\n")
    options = ModelOptions(input_range="0..1", box_format="cxcywh", anchors=make(tmp_path / "anchors.npy"))
    text = refusal(models("generic offsets"), tmp_path / "out", options)
    assert reason in text
    assert "--anchors" in text


def test_batches(models: Models, detectors: Detectors, tmp_path: Path) -> None:
    built = one(models("generic"), tmp_path, YXYX, Wanted(batch=4))
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


REFUSED: dict[str, tuple[str, ModelOptions, Wanted, str]] = {
    "batch built in": (
        "pad",
        ModelOptions(),
        Wanted(batch=4),
        "--batch 4",
    ),
    "batch 0": ("pad", ModelOptions(), Wanted(batch=0), "--batch 0: 1 to 64"),
    "unknown target": ("pad", ModelOptions(), Wanted(("tpu",)), "--target tpu: one of cpu, cuda"),
    "unknown precision": ("pad", ModelOptions(), Wanted(precision="fp8"), "--precision fp8: one of fp32"),
    "int8 alone": ("pad", ModelOptions(), Wanted(precision="int8"), "--precision int8 needs --calibration"),
    "no folder": ("pad", ModelOptions(), Wanted(calibration=Path("missing")), "missing is no folder"),
    "size of an exported model": ("pad", ModelOptions(size=(128, 128)), Wanted(), "exported for 64x64"),
    "options that it says itself": (
        "pad",
        ModelOptions(input_range="0..1", resize="pad"),
        Wanted(),
        "--input-range, --resize: this model is an Object Detection API export",
    ),
    "variable canvas": ("variable", ModelOptions(), Wanted(), "depends on the picture"),
    "size of a fixed model": (
        "generic",
        dataclasses.replace(YXYX, size=(96, 96)),
        Wanted(),
        "fixed to 64x64; leave the option out",
    ),
    "size of a free model": ("generic free", YXYX, Wanted(), "--size WIDTHxHEIGHT"),
    "range": ("generic", ModelOptions(box_format="yxyx"), Wanted(), "--input-range 0..1, -1..1 or 0..255"),
    "range of bytes": ("generic bytes", YXYX, Wanted(), "--input-range: the input is uint8"),
    "mean of bytes": (
        "generic bytes",
        ModelOptions(box_format="yxyx", mean=(0, 0, 0)),
        Wanted(),
        "--mean: the input is uint8",
    ),
    "std": ("generic", dataclasses.replace(YXYX, std=(0, 1, 1)), Wanted(), "--std: wanted three positive"),
    "order of corners": ("generic", ModelOptions(input_range="0..1"), Wanted(), "--box-format yxyx"),
    "centres": ("generic centres", ModelOptions(input_range="-1..1"), Wanted(), "--box-format"),
    "unknown boxes": (
        "generic",
        dataclasses.replace(YXYX, boxes="rois"),
        Wanted(),
        "--boxes rois: the outputs are",
    ),
    "unknown scores": (
        "generic",
        dataclasses.replace(YXYX, boxes="boxes", scores="x"),
        Wanted(),
        "--scores x: the outputs are",
    ),
    "boxes and scores changed": (
        "generic",
        dataclasses.replace(YXYX, boxes="scores", scores="boxes"),
        Wanted(),
        "wanted boxes [B, N, 4]",
    ),
    "only boxes named": (
        "generic",
        dataclasses.replace(YXYX, boxes="boxes"),
        Wanted(),
        "--boxes NAME --scores NAME",
    ),
    "classes": ("generic wide", YXYX, Wanted(), "--label"),
    "variances alone": (
        "generic",
        dataclasses.replace(YXYX, variances=(0.1, 0.1, 0.2, 0.2)),
        Wanted(),
        "--variances belongs to --anchors",
    ),
    "two inputs": ("two inputs", ModelOptions(), Wanted(), "a detector has one: the picture"),
    "files": ("encoded", ModelOptions(), Wanted(), "--input_type image_tensor"),
    "no signature": ("unsigned", ModelOptions(), Wanted(), "has no signatures"),
    "grey": ("grey", ModelOptions(input_range="0..1"), Wanted(), "the last side must be 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_built_is_refused(models: Models, tmp_path: Path, case: str) -> None:
    name, options, wanted, reason = REFUSED[case]
    assert reason in refusal(models(name), tmp_path / "out", options, wanted)


def test_anchors_must_say_the_order_of_offsets(models: Models, tmp_path: Path, anchor_file: Path) -> None:
    options = dataclasses.replace(YXYX, anchors=anchor_file)
    assert "cxcywh or cycxhw" in refusal(models("generic offsets"), tmp_path / "out", options)


def test_a_calibration_folder_without_pictures_is_refused(models: Models, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    wanted = Wanted(precision="int8", calibration=tmp_path / "pictures")
    assert "holds no pictures" in refusal(models("pad"), tmp_path / "out", wanted=wanted)
    (tmp_path / "pictures" / "broken.jpg").write_bytes((DATA / "astronaut.jpg").read_bytes()[:5000])
    assert "remove it from" in refusal(models("pad"), tmp_path / "out", wanted=wanted)


def test_a_folder_that_cannot_be_written_is_named(models: Models, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises((EdgeError, OSError), match="out"):
        build(models("pad"), out, ModelOptions(), Wanted())
    assert out.read_text() == "a file"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("fingerprint", [True, False])
def test_a_cut_off_graph_is_named(models: Models, tmp_path: Path, share: float, fingerprint: bool) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(models("pad"), folder)
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[: int(graph.stat().st_size * share)])
    if not fingerprint:
        (folder / "fingerprint.pb").unlink()
    text = refusal(folder, tmp_path / "out")
    assert str(folder) in text
    assert re.search("get (it|the file) again", text)


@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb"])
def test_parts_of_two_models_do_not_go_together(models: Models, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "faces"
    shutil.copytree(models("pad"), folder)
    shutil.copy(models("stretch") / name, folder)
    text = refusal(folder, tmp_path / "out")
    assert "does not belong to its fingerprint.pb" in text


# A detector that differs is not published.


def unequal(models: Models, out: Path) -> str:
    with pytest.raises(ParityError) as caught:
        build(models("pad"), out, ModelOptions(), Wanted(("cpu", "cuda")))
    assert not list(out.iterdir())
    text = str(caught.value)
    assert "pad-cpu-fp32.onnx is not published" in text
    assert re.search(
        r"(astronaut|hopper|portrait|landscape|tiny|4K|model-size|mirrored): TensorFlow's box \[", text
    )
    return text


def test_limits_that_nothing_keeps(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"fp32": parity.Limits(iou=1.01, recall=1, score_difference=0)}
    monkeypatch.setattr(parity, "CANVAS_LIMITS", limits)
    assert "same canvas: " in unequal(models, tmp_path)


def test_a_wrong_normalisation_is_seen(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(exported: Any, head: Any, scale: Any, offset: Any, **options: Any) -> Any:
        return optimize(exported, head, tuple(s * 1.05 for s in scale), offset, **options)

    monkeypatch.setattr(building, "optimize", wrong)
    assert "same canvas: " in unequal(models, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: dataclasses.replace(plan, head=dataclasses.replace(plan.head, box_format="xyxy")),
        lambda plan: dataclasses.replace(plan, head=dataclasses.replace(plan.head, unit=(60.0, 64.0))),
        lambda plan: dataclasses.replace(
            plan, preprocessing=dataclasses.replace(plan.preprocessing, letterbox="stretch")
        ),
        lambda plan: dataclasses.replace(
            plan, preprocessing=dataclasses.replace(plan.preprocessing, short_side=32)
        ),
    ],
    ids=["order", "unit", "letterbox", "short side"],
)
def test_a_wrong_plan_is_seen(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Plan], Plan]
) -> None:
    """Both sides of the tight comparison use the plan; the whole path does not."""
    make = families.make_plan
    monkeypatch.setattr(families, "make_plan", lambda *arguments: change(make(*arguments)))
    assert "whole path: " in unequal(models, tmp_path)


def test_one_bad_target_keeps_all_back(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, calls = building._compare, []

    def fail_later(*arguments: Any) -> Any:
        result = compare(*arguments)
        calls.append(result)
        return result if len(calls) == 1 else dataclasses.replace(result, problems=("made up",))

    monkeypatch.setattr(building, "_compare", fail_later)
    with pytest.raises(ParityError, match=r"pad-cuda-fp32\.onnx is not published(.|\n)*made up"):
        build(models("pad"), tmp_path, ModelOptions(), Wanted(("cpu", "cuda")))
    assert not list(tmp_path.iterdir())


def test_an_older_detector_stays_when_the_new_one_fails(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = one(models("pad"), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(
        parity, "PATH_LIMITS", {"fp32": parity.Limits(iou=1.01, recall=1, score_difference=0)}
    )
    with pytest.raises(ParityError):
        build(models("pad"), tmp_path, ModelOptions(), Wanted())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    opened(built.path)


def test_pictures_without_a_face_prove_nothing(models: Models, tmp_path: Path) -> None:
    import cv2

    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    wanted = Wanted(calibration=tmp_path / "pictures")
    folder = models("pad")
    assert not len(expected(folder, np.full((64, 64, 3), 127, np.uint8))[0]), "choose another grey"
    text = refusal(folder, tmp_path / "out", wanted=wanted)
    assert "TensorFlow finds nothing" in text
    assert "give pictures with faces" in text


# Verify.


def test_verify_takes_only_the_model_that_it_was_made_from(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path
) -> None:
    built = detectors("pad")
    assert verify(built.path, models("pad"), pictures, None)
    with pytest.raises(ConvertError, match="was made from a SavedModel of sha256"):
        verify(built.path, models("stretch"), pictures, None)
    with pytest.raises(ConvertError, match="is no folder"):
        verify(built.path, models("pad"), tmp_path / "missing", None)


def test_verify_uses_the_options_of_the_build(
    models: Models, tmp_path: Path, pictures: Path, anchor_file: Path
) -> None:
    options = ModelOptions(input_range="0..1", box_format="cycxhw", anchors=anchor_file)
    built = one(models("generic offsets"), tmp_path, options)
    assert verify(built.path, models("generic offsets"), pictures, anchor_file)
    with pytest.raises(ConvertError, match="built with --anchors"):
        verify(built.path, models("generic offsets"), pictures, None)
    other = npy(tmp_path / "other.npy", saved_models.anchors(64, 64) * 0.9)
    with pytest.raises(ConvertError, match="give the same file"):
        verify(built.path, models("generic offsets"), pictures, other)


def test_verify_needs_no_anchors_where_the_build_had_none(
    models: Models, detectors: Detectors, pictures: Path, anchor_file: Path
) -> None:
    built = detectors("generic", YXYX)
    assert verify(built.path, models("generic"), pictures, None)
    with pytest.raises(ConvertError, match="built without --anchors"):
        verify(built.path, models("generic"), pictures, anchor_file)


def copied(built: Built, folder: Path) -> Path:
    for suffix in (".onnx", ".sha256"):
        shutil.copy(built.path.with_suffix(suffix), folder)
    return folder / built.path.name


def test_verify_sees_a_changed_detector(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path
) -> None:
    path = copied(detectors("pad"), tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DetectorError, match="sha256"):
        verify(path, models("pad"), pictures, None)


def test_verify_sees_changed_weights(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path
) -> None:
    """Changed with a hash to match: only the comparison can tell."""
    path = copied(detectors("pad"), tmp_path)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            weights = onnx.numpy_helper.to_array(tensor) * 1.1
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights.astype(np.float32), tensor.name))
    path.write_bytes(model.SerializeToString())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n")
    result = verify(path, models("pad"), pictures, None)
    assert not result
    assert any(line.startswith("same canvas: ") for line in result.failures())


# Inspect.


def inspected(path: Path, options: ModelOptions | None = None) -> dict[str, str]:
    return dict(inspect.inspect(path, options or ModelOptions()))


def test_inspect_names_what_is_missing(models: Models) -> None:
    facts = inspected(models("generic"))
    assert facts["family"] == plans.GENERIC
    assert facts["conversion"].startswith("not as it is: ")
    assert "--input-range" in facts["conversion"]
    facts = inspected(models("generic"), YXYX)
    assert facts["cut"].startswith("between ")
    assert "0.5" in facts["suppression"]


@pytest.mark.parametrize("name", ["two inputs", "unsigned"])
def test_inspect_refuses_what_is_no_detector(models: Models, name: str) -> None:
    with pytest.raises(ConvertError):
        inspected(models(name))


def test_inspect_reads_detectors(detectors: Detectors) -> None:
    facts = inspected(detectors("pad").path)
    assert facts["kind"] == "ONNX file"
    assert facts["detector"].startswith("yes")
    assert facts["input"] == "image: uint8 [1, 64, 64, 3]"
    assert facts["precision"] == "fp32"
    assert "TopK" in facts["nodes"]


def test_inspect_reads_other_onnx_files(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, 1, ["batch", 4]) for name in "xy")
    path = tmp_path / "other.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y])), path)
    facts = inspected(path)
    assert facts["detector"].startswith("no: ")
    assert facts["input"] == "x: float [batch, 4]"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08\x12\x00", bytes(1000)])
def test_inspect_refuses_a_damaged_onnx_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ConvertError, match=r"broken.onnx .* get it again"):
        inspected(path)


@pytest.mark.parametrize("name", ["model.tflite", "notes.txt"])
def test_inspect_says_what_another_file_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1c\0\0\0TFL3" + bytes(50) if name.endswith("tflite") else b"hello")
    with pytest.raises(ConvertError, match=name):
        inspected(tmp_path / name)
