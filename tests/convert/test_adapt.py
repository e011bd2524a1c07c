"""Models that choose boxes themselves are cut or refused, and the face class is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import families
from convert import model as tensorflow_model
from convert.conversion import planned
from convert.errors import ConvertError
from convert.own_answer import OwnReader
from convert.parity import MIN_BOXES
from convert.passes.select import Head
from convert.sample import sample_picture, sample_pictures
from edge import boxes as geometry
from tests.convert import odd_models
from tests.convert.building import YXYX, build_one, open_on_cpu, refusal
from tests.convert.odd_models import Answer

FACE = dataclasses.replace(YXYX, labels=("1",))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            odd_models.preselected,
            "suppresses boxes itself (NonMaxSuppressionV3) for boxes, and that cannot be ",
        ),
        (odd_models.looped_by_class, "2 maxima over classes are in front of it, and one is expected"),
        (odd_models.offsets, "offsets from anchors that are not in the graph; export decode_predictions"),
        (odd_models.rows, "a list of detections, 7 numbers each"),
        (odd_models.maps, "maps of CenterNet's kind"),
        (odd_models.numbered, "says the class of each box, and not every class is a face; say which"),
        (odd_models.suppressed, "their names do not show which are faces; give --label"),
    ],
    ids=["chosen before", "loop by class", "offsets", "rows", "maps", "classes", "two classes"],
)
def test_each_kind_is_refused_by_name(tmp_path: Path, answer: Answer, reason: str) -> None:
    assert reason in refusal(odd_models.save(tmp_path / "model", answer), tmp_path / "out", YXYX)


def test_a_suppression_that_is_known_is_cut_off(tmp_path: Path) -> None:
    built = build_one(odd_models.save(tmp_path / "model", odd_models.suppressed), tmp_path / "out", FACE)
    assert built.parity.canvas.recall >= 0.995
    assert open_on_cpu(built.path).session.contract.nms_iou == pytest.approx(0.45)


def test_one_suppression_of_all_boxes_is_cut_off(tmp_path: Path) -> None:
    built = build_one(odd_models.save(tmp_path / "model", odd_models.chosen), tmp_path / "out", FACE)
    assert built.parity.canvas.recall >= 0.995
    assert open_on_cpu(built.path).session.contract.nms_iou == pytest.approx(0.5)


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_models.save(tmp_path_factory.mktemp("looped") / "model", odd_models.looped)


def test_a_loop_is_cut_off_and_compared_with_its_own_answer(looped: Path, tmp_path: Path) -> None:
    free = dataclasses.replace(FACE, box_format=None)
    parity = build_one(looped, tmp_path / "out", free).parity
    assert parity.canvas.recall >= 0.995
    assert parity.path.recall >= 0.99
    (built,) = (tmp_path / "out").glob("*.onnx")
    assert open_on_cpu(built).session.contract.nms_iou == pytest.approx(0.4)


def test_what_was_cut_off_gives_the_same_boxes_on_the_host(looped: Path) -> None:
    model = tensorflow_model.load(looped)
    cut = families.adapt(model, {}, FACE)
    assert cut.nms_iou == pytest.approx(0.4)
    compared = 0
    for _, picture in sample_pictures(64, 64):
        canvas = cv2.resize(picture, (64, 64))[None].astype(np.float32) / 255
        own, raw = model.call(canvas), cut.model.call(canvas)
        boxes, best = raw["boxes"][0], raw["scores"][0].max(axis=1)
        strong = best > 0.3
        kept = np.flatnonzero(strong)[geometry.nms(boxes[strong], best[strong], 0.4)]
        count = int(own["num_detections"][0])
        np.testing.assert_allclose(own["confidence"][0][:count], best[kept], atol=1e-5)
        np.testing.assert_allclose(own["boxes"][0][:count], boxes[kept], atol=1e-5)
        np.testing.assert_array_equal(own["labels"][0][:count], raw["scores"][0][kept].argmax(axis=1))
        compared += count
    assert compared >= MIN_BOXES


def test_boxes_that_are_not_those_before_the_suppression_are_found_out(looped: Path) -> None:
    model, _, plan = planned(tensorflow_model.load(looped), {}, FACE)
    picture = sample_picture()
    assert plan.own is not None
    assert isinstance(plan.head, Head)
    assert len(OwnReader(plan.own).faces(model, plan, picture)[0])
    wrong = dataclasses.replace(plan, head=dataclasses.replace(plan.head, unit=(60.0, 60.0)))
    with pytest.raises(ConvertError, match="none of those in front of its suppression"):
        OwnReader(plan.own).faces(model, wrong, picture)


def test_only_boxes_of_the_face_class_count(tmp_path: Path) -> None:
    model = tensorflow_model.load(odd_models.save(tmp_path / "model", odd_models.numbered))
    adapted = families.adapt(model, {}, FACE)
    picture = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    before, after = model.call(picture), adapted.model.call(picture)
    face = before["classes"] == 1
    assert 0 < face.sum() < face.size
    np.testing.assert_allclose(after["scores"], np.where(face, before["scores"], 0), atol=1e-6)
    np.testing.assert_allclose(after["boxes"], before["boxes"], atol=1e-6)
    assert adapted.options.labels == ()
    assert adapted.names == {0: "1"}


def test_of_several_signatures_one_must_be_named(tmp_path: Path) -> None:
    folder = odd_models.save(tmp_path / "model", odd_models.suppressed, ("embed", "detect"))
    with pytest.raises(ConvertError, match=r"detect, embed, and none is serving_default.*--signature"):
        tensorflow_model.load(folder)
    with pytest.raises(ConvertError, match=r"--signature other: the signatures of .* are detect"):
        tensorflow_model.load(folder, "other")
    assert tensorflow_model.load(folder, "detect").signature == "detect"
