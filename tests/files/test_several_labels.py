"""``edge blur`` with several detectors: what each finds is covered, and counted under its label."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from edge.commands.blur import blur_config, blur_files
from edge.commands.doctor import examine
from edge.config import Config, make_config
from edge.errors import ConfigError, DetectorError, KnownFaceError, StoreError
from edge.files import batch
from edge.pictures import read_picture
from tests.clips import write_clip
from tests.models import GOOD, save, tiny

KNOWN = (181 / 8, 58 / 8, 270 / 8, 178 / 8)  # the known face on a canvas of 64x64
PLATE = (40.0, 40.0, 56.0, 48.0)


def detector_file(folder: Path, name: str, *boxes: tuple[float, ...], labels: str = "face") -> Path:
    """It finds the same boxes in every picture, also in a covered one; there they do not count."""
    rows = np.array([*boxes, (0, 0, 1, 1)], np.float32)
    scores = [0.9] * len(boxes) + [0.0]
    text = {**GOOD.to_metadata(), "edge.labels": labels, "edge.score_last_look": "0.95"}
    return save(tiny(rows, scores, metadata=text), folder / f"{name}.onnx")


def config(*detectors: str | Path, **changes: Any) -> Config:
    values: dict[str, Any] = {
        "fill": "solid",
        "region": "head",
        "top_fraction": 0.6,
        "allow_reidentifiable": False,
        "provider": "cpu",
        "smallest_face": 20,
        "any_orientation": False,
        "score": None,
    }
    return blur_config(detectors=[str(each) for each in detectors], **(values | changes))


def blur(folder: Path, chosen: Config, *, resume: bool = False) -> str:
    output = io.StringIO()
    options = batch.Options(resume=resume, convert=False, keep_audio=False, quality=95, workers=1)
    report, console = folder / "report.json", Console(file=output, width=200)
    assert blur_files([folder / "in"], folder / "out", chosen, options, report, console)
    return output.getvalue()


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(3).integers(0, 120, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "a.png")
    return tmp_path


def test_each_label_is_covered_and_counted(inputs: Path) -> None:
    write_clip(inputs / "in" / "clip.mp4", frames=2, width=64, height=64)
    first = detector_file(inputs, "first", KNOWN)
    second = detector_file(inputs, "second", PLATE, (2.0, 50.0, 12.0, 60.0), labels="plate")
    assert "9 regions covered (face 3, plate 6)" in blur(inputs, config(first, second))
    pixels = read_picture(inputs / "out" / "a.png").pixels
    x1, y1, x2, y2 = map(round, PLATE)
    assert (pixels[y1:y2, x1:x2] == 128).all()
    report = json.loads((inputs / "report.json").read_text())
    assert report["categories"] == [
        {"id": 1, "name": "face", "supercategory": "person"},
        {"id": 2, "name": "plate", "supercategory": "object"},
    ]
    assert [a["category_id"] for a in report["annotations"]] == [1, 2, 2] * 3
    assert report["annotations"][1]["bbox"] == [40, 40, 16, 8]


def test_resume_continues_a_report_of_the_same_labels_alone(inputs: Path) -> None:
    first = detector_file(inputs, "first", KNOWN)
    second = detector_file(inputs, "second", PLATE, labels="plate")
    blur(inputs, config(first, second))
    before = (inputs / "report.json").read_text()
    assert "1 done before" in blur(inputs, config(first, second), resume=True)
    assert (inputs / "report.json").read_text() == before
    with pytest.raises(StoreError, match="its labels are face, plate, but those of this run are face"):
        blur(inputs, config(first), resume=True)
    other = detector_file(inputs, "other", KNOWN)  # a second detector of faces has no category of its own
    output = blur(inputs, config(first, other))
    assert "2 regions covered, " in output
    assert [a["category_id"] for a in json.loads((inputs / "report.json").read_text())["annotations"]] == [
        1,
        1,
    ]
    assert "1 done before" in blur(inputs, config(first), resume=True)


def test_a_category_that_does_not_exist_is_no_report(inputs: Path) -> None:
    first = detector_file(inputs, "first", KNOWN)
    blur(inputs, config(first))
    report = json.loads((inputs / "report.json").read_text())
    report["annotations"][0]["category_id"] = 2
    (inputs / "report.json").write_text(json.dumps(report))
    with pytest.raises(StoreError, match=r"annotations\[0\]: its category does not exist"):
        blur(inputs, config(first), resume=True)


def test_the_first_must_find_the_known_face_and_each_must_open(inputs: Path) -> None:
    first = detector_file(inputs, "first", KNOWN)
    second = detector_file(inputs, "second", PLATE, labels="plate")
    with pytest.raises(KnownFaceError, match="does not find the known face"):
        blur(inputs, config(second, first))
    with pytest.raises(DetectorError, match=r"detectors\.none: .*none\.onnx"):
        blur(inputs, config(first, inputs / "none.onnx"))
    assert not (inputs / "out").exists()


def test_options_become_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = config("face", "a/Plate.onnx", "b/plate.onnx", "odd name.onnx", "face", score=0.4)
    assert (chosen.detector.name, chosen.detector.path) == ("face", None)
    assert (chosen.detector.canvas, chosen.detector.score_begin) == (None, 0.4)
    names = {name: further.path or further.name for name, further in chosen.detectors.items()}
    assert names == {
        "plate": Path("a/Plate.onnx"),
        "detector3": Path("b/plate.onnx"),
        "detector4": Path("odd name.onnx"),
        "face": "face",
    }
    assert chosen.detectors["plate"].completed(chosen.detector).score_begin is None
    chosen = config("x.onnx", smallest_face=9, any_orientation=True)
    assert (chosen.privacy.smallest_face_pixels, chosen.privacy.any_orientation) == (9, True)
    monkeypatch.setenv("EDGE_DETECTOR__PATH", "y.onnx")
    assert config().detector.path == Path("y.onnx")
    with pytest.raises(ConfigError, match="leave one of them out"):
        config("face")


def test_doctor_looks_at_each_detector(inputs: Path) -> None:
    plate = detector_file(inputs, "plate", PLATE, labels="plate")
    further = {
        "good": {"path": plate, "example": inputs / "in" / "a.png"},
        "unchecked": {"path": plate},
        "missing": {"path": inputs / "none.onnx"},
        "blind": {"path": detector_file(inputs, "blind"), "example": inputs / "in" / "a.png"},
    }
    first = {"path": detector_file(inputs, "first", KNOWN), "provider": "cpu"}
    table = {"detector": first, "detectors": further, "store": {"folder": inputs / "store"}}
    rows = {check.name: check for check in examine(make_config(table, "test"))}
    levels = {name: check.level for name, check in rows.items() if name.startswith("detector ")}
    assert levels == {
        "detector file": "ok",
        "detector good": "ok",
        "detector good, provider": "ok",
        "detector good, example": "ok",
        "detector unchecked": "ok",
        "detector unchecked, provider": "ok",
        "detector unchecked, example": "warn",
        "detector missing": "fail",
        "detector blind": "ok",
        "detector blind, provider": "ok",
        "detector blind, example": "fail",
    }
    assert "set detectors.unchecked.example" in rows["detector unchecked, example"].way_out
    assert "finds nothing on its example" in rows["detector blind, example"].found
