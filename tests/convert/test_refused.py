"""What cannot be built ends in a message, and nothing is published."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert.options import DetectorOptions, ModelOptions
from edge.errors import EdgeError
from tests.conftest import DATA
from tests.convert.building import YXYX, Models, build_one, refusal, save_npy

BAD_ANCHORS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda p: p, "No such file"),
    "text": (lambda p: p.parent / "text.npy", "save float"),
    "too few": (lambda p: save_npy(p, np.full((10, 4), 0.5)), "has 10 anchors, but the model gives 640"),
    "shape": (lambda p: save_npy(p, np.full((640, 3), 0.5)), "shape [640, 3]"),
    "integers": (lambda p: save_npy(p, np.ones((640, 4), int)), "finite floats"),
    "nan": (lambda p: save_npy(p, np.full((640, 4), np.nan)), "finite floats"),
    "no width": (lambda p: save_npy(p, np.zeros((640, 4))), "positive sides"),
    "pixels": (lambda p: save_npy(p, np.full((640, 4), 32.0)), "not shares"),
    "objects": (lambda p: save_npy(p, np.array([None, {}], object)), "save float"),
}


@pytest.mark.parametrize("name", BAD_ANCHORS)
def test_bad_anchors_are_refused(models: Models, tmp_path: Path, name: str) -> None:
    make, reason = BAD_ANCHORS[name]
    (tmp_path / "text.npy").write_text("0 0 1 1\n")
    options = ModelOptions(input_range="0..1", box_format="cxcywh", anchors=make(tmp_path / "anchors.npy"))
    text = refusal(models("generic offsets"), tmp_path / "out", options)
    assert reason in text
    assert "--anchors" in text


REFUSED: dict[str, tuple[str, ModelOptions, DetectorOptions, str]] = {
    "batch built in": (
        "pad",
        ModelOptions(),
        DetectorOptions(batch=4),
        "--batch 4",
    ),
    "batch 0": ("pad", ModelOptions(), DetectorOptions(batch=0), "--batch 0: 1 to 64"),
    "unknown target": (
        "pad",
        ModelOptions(),
        DetectorOptions(("tpu",)),
        "--target tpu: one of any, cpu, cuda",
    ),
    "unknown precision": (
        "pad",
        ModelOptions(),
        DetectorOptions(precision="fp8"),
        "--precision fp8: one of fp32",
    ),
    "int8 alone": (
        "pad",
        ModelOptions(),
        DetectorOptions(precision="int8"),
        "--precision int8 needs --calibration",
    ),
    "no folder": (
        "pad",
        ModelOptions(),
        DetectorOptions(calibration=Path("missing")),
        "missing is not a folder",
    ),
    "size of an exported model": (
        "pad",
        ModelOptions(size=(128, 128)),
        DetectorOptions(),
        "exported for 64x64",
    ),
    "options that it says itself": (
        "pad",
        ModelOptions(input_range="0..1", resize="pad"),
        DetectorOptions(),
        "--input-range, --resize: this model is an Object Detection API export",
    ),
    "variable canvas": ("variable", ModelOptions(), DetectorOptions(), "depends on the picture"),
    "size of a fixed model": (
        "generic",
        dataclasses.replace(YXYX, size=(96, 96)),
        DetectorOptions(),
        "fixed to 64x64; leave the option out",
    ),
    "size of a free model": ("generic free", YXYX, DetectorOptions(), "--size WIDTHxHEIGHT"),
    "range": (
        "generic",
        ModelOptions(box_format="yxyx"),
        DetectorOptions(),
        "--input-range 0..1, -1..1 or 0..255",
    ),
    "range of bytes": ("generic bytes", YXYX, DetectorOptions(), "--input-range: the input is uint8"),
    "mean of bytes": (
        "generic bytes",
        ModelOptions(box_format="yxyx", mean=(0, 0, 0)),
        DetectorOptions(),
        "--mean: the input is uint8",
    ),
    "std": (
        "generic",
        dataclasses.replace(YXYX, std=(0, 1, 1)),
        DetectorOptions(),
        "--std: expected three positive",
    ),
    "order of corners": ("generic", ModelOptions(input_range="0..1"), DetectorOptions(), "--box-format yxyx"),
    "format against the values": (
        "generic centres",
        ModelOptions(input_range="-1..1", box_format="yxyx"),
        DetectorOptions(),
        "they look like cxcywh",
    ),
    "x and y changed": (
        "generic pixels",
        YXYX,
        DetectorOptions(),
        "they look like xyxy",
    ),
    "centres": ("generic centres", ModelOptions(input_range="-1..1"), DetectorOptions(), "--box-format"),
    "unknown boxes": (
        "generic",
        dataclasses.replace(YXYX, boxes="rois"),
        DetectorOptions(),
        "--boxes rois: the outputs are",
    ),
    "unknown scores": (
        "generic",
        dataclasses.replace(YXYX, boxes="boxes", scores="x"),
        DetectorOptions(),
        "--scores x: the outputs are",
    ),
    "boxes and scores changed": (
        "generic",
        dataclasses.replace(YXYX, boxes="scores", scores="boxes"),
        DetectorOptions(),
        "expected boxes [B, N, 4]",
    ),
    "only boxes named": (
        "generic",
        dataclasses.replace(YXYX, boxes="boxes"),
        DetectorOptions(),
        "--boxes NAME --scores NAME",
    ),
    "classes": ("generic wide", YXYX, DetectorOptions(), "--label"),
    "variances alone": (
        "generic",
        dataclasses.replace(YXYX, variances=(0.1, 0.1, 0.2, 0.2)),
        DetectorOptions(),
        "--variances belongs to --anchors",
    ),
    "two inputs": ("two inputs", ModelOptions(), DetectorOptions(), "a detector has one: the picture"),
    "files": ("encoded", ModelOptions(), DetectorOptions(), "--input_type image_tensor"),
    "no signature": ("unsigned", ModelOptions(), DetectorOptions(), "has no signatures"),
    "grey": ("grey", ModelOptions(input_range="0..1"), DetectorOptions(), "the last side must be 3"),
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
    wanted = DetectorOptions(precision="int8", calibration=tmp_path / "pictures")
    assert "holds no pictures" in refusal(models("pad"), tmp_path / "out", detector=wanted)
    (tmp_path / "pictures" / "broken.jpg").write_bytes((DATA / "astronaut.jpg").read_bytes()[:5000])
    assert "remove it from" in refusal(models("pad"), tmp_path / "out", detector=wanted)


def test_a_folder_that_cannot_be_written_is_named(models: Models, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises((EdgeError, OSError), match="out"):
        build_one(models("pad"), out)
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
