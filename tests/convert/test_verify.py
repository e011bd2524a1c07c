"""A finished detector is compared with its SavedModel again."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert.errors import ConvertError
from convert.options import ModelOptions
from convert.request import VerifyRequest
from convert.result import BuiltDetector
from convert.verify import verify
from edge.errors import DetectorError
from tests import saved_models
from tests.convert.building import YXYX, Detectors, Models, save_npy


def test_verify_takes_only_the_model_that_it_was_made_from(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path
) -> None:
    built = detectors("pad")
    assert verify(VerifyRequest(built.path, models("pad"), pictures, None))
    with pytest.raises(ConvertError, match="was made from a SavedModel of sha256"):
        verify(VerifyRequest(built.path, models("stretch"), pictures, None))
    with pytest.raises(ConvertError, match="is not a folder"):
        verify(VerifyRequest(built.path, models("pad"), tmp_path / "missing", None))


def test_verify_uses_the_options_of_the_build(
    models: Models, detectors: Detectors, tmp_path: Path, pictures: Path, anchor_file: Path
) -> None:
    options = ModelOptions(input_range="0..1", box_format="cycxhw", anchors=anchor_file)
    built = detectors("generic offsets", options)
    assert verify(VerifyRequest(built.path, models("generic offsets"), pictures, anchor_file))
    with pytest.raises(ConvertError, match="built with --anchors"):
        verify(VerifyRequest(built.path, models("generic offsets"), pictures, None))
    other = save_npy(tmp_path / "other.npy", saved_models.anchors(64, 64) * 0.9)
    with pytest.raises(ConvertError, match="give the same file"):
        verify(VerifyRequest(built.path, models("generic offsets"), pictures, other))


def test_verify_needs_no_anchors_where_the_build_had_none(
    models: Models, detectors: Detectors, pictures: Path, anchor_file: Path
) -> None:
    built = detectors("generic", YXYX)
    assert verify(VerifyRequest(built.path, models("generic"), pictures, None))
    with pytest.raises(ConvertError, match="built without --anchors"):
        verify(VerifyRequest(built.path, models("generic"), pictures, anchor_file))


def copied(built: BuiltDetector, folder: Path) -> Path:
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
        verify(VerifyRequest(path, models("pad"), pictures, None))


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
    result = verify(VerifyRequest(path, models("pad"), pictures, None))
    assert not result
    assert any(line.startswith("same canvas: ") for line in result.failures())
