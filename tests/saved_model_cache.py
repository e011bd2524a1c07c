"""The SavedModels of ``tests.saved_models``, each made once and shared by processes and runs.

They lie below ``build/`` in the repository, in a folder whose name is a hash of ``tests/saved_models.py`` and
TensorFlow's version, so that a change of either makes new ones. Nothing that the code under test builds is
kept there. Tests must not write into these folders.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "saved_models"


def saved_model(name: str) -> Path:
    """The folder of the SavedModel ``name``, a key of ``tests.saved_models.MAKERS``.

    TensorFlow is imported only when the model has to be made.
    """
    folder = CACHE / _key() / name.replace(" ", "_")
    if not folder.is_dir():
        _make(name, folder)
    return folder


def _key() -> str:
    source = (ROOT / "tests" / "saved_models.py").read_bytes()
    return hashlib.sha256(source + _tensorflow_version().encode()).hexdigest()[:20]


def _tensorflow_version() -> str:
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    raise RuntimeError("TensorFlow is not installed")


def _make(name: str, folder: Path) -> None:
    """Make it beside its place and rename it, as another process may make the same one now."""
    from tests.saved_models import MAKERS

    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        made = MAKERS[name](draft / folder.name)
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # otherwise the other process was first
                raise
    finally:
        shutil.rmtree(draft)
