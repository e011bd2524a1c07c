"""Files that look like a SavedModel, and what ``open_source`` says when it refuses them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from convert.errors import ConvertError
from convert.source import open_source

WAY_OUT = "give a TensorFlow 2 SavedModel"


def saved_model(folder: Path) -> Path:
    """The files of a SavedModel; what is in them matters to TensorFlow only."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"\x08\x01graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(bytes(range(256)))
    (folder / "assets" / "words.txt").write_bytes(b"face\n")
    return folder


def zipped(path: Path, folder: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def refusal(path: Path) -> str:
    """What the error says."""
    with pytest.raises(ConvertError) as caught, open_source(path):
        pass
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def refusal_of_zip(path: Path) -> str:
    """As ``refusal``, where the text names the folder to which the zip was unpacked."""
    with pytest.raises(ConvertError) as caught, open_source(path):
        pass
    return str(caught.value)
