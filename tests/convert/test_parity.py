"""A detector that differs from TensorFlow is not published."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("tf2onnx", reason="needs the convert extra")
pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import build as building
from convert import comparison, families, parity, rewrite
from convert.errors import ParityError
from convert.optimize import optimize
from convert.options import DetectorOptions
from convert.plan import Plan
from tests.convert.building import Detectors, Models, build_all, build_one, expected, open_on_cpu, refusal


def unequal(models: Models, out: Path) -> str:
    with pytest.raises(ParityError) as caught:
        build_all(models("pad"), out, "cpu", "cuda")
    assert not list(out.iterdir())
    text = str(caught.value)
    assert "pad-cpu-fp32.onnx is not published" in text
    assert re.search(
        r"(astronaut|hopper|portrait|landscape|tiny|4K|model-size|mirrored): TensorFlow's box \[", text
    )
    return text


def test_limits_that_nothing_keeps(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"fp32": parity.Limits(iou=1.01, recall=1, score_difference=0)}
    monkeypatch.setattr(parity, "CANVAS_LIMITS", limits)
    assert "same canvas: " in unequal(models, tmp_path)


def test_a_wrong_normalisation_is_seen(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(exported: Any, head: Any, scale: Any, offset: Any, **options: Any) -> Any:
        return optimize(exported, head, tuple(s * 1.05 for s in scale), offset, **options)

    monkeypatch.setattr(rewrite, "optimize", wrong)
    assert "same canvas: " in unequal(models, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: dataclasses.replace(plan, head=dataclasses.replace(plan.head, box_format="xyxy")),
        lambda plan: dataclasses.replace(plan, head=dataclasses.replace(plan.head, unit=(60.0, 64.0))),
        lambda plan: dataclasses.replace(
            plan, preprocessing=dataclasses.replace(plan.preprocessing, letterbox="stretch")
        ),
        lambda plan: dataclasses.replace(
            plan, preprocessing=dataclasses.replace(plan.preprocessing, short_side=32)
        ),
    ],
    ids=["order", "unit", "letterbox", "short side"],
)
def test_a_wrong_plan_is_seen(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Plan], Plan]
) -> None:
    """Both sides of the tight comparison use the plan; the whole path does not."""
    make = families.make_plan
    monkeypatch.setattr(families, "make_plan", lambda *arguments: change(make(*arguments)))
    assert "whole path: " in unequal(models, tmp_path)


def test_one_bad_target_keeps_all_back(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def fail_later(*arguments: Any) -> Any:
        result = comparison.compare(*arguments)
        calls.append(result)
        return result if len(calls) == 1 else dataclasses.replace(result, problems=("made up",))

    monkeypatch.setattr(building, "compare", fail_later)
    with pytest.raises(ParityError, match=r"pad-tensorrt-fp32\.onnx is not published(.|\n)*made up"):
        build_all(models("pad"), tmp_path, "cpu", "tensorrt")
    assert not list(tmp_path.iterdir())


def test_an_older_detector_stays_when_the_new_one_fails(
    models: Models, detectors: Detectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = detectors("pad")
    shutil.copytree(built.path.parent, tmp_path, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(
        parity, "PATH_LIMITS", {"fp32": parity.Limits(iou=1.01, recall=1, score_difference=0)}
    )
    with pytest.raises(ParityError):
        build_one(models("pad"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    open_on_cpu(tmp_path / built.path.name)


def test_pictures_without_a_face_prove_nothing(models: Models, tmp_path: Path) -> None:
    import cv2

    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "grey.png"), np.full((64, 64, 3), 127, np.uint8))
    wanted = DetectorOptions(calibration=tmp_path / "pictures")
    folder = models("pad")
    assert not len(expected(folder, np.full((64, 64, 3), 127, np.uint8))[0]), "choose another grey"
    text = refusal(folder, tmp_path / "out", detector=wanted)
    assert "not enough to judge: TensorFlow finds nothing" in text
    assert "give pictures with faces (--calibration DIR)" in text
    assert not (tmp_path / "out").exists()


def test_a_few_boxes_prove_little() -> None:
    def parity_of(boxes: int) -> parity.Parity:
        match = parity.Match("picture", (0, 0, 9, 9), 0.9, 1, 0)
        alike = parity.Comparison(parity.CANVAS_LIMITS["fp32"], (match,) * boxes)
        return parity.Parity("fp32", 1, alike, alike)

    assert parity_of(parity.MIN_BOXES)
    assert "finds only 49 boxes" in parity_of(parity.MIN_BOXES - 1).failures()[0]
