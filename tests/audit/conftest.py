"""Stores to audit, and the detector that searches their images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.audit import run as audit_run
from edge.detection.detector import Detector
from edge.detection.rescan import open_for_rescan
from edge.store import log_format
from tests.audit.boxes import (
    COUNTS,
    big_entry,
    run_box,
    small_store,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after three runs, with several log files. The last hash is in the file ``head`` beside it."""
    folder = tmp_path_factory.mktemp("template") / "store"
    for first in (1, 11, 21):
        box = run_box(folder, range(first, first + 3))
    (folder.parent / "head").write_text(box.audit_head)
    assert len(log_format.log_files(folder)) >= 4
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))


@pytest.fixture
def head(template: Path) -> str:
    return (template.parent / "head").read_text()


@pytest.fixture
def purged(tmp_path: Path) -> Path:
    """A store that removed images because of its quota."""
    box = small_store(tmp_path / "store", 1)
    box.usage.start()
    box.usage._thread.join()
    for number in range(1, 10):
        assert isinstance(box.write([big_entry(number)])[0], Path)
    box.record("stop", COUNTS)
    box.close()
    return tmp_path / "store"


@pytest.fixture(scope="module")
def rescan_detector() -> Detector:
    return open_for_rescan()


@pytest.fixture
def shared_detector(monkeypatch: pytest.MonkeyPatch, rescan_detector: Detector) -> None:
    """Open the detector once for all tests of a module."""
    monkeypatch.setattr(audit_run, "open_for_rescan", lambda path: rescan_detector)


@pytest.fixture
def little(tmp_path: Path) -> Path:
    run_box(tmp_path / "store", [1, 2])
    return tmp_path / "store"
