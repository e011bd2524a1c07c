"""What is not a SavedModel is refused with what it is and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from convert.errors import ConvertError
from convert.source import open_source
from tests.convert.source_files import WAY_OUT, refusal, refusal_of_zip, saved_model

pytestmark = pytest.mark.usefixtures("scratch")


def keras_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, "{}")


def torch_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02.")


def write(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


OTHER_FILES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "model.tflite": (write(b"\x1c\0\0\0TFL3" + bytes(50)), "TensorFlow Lite", "export a SavedModel"),
    "renamed.bin": (write(b"\x1c\0\0\0TFL3" + bytes(50)), "TensorFlow Lite", "export a SavedModel"),
    "model.h5": (write(b"\x89HDF\r\n\x1a\n" + bytes(50)), "Keras HDF5", "model.export("),
    "weights.keras": (write(b"\x89HDF\r\n\x1a\n" + bytes(50)), "Keras HDF5", "model.export("),
    "model.keras": (keras_archive, "Keras 3", "model.export("),
    "keras.zip": (keras_archive, "Keras 3", "model.export("),
    "model.pt": (torch_archive, "PyTorch", "SavedModels"),
    "model.onnx": (write(b"\x08\x08\x12\x00"), "ONNX", "edge-convert inspect"),
    "frozen.pb": (write(b"\n\x05graph"), "frozen graph", "export the model again"),
    "graph.pbtxt": (write(b"node {}"), "frozen graph", "export the model again"),
    "notes.txt": (write(b"hello"), "not a model file that this program knows", WAY_OUT),
    "empty.bin": (write(b""), "not a model file that this program knows", WAY_OUT),
    "broken.keras": (write(b"PK\x03\x04 broken"), "damaged zip", "download it again"),
    "not.zip": (write(b"hello"), "not a model file", WAY_OUT),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_another_file_is_told_apart(tmp_path: Path, name: str) -> None:
    make, what, way_out = OTHER_FILES[name]
    make(tmp_path / name)
    text = refusal(tmp_path / name)
    assert what in text
    assert way_out in text


@pytest.mark.parametrize("name", [n for n in OTHER_FILES if n not in ("keras.zip", "saved_model.pb")])
def test_a_folder_with_another_file_says_which(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    make, what, way_out = OTHER_FILES[name]
    make(folder / name)
    text = refusal_of_zip(folder)
    assert way_out in text
    assert what in text or way_out == WAY_OUT


@pytest.mark.parametrize("name", ["checkpoint", "ckpt-0.index", "ckpt-12.data-00000-of-00001"])
def test_checkpoints_are_told_apart(tmp_path: Path, name: str) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / name).write_text("model_checkpoint_path: 'ckpt-12'")
    text = refusal(tmp_path / "faces")
    assert "training checkpoints" in text
    assert "exporter_main_v2.py" in text


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    assert f"holds no saved_model.pb; {WAY_OUT}" in refusal(tmp_path / "faces")


def test_an_empty_graph_says_so(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "faces")
    (folder / "saved_model.pb").write_bytes(b"")
    text = refusal(folder)
    assert "is empty" in text
    assert "get it again" in text


def test_a_graph_that_is_a_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "faces" / "saved_model.pb").mkdir(parents=True)
    refusal(tmp_path / "faces")


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    text = refusal(tmp_path / "missing.zip")
    assert "No such file" in text
    assert WAY_OUT in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.zip"
    path.write_bytes(b"PK")
    path.chmod(0)
    assert "Permission denied" in refusal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_an_unreadable_part_says_so(tmp_path: Path, name: str) -> None:
    folder = saved_model(tmp_path / "faces")
    (folder / name).chmod(0)
    with pytest.raises((ConvertError, PermissionError), match="Permission denied"), open_source(folder):
        pass


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    os.mkfifo(path)
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, timeout=5, check=False
    )
    assert "ConvertError" in done.stdout, done.stderr


OPEN = """
import sys
from pathlib import Path
from convert.source import open_source
try:
    with open_source(Path(sys.argv[1])):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""
