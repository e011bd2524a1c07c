"""Classes, exporters and options: detectors of every family find the same faces."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import plan as plans
from convert.one_look import ONE_LOOK
from convert.options import ModelOptions
from convert.sample import sample_picture
from edge.boxes import iou
from tests.convert.building import (
    YXYX,
    Detectors,
    Models,
    build_one,
    check_figures,
    expected,
    open_on_cpu,
    refusal,
)
from tests.saved_models import NMS_IOU


@pytest.mark.parametrize("name", ["two", "background"])
def test_classes_without_names_are_asked_for(models: Models, tmp_path: Path, name: str) -> None:
    text = refusal(models(name), tmp_path / "out")
    assert "the classes 1, 2" in text
    assert "--label" in text


@pytest.mark.parametrize("name", ["two", "background"])
@pytest.mark.parametrize("labels", [("1",), ("2",), ("2", "1")])
def test_classes_are_chosen(models: Models, tmp_path: Path, name: str, labels: tuple[str, ...]) -> None:
    built = build_one(models(name), tmp_path, ModelOptions(labels=labels))
    detector = open_on_cpu(built.path)
    assert detector.session.contract.labels == ", ".join(sorted(labels))
    picture = sample_picture()
    boxes, _ = expected(models(name), picture, tuple(int(label) for label in labels))
    found = detector.detect(np.ascontiguousarray(picture[..., ::-1]), ONE_LOOK)
    overlaps = iou(boxes.astype(np.float32), found.boxes).max(axis=1)
    # Two classes are merged, so that one's box may suppress the other's.
    assert (overlaps > (0.9 if len(labels) == 1 else NMS_IOU)).mean() >= 0.9


def test_a_single_class_behind_a_background_needs_no_name(detectors: Detectors) -> None:
    assert open_on_cpu(detectors("one of two").path).session.contract.labels == "1"


def test_the_label_map_names_the_faces(models: Models, detectors: Detectors, tmp_path: Path) -> None:
    assert open_on_cpu(detectors("named").path).session.contract.labels == "Human face"
    told = detectors("named", ModelOptions(labels=("hat",)))
    assert open_on_cpu(told.path).session.contract.labels == "hat"
    text = refusal(models("named"), tmp_path / "out", ModelOptions(labels=("cat",)))
    assert text == "--label cat: this model has the classes 1 (hat), 2 (Human face)"


GENERIC: dict[str, tuple[str, ModelOptions]] = {
    "yxyx": ("generic", YXYX),
    "xyxy": ("generic pixels", ModelOptions(input_range="0..1", box_format="xyxy", normalized=False)),
    "guessed pixels": ("generic pixels", ModelOptions(input_range="0..1", box_format="xyxy")),
    "cxcywh": ("generic centres", ModelOptions(input_range="-1..1", box_format="cxcywh")),
    "bytes": ("generic bytes", ModelOptions(box_format="yxyx")),
    "mean and std": (
        "generic",
        ModelOptions(input_range="0..255", box_format="yxyx", mean=(0, 0, 0), std=(255, 255, 255)),
    ),
    "padded": ("generic", dataclasses.replace(YXYX, resize="pad")),
    "named outputs": ("generic", dataclasses.replace(YXYX, boxes="boxes", scores="scores")),
    "size of a free model": ("generic free", dataclasses.replace(YXYX, size=(64, 64))),
    "size that it has anyway": ("generic", dataclasses.replace(YXYX, size=(64, 64))),
    "wide": ("generic wide", dataclasses.replace(YXYX, labels=("1",))),
}


@pytest.mark.parametrize("case", GENERIC)
def test_models_of_no_known_exporter(detectors: Detectors, case: str) -> None:
    name, options = GENERIC[case]
    built = detectors(name, options)
    check_figures(built.parity.figures())
    kept = open_on_cpu(built.path).session.contract
    assert kept.family == plans.GENERIC
    assert kept.letterbox == ("pad-right-bottom" if options.resize == "pad" else "stretch")
    recorded = json.loads(kept.tools)["options"]
    assert recorded == json.loads(json.dumps(options.record()))


def test_all_ways_to_say_the_same_give_the_same_boxes(detectors: Detectors) -> None:
    """The models are one network behind different outputs; only the conversion could tell them apart."""
    picture = np.ascontiguousarray(sample_picture()[..., ::-1])
    found = []
    for case in ("yxyx", "xyxy", "guessed pixels", "cxcywh", "bytes", "mean and std"):
        name, options = GENERIC[case]
        found.append(open_on_cpu(detectors(name, options).path).detect(picture, ONE_LOOK))
    assert len(found[0].boxes) > 3
    for other in found[1:]:
        np.testing.assert_allclose(other.boxes, found[0].boxes, atol=0.05)
        np.testing.assert_allclose(other.scores, found[0].scores, atol=1e-3)


def test_anchors_from_a_file(detectors: Detectors, anchor_file: Path) -> None:
    """Offsets decoded with given anchors are the boxes of the same network with anchors in its graph."""
    options = ModelOptions(
        input_range="0..1", box_format="cycxhw", anchors=anchor_file, variances=(0.1, 0.1, 0.2, 0.2)
    )
    built = detectors("generic offsets", options)
    picture = np.ascontiguousarray(sample_picture()[..., ::-1])
    found = open_on_cpu(built.path).detect(picture, ONE_LOOK)
    wanted = open_on_cpu(detectors("generic", YXYX).path).detect(picture, ONE_LOOK)
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.05)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-3)
