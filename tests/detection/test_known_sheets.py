"""The sheets of known faces: healthy detectors find them with room to spare, and sick ones are found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import boxes as geometry
from edge.config import DetectorConfig
from edge.config.detector import ShippedName
from edge.detection.detector import Detector, open_detector
from edge.detection.known_face import MIN_SHEET_IOU, KnownFaces
from edge.detection.known_sheets import SHEETS, draw_sheet
from edge.detection.session import read_detector
from edge.detection.shipped import FILES
from edge.detection.views import Search
from edge.errors import KnownFaceError
from tests.models import GOOD, save, tiny

SMALLEST = 20
Answer = tuple[Any, Any]
Sickness = Callable[[Any, Any, Any], Answer]
"""From the canvas, boxes and scores of a run to what a sick detector answers."""


def opened(name: ShippedName, canvas: str | None) -> Detector:
    config = DetectorConfig.model_validate({"provider": "cpu", "threads": 1, "name": name, "canvas": canvas})
    return open_detector(read_detector(None, name), config)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("canvas", "smallest"), [(None, 8), (None, 20), (None, 60), ("640x384", 20)])
def test_shipped_detectors_find_all_faces_with_room_to_spare(
    name: ShippedName, canvas: str | None, smallest: int
) -> None:
    """Their scores are a seventh above the least that counts, or more, and each sheet is one view."""
    detector = opened(name, canvas)
    search, size = Search(smallest, least_side=1), detector.shown_whole(smallest)
    for number in range(SHEETS):
        sheet = draw_sheet(number, *size, smallest)
        assert len(sheet.faces) == 6
        assert len(detector.views(*size, search)) == 1
        found = detector.detect(sheet.pixels, search).at_least(detector.score_begin * 8 / 7)
        assert geometry.iou(sheet.faces, found.boxes).max(axis=1).min() > MIN_SHEET_IOU + 0.07
    faces = KnownFaces(detector, smallest)
    faces.check_all()
    faces.check_all()  # and again as before


def test_from_one_sheet_to_the_next_all_faces_change_their_places() -> None:
    sheets = [draw_sheet(number, 800, 480, SMALLEST) for number in range(SHEETS)]
    widths = [(sheet.faces[:, 2] - sheet.faces[:, 0]).round() for sheet in sheets]
    assert all(sorted(width.tolist()) == [20, 20, 20, 20, 34, 60] for width in widths)
    for sheet, following in zip(sheets, [*sheets[1:], sheets[0]], strict=True):
        assert geometry.iou(sheet.faces, following.faces).max() < MIN_SHEET_IOU
        assert not np.array_equal(sheet.pixels, following.pixels)


def moved(x: float, y: float) -> Sickness:
    """By so many pixels of the frame; the canvas is smaller by the scale of the finest view."""
    return lambda canvas, boxes, scores: (boxes + np.array([x, y, x, y], np.float32) * 0.6, scores)


def blind_within(x1: float, y1: float, x2: float, y2: float) -> Sickness:
    def answer(canvas: Any, boxes: Any, scores: Any) -> Answer:
        height, width = canvas.shape[:2]
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2 / np.array([[width], [height]])
        lost = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        weak = np.where(lost, 0, scores)
        order = np.argsort(-weak, kind="stable")
        return boxes[order], weak[order].astype(np.float32)

    return answer


class Stuck:
    """An accelerator that is right for one picture only."""

    def __init__(self) -> None:
        self.kept: Answer | None = None

    def __call__(self, canvas: Any, boxes: Any, scores: Any) -> Answer:
        self.kept = self.kept or (boxes, scores)
        return self.kept


SICK: dict[str, Callable[[], Sickness]] = {
    "25 pixels to the right": lambda: moved(25, 0),
    "25 pixels up": lambda: moved(0, -25),
    "25 pixels askew": lambda: moved(18, 18),
    "halved scores": lambda: lambda canvas, boxes, scores: (boxes, scores / 2),
    "no scores": lambda: lambda canvas, boxes, scores: (boxes, scores * 0),
    "blind on the left": lambda: blind_within(0, 0, 0.5, 1),
    "blind on the right": lambda: blind_within(0.5, 0, 1, 1),
    "blind above": lambda: blind_within(0, 0, 1, 0.5),
    "blind below": lambda: blind_within(0, 0.5, 1, 1),
    **{
        f"blind in corner {x} {y}": lambda x=x, y=y: blind_within(x, y, x + 0.25, y + 0.25)  # type: ignore[misc]
        for x in (0, 0.75)
        for y in (0, 0.75)
    },
    "stuck": Stuck,
}


@pytest.fixture(scope="module", params=FILES)
def patient(request: pytest.FixtureRequest) -> Detector:
    return opened(request.param, None)


@pytest.fixture
def fall_ill(patient: Detector, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sickness], None]:
    real = patient.session.run

    def fall_ill(sickness: Sickness) -> None:
        monkeypatch.setattr(patient.session, "run", lambda canvas: sickness(canvas, *real(canvas)))

    return fall_ill


@pytest.mark.parametrize("name", SICK)
def test_a_detector_that_falls_ill_is_found_out(
    patient: Detector, fall_ill: Callable[[Sickness], None], name: str
) -> None:
    """At the next check; what is stuck, at the one after that, where it got stuck on a sheet. One that is ill
    from the start does not start."""
    faces = KnownFaces(patient, SMALLEST)
    faces.check_all()
    fall_ill(SICK[name]())
    if name == "stuck":
        faces.check()
    for _ in range(SHEETS - 1):
        with pytest.raises(KnownFaceError, match=r"does not find \d of 6 known faces"):
            faces.check()
    fall_ill(SICK[name]())
    with pytest.raises(KnownFaceError):
        KnownFaces(patient, SMALLEST).check_all()


def test_a_detector_that_states_no_smallest_face_is_asked_for_what_it_found_first(tmp_path: Path) -> None:
    """Here it is one face of each sheet; one that finds none of them does not start."""
    side, size = 512, int(512 * SMALLEST / 14)
    faces = [draw_sheet(number, size, size, SMALLEST).faces[0] * (side / size) for number in range(SHEETS)]
    metadata = {**GOOD.to_metadata(), "edge.smallest_face": "0"}
    for boxes, good in ((faces, True), ([np.array([0, 500, 10, 510])], False)):
        model = tiny([*boxes, [0, 0, 1, 1]], [0.9] * len(boxes) + [0.01], side=side, metadata=metadata)
        path = save(model, tmp_path / f"{good}.onnx")
        detector = open_detector(read_detector(path), DetectorConfig(provider="cpu"))
        known = KnownFaces(detector, SMALLEST)
        if good:
            known.check_all()
            known.check_all()
            detector.score_begin = 0.95
        with pytest.raises(KnownFaceError):
            known.check()


def test_a_canvas_without_room_for_a_face_leaves_it_out() -> None:
    assert [len(draw_sheet(0, side, side, SMALLEST).faces) for side in (40, 90, 400)] == [0, 1, 5]
