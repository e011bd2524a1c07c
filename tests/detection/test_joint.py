"""Several detectors as one: nothing that one of them finds is lost, and no failure goes unnoticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import make_config
from edge.detection import known_face
from edge.detection.detector import Detector, open_detector
from edge.detection.joint import AnyDetector, Detectors, kinds_of, labels_of, open_further
from edge.detection.kinds import FACE, Kind
from edge.detection.session import read_detector
from edge.errors import DetectionError, DetectorError, KnownFaceError
from edge.frames import Pixels
from edge.reasons import Reason
from tests.joint import PLATE, Answers, joint, member
from tests.models import GOOD, save, tiny

PICTURE = np.zeros((64, 64, 3), np.uint8)
KNOWN = (181 / 8, 58 / 8, 270 / 8, 178 / 8)  # the known face on a canvas of 64x64
NOWHERE = (0.0, 0.0, 1.0, 1.0)


def make(folder: Path, name: str, *rows: tuple[float, ...], **contract: Any) -> Path:
    """A detector that finds these boxes (on 64x64) with these scores in each picture."""
    table = np.array([*rows, (*NOWHERE, 0.0)], np.float32)
    text = replace(GOOD, **contract).to_metadata()
    return save(tiny(table[:, :4], table[:, 4], metadata=text), folder / f"{name}.onnx")


def open_all(folder: Path, **further: dict[str, Any]) -> AnyDetector:
    """A first detector that finds the known face, and further ones."""
    path = make(folder, "first", (*KNOWN, 0.9))
    config = make_config({"detector": {"path": path, "provider": "cpu"}, "detectors": further}, "test")
    return open_further(open_detector(read_detector(path), config.detector), config)


def several(folder: Path, **further: dict[str, Any]) -> Detectors:
    detector = open_all(folder, **further)
    assert isinstance(detector, Detectors)
    return detector


def test_one_detector_stays_alone(tmp_path: Path) -> None:
    detector = open_all(tmp_path)
    assert isinstance(detector, Detector)
    assert labels_of(detector) == ("face",)
    assert kinds_of(detector, detector.detect(PICTURE).numbers) == ()


boxes = st.tuples(
    st.floats(0, 50, width=32),
    st.floats(0, 50, width=32),
    st.floats(1, 13, width=32),
    st.floats(1, 13, width=32),
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
rows = st.lists(st.tuples(boxes, st.floats(0.125, 0.875, width=32)), max_size=4).map(
    lambda found: sorted(((*box, score) for box, score in found), key=lambda row: -row[4])
)


@given(first=rows, second=rows, third=rows)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_each_finds_alone_they_find_together(
    tmp_path: Path, first: Any, second: Any, third: Any
) -> None:
    alone = []
    for number, found in enumerate((first, second, third)):
        path = make(tmp_path, f"d{number}", *found, score_begin=0.5, score_continue=0.25 + number / 8)
        alone.append(open_detector(read_detector(path), make_config({}, "test").detector))
    together = joint(*alone).detect(PICTURE)
    for number, detector in enumerate(alone):
        own, mine = detector.detect(PICTURE), together.numbers == number
        np.testing.assert_array_equal(together.boxes[mine], own.boxes)
        np.testing.assert_array_equal(together.scores[mine], own.scores)


def test_the_same_box_of_two_detectors_stays_twice(tmp_path: Path) -> None:
    path = make(tmp_path, "plate", (*KNOWN, 0.6), labels="Plate")
    detector = several(tmp_path, car={"path": path})
    found = detector.detect(PICTURE)
    assert found.boxes.tolist() == [list(KNOWN), list(KNOWN)]
    assert found.numbers.tolist() == [0, 1]
    assert kinds_of(detector, found.numbers) == (FACE, PLATE)


def test_each_has_its_own_scores(tmp_path: Path) -> None:
    path = make(tmp_path, "plate", (1, 1, 9, 9, 0.45), (20, 20, 30, 30, 0.35), score_begin=0.4)
    detector = several(tmp_path, plate={"path": path, "score_continue": 0.2, "score_last_look": 0.45})
    found = detector.detect(PICTURE)
    assert found.numbers.tolist() == [0, 1, 1]
    assert found.at_least(detector.score_begin).numbers.tolist() == [0, 1]
    assert found.at_least(detector.score_last_look).numbers.tolist() == [0, 1]
    assert found.at_least(0.5).numbers.tolist() == [0]
    higher = several(tmp_path, plate={"path": path, "score_last_look": 0.6})
    assert higher.detect(PICTURE).at_least(higher.score_last_look).numbers.tolist() == [0]
    lower = several(tmp_path, plate={"path": path, "score_last_look": 0.1})  # below the score that begins
    assert lower.score_last_look.tolist() == pytest.approx([0.5, 0.4])


@pytest.mark.parametrize(
    ("section", "labels", "kind"),
    [
        ({}, "plate", Kind("plate", "box")),
        ({}, "License_Plate", Kind("license_plate", "box")),
        ({}, "1, 3", Kind("own", "box")),  # not one word: NAME
        ({"label": "car"}, "plate", Kind("car", "box")),
        ({"region": "head"}, "plate", Kind("plate", "head")),
        ({"label": "face"}, "face, veil", Kind("face", "head")),
        ({"region": "box"}, "face", Kind("face", "box")),
    ],
)
def test_label_and_region(tmp_path: Path, section: dict[str, Any], labels: str, kind: Kind) -> None:
    path = make(tmp_path, "further", labels=labels)
    detector = several(tmp_path, own={"path": path, **section})
    assert detector.kinds == (FACE, kind)
    assert labels_of(detector) == tuple(dict.fromkeys(["face", kind.label]))


def test_times_are_those_of_blur_unless_they_are_set(tmp_path: Path) -> None:
    path = make(tmp_path, "further")
    detector = several(
        tmp_path, a={"path": path}, b={"path": path, "hold_before_frames": 0, "hold_after_seconds": 3}
    )
    times = [(m.hold_before_frames, m.hold_after_seconds) for m in detector.members]
    assert times == [(10, 1.0), (10, 1.0), (0, 3.0)]


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        (DetectionError(Reason.DETECTOR_TIMEOUT, "slow"), Reason.DETECTOR_TIMEOUT, "detector plate: slow"),
        (RuntimeError("gone"), Reason.DETECTOR_ERROR, "detector plate: RuntimeError: gone"),
    ],
)
def test_the_failure_of_one_fails_them_all_and_names_it(error: Exception, reason: Reason, text: str) -> None:
    def fail(pixels: Pixels) -> Any:
        raise error

    with pytest.raises(DetectionError, match=re.escape(text)) as caught:
        joint(Answers(lambda _: [(*KNOWN, 0.9)]), Answers(fail)).detect(PICTURE)
    assert caught.value.reason == reason


def test_an_overflow_of_the_second_is_one_of_all(tmp_path: Path) -> None:
    full = save(tiny([KNOWN], [0.9]), tmp_path / "full.onnx")
    with pytest.raises(DetectionError, match="detector plate: all 1 candidates") as caught:
        several(tmp_path, plate={"path": full}).detect(PICTURE)
    assert caught.value.reason == Reason.OVERFLOW


def broken_hash(folder: Path) -> dict[str, Any]:
    path = make(folder, "plate")
    path.with_suffix(".sha256").write_text("0" * 64)
    return {"path": path}


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (lambda f: {"path": f / "none.onnx"}, r"detectors\.plate: .*none.*correct detectors\.plate\.path"),
        (broken_hash, r"detectors\.plate: .*sha256"),
        (
            lambda f: {"path": make(f, "plate"), "canvas": "640x384"},
            r"detectors\.plate: .*fixed size 64x64, but detectors\.plate\.canvas is 640x384",
        ),
        (
            lambda f: {"path": make(f, "plate"), "example": f / "none.png"},
            r"detectors\.plate\.example: .*none",
        ),
    ],
)
def test_a_detector_that_cannot_be_opened_is_named(
    tmp_path: Path, section: Callable[[Path], dict[str, Any]], text: str
) -> None:
    with pytest.raises(DetectorError, match=text):
        open_all(tmp_path, plate=section(tmp_path))


def test_an_example_must_show_something(tmp_path: Path) -> None:
    example = tmp_path / "plate.png"
    cv2.imwrite(str(example), PICTURE)
    good = make(tmp_path, "good", (1, 1, 9, 9, 0.6))
    blind = make(tmp_path, "blind", (1, 1, 9, 9, 0.4))
    unchecked = several(tmp_path, plate={"path": blind})
    assert known_face.check(unchecked) == pytest.approx(1)
    assert known_face.check(several(tmp_path, plate={"path": good, "example": example})) == pytest.approx(1)
    checked = several(tmp_path, plate={"path": blind, "example": example})
    example.unlink()  # it was read at the start
    with pytest.raises(KnownFaceError, match=r"detector plate .*nothing on its example.*0\.40.*0\.50"):
        known_face.check(checked)


def test_the_first_must_find_the_known_face(tmp_path: Path) -> None:
    blind, seeing = Answers(lambda _: []), Answers(lambda _: [(181, 58, 270, 178, 0.9)])
    assert known_face.check(joint(seeing, blind)) == pytest.approx(1)
    with pytest.raises(KnownFaceError, match="does not find the known face"):
        known_face.check(joint(blind, seeing))


def test_a_detector_that_fails_on_its_example_is_not_trusted() -> None:
    def fail(pixels: Pixels) -> Any:
        raise DetectionError(Reason.DETECTOR_TIMEOUT, "slow")

    with pytest.raises(KnownFaceError, match="plate failed on its example: slow"):
        known_face.check_example(member(Answers(fail), example=PICTURE))
