"""Models that choose boxes themselves are cut or refused, and the face class is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import families
from convert import model as tensorflow_model
from convert.errors import ConvertError
from tests.convert import odd_models
from tests.convert.building import YXYX, build_one, open_on_cpu, refusal
from tests.convert.odd_models import Answer

FACE = dataclasses.replace(YXYX, labels=("1",))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (odd_models.chosen, "the graph chooses and suppresses boxes itself (NonMaxSuppressionV3)"),
        (odd_models.rows, "a list of detections, 7 numbers each"),
        (odd_models.maps, "maps of CenterNet's kind"),
        (odd_models.numbered, "says the class of each box, and not every class is a face; say which"),
        (odd_models.suppressed, "their names do not show which are faces; give --label"),
    ],
    ids=["suppressed by class", "rows", "maps", "classes", "two classes"],
)
def test_each_kind_is_refused_by_name(tmp_path: Path, answer: Answer, reason: str) -> None:
    assert reason in refusal(odd_models.save(tmp_path / "model", answer), tmp_path / "out", YXYX)


def test_a_suppression_that_is_known_is_cut_off(tmp_path: Path) -> None:
    built = build_one(odd_models.save(tmp_path / "model", odd_models.suppressed), tmp_path / "out", FACE)
    assert built.parity.canvas.recall >= 0.995
    assert open_on_cpu(built.path).session.contract.nms_iou == pytest.approx(0.45)


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
