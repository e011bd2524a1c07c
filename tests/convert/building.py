"""Builds in this process, and what they give, for several test modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

import tensorflow as tf

from convert.build import build
from convert.options import DetectorOptions, ModelOptions
from convert.request import BuildRequest
from convert.result import BuiltDetector
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.errors import EdgeError

Models = Callable[[str], Path]
Detectors = Callable[..., BuiltDetector]
YXYX = ModelOptions(input_range="0..1", box_format="yxyx")


def build_all(path: Path, out: Path, *targets: str) -> tuple[BuiltDetector, ...]:
    """Detectors for several targets, without further options."""
    return build(BuildRequest(path, out, detector=DetectorOptions(targets))).detectors


def build_one(
    path: Path, out: Path, model: ModelOptions | None = None, detector: DetectorOptions | None = None
) -> BuiltDetector:
    request = BuildRequest(path, out, model or ModelOptions(), detector or DetectorOptions())
    result = build(request)
    assert len(result.detectors) == 1
    return result.detectors[0]


def refusal(
    path: Path, out: Path, model: ModelOptions | None = None, detector: DetectorOptions | None = None
) -> str:
    """The text of the error; nothing is published."""
    with pytest.raises(EdgeError) as caught:
        build(BuildRequest(path, out, model or ModelOptions(), detector or DetectorOptions()))
    assert not out.exists() or not list(out.iterdir())
    return str(caught.value)


def open_on_cpu(path: Path) -> Detector:
    """The detector as the box opens it."""
    return open_detector(read_detector(path), DetectorConfig(path=path, provider="cpu"))


def check_figures(figures: dict[str, Any]) -> None:
    assert figures["ok"]
    assert figures["pictures"] >= 2
    for name in ("same_canvas", "whole_path"):
        part = figures[name]
        assert part["ok"]
        assert part["boxes"] > 10
        assert part["recall_limit"] <= part["recall"] <= 1
        assert 0 <= part["largest_score_difference"] <= part["score_difference_limit"]


def expected(folder: Path, picture: Any, classes: tuple[int, ...] = (1,)) -> tuple[Any, Any]:
    """TensorFlow's own boxes (x1 y1 x2 y2, pixels) and scores, without a line of ``convert``."""
    out = tf.saved_model.load(str(folder)).signatures["serving_default"](input_tensor=picture[None])
    boxes, scores, found = (out[f"detection_{key}"].numpy()[0] for key in ("boxes", "scores", "classes"))
    strong = (scores >= 0.3) & np.isin(found, classes)
    height, width = picture.shape[:2]
    return boxes[strong][:, [1, 0, 3, 2]] * [width, height, width, height], scores[strong]


def save_npy(path: Path, array: Any) -> Path:
    np.save(path, array, allow_pickle=True)
    return path
