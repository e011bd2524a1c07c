"""Fixtures for the tests of the conversion."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from convert.options import ModelOptions
from convert.result import BuiltDetector
from edge.pictures import read_picture
from tests.conftest import DATA
from tests.saved_model_cache import saved_model

if TYPE_CHECKING:
    from tests.convert.building import Detectors, Models

pytest.register_assert_rewrite(
    *(f"tests.convert.{name}" for name in ("building", "heads", "nets", "small_detector", "source_files"))
)


@pytest.fixture(scope="session")
def models() -> Models:
    """SavedModels by their names in ``tests.saved_models``."""
    return saved_model


@pytest.fixture(scope="session")
def detectors(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    """Detectors by the name of their SavedModel and their options, each built once per process."""
    from tests.convert.building import build_one

    finished: dict[tuple[str, str], BuiltDetector] = {}

    def build(name: str, options: ModelOptions | None = None) -> BuiltDetector:
        key = (name, str(options or ModelOptions()))
        if key not in finished:
            finished[key] = build_one(models(name), tmp_path_factory.mktemp("detectors"), options)
        return finished[key]

    return build


@pytest.fixture(scope="session")
def anchor_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The anchors of the SavedModel "generic offsets"."""
    from tests import saved_models

    path = tmp_path_factory.mktemp("anchors") / "anchors.npy"
    np.save(path, saved_models.anchors(64, 64).astype(np.float32))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two shipped portraits, and both mirrored."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("astronaut", "hopper"):
        portrait = read_picture(DATA / f"{name}.jpg").pixels
        assert cv2.imwrite(str(folder / f"{name} mirrored.png"), portrait[:, ::-1])
    for name in ("astronaut.jpg", "hopper.jpg"):
        shutil.copy(DATA / name, folder)
    return folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which every test of a source must leave empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
