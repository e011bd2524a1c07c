"""SavedModels and ONNX files are described."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import inspect
from convert import plan as plans
from convert.errors import ConvertError
from convert.options import ModelOptions
from tests.convert.building import YXYX, Detectors, Models


def inspected(path: Path, options: ModelOptions | None = None) -> dict[str, str]:
    return {fact.name: fact.text for fact in inspect.inspect(path, options or ModelOptions())}


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
