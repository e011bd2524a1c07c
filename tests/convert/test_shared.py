"""The real SavedModels: conversion, parity, and the box's own commands with what came out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import onnx
import onnx_ir as ir

from convert import targets
from convert.build import build
from convert.choices import TARGETS
from convert.options import DetectorOptions, ModelOptions
from convert.request import BuildRequest
from edge.config import DetectorConfig
from edge.detection.detector import open_detector
from edge.detection.session import read_detector
from edge.pictures import read_picture
from tests.sweeping import EVERY

pytestmark = [
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SHAPES = {"portrait", "landscape", "tiny", "4K", "model-size"}


def aizoo_anchors() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Anchors of the public AIZOO face mask detector: ``cx cy w h`` in shares of the picture."""
    sizes = ((0.04, 0.056), (0.08, 0.11), (0.16, 0.22), (0.32, 0.45), (0.64, 0.72))
    levels = []
    for cells, (small, large) in zip((33, 17, 9, 5, 3), sizes, strict=True):
        centre = (np.arange(cells) + 0.5) / cells
        rows, columns = np.meshgrid(centre, centre, indexing="ij")
        sides = [(small, small), (large, large)]
        sides += [(small * ratio**0.5, small / ratio**0.5) for ratio in (0.62, 0.42)]
        level = np.zeros((cells, cells, 4, 4), np.float32)
        level[..., 0], level[..., 1] = columns[..., None], rows[..., None]
        level[..., 2:] = np.array(sides, np.float32)
        levels.append(level.reshape(-1, 4))
    return np.concatenate(levels)


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anchors") / "anchors.npy"
    np.save(path, aizoo_anchors())
    return path


def options_for(name: str, anchors: Path) -> ModelOptions:
    if name != "aizoo_facemask_260":
        return ModelOptions()
    return ModelOptions(
        labels=("0", "1"),
        boxes="loc",
        scores="cls",
        input_range="0..1",
        anchors=anchors,
        variances=(0.1, 0.1, 0.2, 0.2),
    )


@pytest.mark.parametrize(
    ("name", "finds_faces"),
    [
        ("efficientdet_d0_face", True),
        ("aizoo_facemask_260", True),
        # A larger one of the same kind takes as long as all the others
        *(
            pytest.param(name, False, marks=[pytest.mark.sweep, pytest.mark.timeout(3600)])
            for name in ["efficientdet_d2_untrained"]
            if EVERY == 1
        ),
    ],
)
def test_a_real_model_converts_and_agrees_with_tensorflow(
    name: str, finds_faces: bool, shared_data: Path, anchors: Path, tmp_path: Path, edge_script: str
) -> None:
    out = tmp_path / "out"
    source = shared_data / "models" / name
    request = BuildRequest(source, out, options_for(name, anchors), DetectorOptions(targets=TARGETS))
    made = build(request).detectors
    assert [built.target for built in made] == list(TARGETS)
    for built in made:
        assert built.parity
        assert built.parity.canvas.recall >= 0.995
        assert built.parity.path.recall >= 0.9
        shown = {match.picture for match in built.parity.path.matches}
        assert shown >= SHAPES, "each of the five shapes must have been compared"
        graph = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load(built.path), data_prop=True))
        assert targets.problems(graph, built.target) == []
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["detectors"][0]["nodes"] < report["nodes_exported"]

    detector = open_detector(read_detector(made[0].path), DetectorConfig(provider="cpu", timeout_seconds=60))
    picture = shared_data / "pictures" / "picsellia_test1.jpg"
    command: list[str | Path] = [edge_script, "blur", picture, "--out", tmp_path / "blurred"]
    command += ["--detector", made[0].path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if finds_faces:
        assert len(detector.detect(read_picture(picture).pixels).at_least(0.3).scores) > 0
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "blurred" / picture.name).is_file()
    else:  # random weights: the box must not take it for a face detector
        assert done.returncode == 1
        assert "known face" in done.stderr
