"""The appliance with several detectors: all of them must have run, and reports say what was covered."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.audit import Options, audit_store
from edge.audit.report import figure_rows, result_json
from edge.boxes import NO_BOXES
from edge.config import Config, make_config
from edge.daemon.appliance import Appliance
from edge.daemon.load import LoadLevel
from edge.daemon.read_status import read_status
from edge.detection import known_face
from edge.detection.joint import Detectors
from edge.detection.known_sheets import Sheet
from edge.errors import DetectionError, KnownFaceError
from edge.frames import Pixels
from edge.mqtt.messages import box_state, camera_state
from edge.reasons import Reason
from edge.store.log_format import decode_line, log_files
from tests.daemon.playing import (
    NO_HOLD,
    Played,
    Truthful,
    check_accounts,
    config,
    force,
    is_whole,
    make,
    no_rest,
    no_secret,
    number_of,
    picture,
    play,
    run,
    stored,
)
from tests.joint import Answers, Rows, joint, member
from tests.models import GOOD, save, tiny

PLATE = (100, 90, 140, 104)
SECOND_SECRET = 240  # inside PLATE only
KNOWN = (181 / 8, 58 / 8, 270 / 8, 178 / 8)  # the known face on a canvas of 64x64


def with_plate(number: int) -> Pixels:
    pixels = picture(number)
    x1, y1, x2, y2 = PLATE
    pixels[y1:y2, x1:x2] = SECOND_SECRET
    return pixels


def plates(pixels: Pixels) -> Rows:
    return [(*PLATE, 0.9)] if (pixels == SECOND_SECRET).all(axis=2).any() else []


def both(**changes: Any) -> Detectors:
    return joint(Truthful(), Answers(plates, score_begin=0.35), **changes)


def play_plates(chosen: Config, detector: Any, frames: int = 6) -> Any:
    pipeline, metrics = make(chosen, [Played([with_plate(n) for n in range(frames)])], detector)
    run(pipeline)
    check_accounts(metrics)
    return pipeline, metrics


def records(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in log_files(folder) for line in path.read_bytes().splitlines()]
    return [record for record in map(decode_line, lines) if record["event"] == "image"]


@pytest.mark.parametrize("last_look", ["always", "off"])
@pytest.mark.parametrize("blur", [{}, NO_HOLD])
def test_what_each_finds_is_covered(tmp_path: Path, last_look: str, blur: dict[str, Any]) -> None:
    chosen = config(tmp_path, privacy={"last_look": last_look}, blur=blur)
    pipeline, metrics = play_plates(chosen, both())
    assert no_secret(tmp_path) == 6
    assert not any((image == SECOND_SECRET).all(axis=2).any() for image in stored(tmp_path))
    assert metrics.by_label("test") == {"face": 6, "plate": 6}
    assert metrics.count("regions", "test") == 12
    assert metrics.count("images_regrown", "test") == 0
    assert [record["labels"] for record in records(tmp_path)] == [{"face": 1, "plate": 1}] * 6
    text = metrics.text().decode()
    assert 'edge_regions_by_label_total{camera="test",label="plate"} 6.0' in text
    (camera,) = read_status(pipeline).cameras
    assert camera.regions_by_label == {"face": 6, "plate": 6}
    assert camera_state(camera, "")["regions_by_label"] == {"face": 6, "plate": 6}


def test_one_detector_leaves_records_and_series_as_they_were(tmp_path: Path) -> None:
    pipeline, metrics = play(config(tmp_path), 3, Truthful())
    assert all("labels" not in record for record in records(tmp_path))
    assert metrics.by_label("test") == {"face": metrics.count("regions", "test")}
    assert [d.check for d in read_status(pipeline).detectors] == ["known face"]


@pytest.mark.usefixtures("_no_sheets")
@pytest.mark.parametrize("boxes", [False, True])
def test_the_audit_counts_by_label(tmp_path: Path, boxes: bool) -> None:
    store = tmp_path / "store"
    path = tiny_file(tmp_path, "first", KNOWN)
    plate = tiny_file(tmp_path, "plate", (40, 40, 50, 50), labels="plate")
    appliance = play_appliance(
        {
            "store": {"folder": store},
            "audit": {"boxes": boxes},
            "privacy": {"check_visibility": False, "last_look": "off"},
            "detector": {"path": path, "provider": "cpu"},
            "detectors": {"car": {"path": plate}},
        }
    )
    first, second = appliance.status().detectors
    assert (first.label, first.region, first.check) == ("face", "head", "known face")
    assert (second.name, second.file, second.label) == ("car", "plate", "plate")
    assert (second.region, second.check) == ("box", "unchecked")
    assert box_state(appliance.status())["detectors"][1]["check"] == "unchecked"
    for record in records(store):
        assert record["labels"] == {"face": 1, "plate": 1}
        assert record.get("box_labels") == (["face", "plate"] if boxes else None)
    result = audit_store(store, Options(sample=0), lambda *_: None)
    assert result
    assert result.figures.cameras["test"].labels == {"face": 3, "plate": 3}
    assert ("regions, test", "face 3, plate 3") in figure_rows(result)
    assert result_json(result)["figures"]["cameras"]["test"]["labels"] == {"face": 3, "plate": 3}
    start = decode_line(log_files(store)[0].read_bytes().splitlines()[0])
    assert start["settings"]["detectors"]["car"]["sha256"] == second.sha256


def tiny_file(folder: Path, name: str, box: tuple[float, ...], **contract: Any) -> Path:
    # It finds faces so small that it needs one view of a frame, and of the known face.
    changes = {f"edge.{key}": value for key, value in contract.items()} | {"edge.smallest_face": "2"}
    text = {**GOOD.to_metadata(), **changes}
    return save(tiny([box, (0, 0, 1, 1)], [0.9, 0.0], metadata=text), folder / f"{name}.onnx")


@pytest.fixture
def _no_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors that give one answer to all pictures find the known face, but not on the sheets."""
    monkeypatch.setattr(known_face, "SHEETS", 1)
    empty = Sheet(np.zeros((64, 64, 3), np.uint8), NO_BOXES)
    monkeypatch.setattr(known_face, "draw_sheet", lambda *_: empty)


def play_appliance(table: dict[str, Any]) -> Appliance:
    chosen = make_config({"status": {"enabled": False}, **table}, "test")
    source, stop = Played([picture(n) for n in range(3)]), threading.Event()
    with Appliance(chosen, [source], stop) as appliance:
        while appliance.pipeline.tick(0.01):
            pass
    return appliance


@pytest.mark.usefixtures("_no_sheets")
def test_an_appliance_checks_the_examples(tmp_path: Path) -> None:
    example = tmp_path / "plate.png"
    cv2.imwrite(str(example), picture(0))
    first = tiny_file(tmp_path, "first", KNOWN)
    for box, good in (((40, 40, 50, 50), True), ((70, 70, 80, 80), False)):  # the other lies outside
        table = {
            "store": {"folder": tmp_path / "store"},
            "privacy": {"check_visibility": False, "last_look": "off"},
            "detector": {"path": first, "provider": "cpu"},
            "detectors": {"plate": {"path": tiny_file(tmp_path, "plate", box), "example": example}},
        }
        if good:
            assert play_appliance(table).status().detectors[1].check == "example"
        else:
            with pytest.raises(KnownFaceError, match=r"detector plate .*finds nothing on its example"):
                play_appliance(table)


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DetectionError(Reason.DETECTOR_TIMEOUT, "slow"), Reason.DETECTOR_TIMEOUT),
        (ValueError("gone"), Reason.DETECTOR_ERROR),
    ],
)
def test_a_frame_on_which_the_second_fails_was_not_checked(
    tmp_path: Path, on_failure: str, error: Exception, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(pixels: Pixels) -> Rows:
        if number_of(pixels) == 2:
            raise error
        return plates(pixels)

    chosen = config(tmp_path, privacy={"on_failure": on_failure, "last_look": "off"}, blur=NO_HOLD)
    _, metrics = play_plates(chosen, joint(Truthful(), Answers(answer)))
    counter = "frames_dropped" if on_failure == "drop" else "frames_covered_whole"
    assert metrics.count(counter, "test", reason) == 1
    images = {number_of(image): image for image in stored(tmp_path) if not is_whole(image)}
    assert sorted(images) == [0, 1, 3, 4, 5]
    assert len(stored(tmp_path)) == (5 if on_failure == "drop" else 6)
    assert f"{reason.value}: detector plate: " in caplog.text


def test_a_second_that_no_longer_finds_its_example_stops_the_box(tmp_path: Path) -> None:
    example = np.full((120, 160, 3), 7, np.uint8)
    blind = threading.Event()

    def answer(pixels: Pixels) -> Rows:
        if pixels.shape == example.shape and (pixels == 7).all():
            return [] if blind.is_set() else [(1, 1, 9, 9, 0.9)]
        return plates(pixels)

    first = member(Truthful(), both().kinds[0])
    detector = Detectors([first, member(Answers(answer), example=example)])
    assert known_face.check(detector) == pytest.approx(1)
    pipeline, metrics = make(config(tmp_path), [Played([with_plate(n) for n in range(6)])], detector)
    pipeline.start()
    while metrics.count("frames_captured", "test") < 6:
        pipeline.tick(0.01)
    blind.set()
    pipeline._next_known_face = 0.0
    pipeline.stop()
    assert "detector plate" in pipeline.known_face_error
    assert "detector plate" in read_status(pipeline).problems[1]
    assert stored(tmp_path) == []
    check_accounts(metrics)


def test_what_moves_is_covered_beside_what_each_finds(tmp_path: Path) -> None:
    chosen = config(tmp_path, privacy={"last_look": "off"}, blur=NO_HOLD)
    pipeline, metrics = make(chosen, [Played([with_plate(n) for n in range(4)])], both())
    force(pipeline, LoadLevel.MOTION_MASK)
    no_rest(pipeline)
    run(pipeline)
    check_accounts(metrics)
    assert no_secret(tmp_path) == metrics.count("images_written", "test") > 0
    assert not any((image == SECOND_SECRET).all(axis=2).any() for image in stored(tmp_path))
    assert metrics.by_label("test")["plate"] == metrics.count("images_written", "test")
