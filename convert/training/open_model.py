"""A run, a SavedModel or a detector file, as one kind of function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from convert.graphs import Array
from convert.one_look import own_scale
from convert.training.detect import LOWEST_SCORE, NetworkDetector
from convert.training.overflow import detect_at_lowest
from convert.training.recipes import RECIPES
from convert.training.run_folder import RunFolder
from convert.training.saved_detector import open_saved_model
from edge.config import DetectorConfig
from edge.detection.detector import Detections, open_detector
from edge.detection.session import read_detector

Detect = Callable[[Array], Detections]
"""From a picture, uint8 ``[H, W, 3]`` RGB, to boxes in its pixels, best first."""
SCORES = (LOWEST_SCORE, 0.05, 0.1, 0.2, 0.4)


def open_model(path: Path) -> Detect:
    """What finds objects, for a run, a SavedModel or a detector. Raises ConvertError, DetectorError."""
    if path.suffix == ".onnx":
        return _onnx(path)
    if (path / "run.json").is_file():
        folder = RunFolder(path)
        recipe = RECIPES[folder.read_asked().model]
        network = recipe.make_network()
        network.set_weights(folder.read_weights())
        return NetworkDetector(network, recipe).detect
    return open_saved_model(path)


def _onnx(path: Path) -> Detect:
    """A detector on pictures at their own scale or that of its canvas, with the lowest threshold that it
    allows."""
    config = DetectorConfig(path=path, provider="cpu", timeout_seconds=600)
    detector = open_detector(read_detector(path), config)
    search = own_scale(detector)

    def detect(picture: Array) -> Detections:
        return detect_at_lowest(detector, np.ascontiguousarray(picture[..., ::-1]), SCORES, search)[0]

    return detect
