"""A video with sound and personal metadata, and what edge blur makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.detection.detector import Detector
from tests.files.videos import PERSONAL, make, run


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames in 2 seconds, with sound and personal metadata."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    return make(path, sound=True, metadata=PERSONAL)


@pytest.fixture(scope="session")
def anonymized(plain: Path, tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> Path:
    path = tmp_path_factory.mktemp("anonymized") / "plain.mp4"
    result = run(plain, path, detector)
    assert (result.width, result.height, result.frames) == (640, 360, 20)
    assert result.regions >= sum(len(boxes) for boxes, _ in result.faces) >= 40
    return path
