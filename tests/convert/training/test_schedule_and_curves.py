"""The learning rate over a run, and its course as a picture and as events."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the train extra")

from convert.training import curves, examples
from convert.training.batches import Batch
from convert.training.datasets import LabelledObject, Picture
from convert.training.run_folder import RunFolder
from convert.training.schedule import LAST_SHARE, WARM_STEPS, Schedule
from edge.detection.detector import Detections

ROWS = [
    {"step": 20.0, "epoch": 0.5, "seconds": 3.0, "box": 2.0, "loss": 3.0, "rate": 1e-3},
    {"step": 20.0, "epoch": 0.5, "seconds": 4.0, "ap50": 0.25, "recall all at 0.1": 0.5},
    {"step": 40.0, "epoch": 1.0, "seconds": 6.0, "box": 1.0, "loss": 1.5, "rate": 2e-3},
]


def test_the_rate_rises_and_then_falls_to_its_last_share() -> None:
    schedule = Schedule(2000, None, 0.1)
    rates = [schedule.rate_at(step, 0.0) for step in range(2001)]
    top = int(np.argmax(rates))
    assert WARM_STEPS - 2 <= top <= WARM_STEPS
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    assert max(rates) <= 0.1
    assert rates[-1] == pytest.approx(0.1 * LAST_SHARE)


def test_steps_or_seconds_end_a_run_whichever_come_first() -> None:
    schedule = Schedule(100, 10.0, 0.1)
    assert schedule.progress(10, 9.0) == pytest.approx(0.9)
    assert schedule.progress(95, 1.0) == pytest.approx(0.95)
    assert schedule.progress(5, 11.0) == 1
    assert Schedule(100, None, 0.1).progress(50, 1e9) == pytest.approx(0.5)


def test_curves_are_a_picture(tmp_path: Path) -> None:
    for rows in (ROWS, ROWS[:1], []):
        file = tmp_path / "curves.png"
        curves.draw(rows, file, "tiny")
        drawn = np.asarray(cv2.imread(str(file)))
        assert drawn.shape[1] == 1320
        assert drawn.std() > 5


def test_the_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_log() == []
    folder.write_log(ROWS)
    assert folder.read_log() == ROWS
    assert folder.log.read_text().splitlines()[0].startswith("step,epoch,seconds,box,loss,rate,ap50")


def test_events_can_be_read_again(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="needs the convert extra")
    writer = curves.EventWriter(tmp_path)
    for row in ROWS:
        writer.write(row)
    (file,) = tmp_path.iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
    assert found["loss", 40] == pytest.approx(1.5)
    assert found["ap50", 20] == pytest.approx(0.25)
    assert {tag for tag, _ in found} == {"box", "loss", "rate", "ap50", "recall all at 0.1"}


def test_examples_show_frames_in_their_colours(tmp_path: Path) -> None:
    pixels = np.zeros((3, 64, 64, 3), np.uint8)
    boxes = np.tile(np.array([[[10, 10, 40, 50]]], np.float32), (3, 1, 1))
    kinds = np.array([[1], [2], [0]], np.int32)
    examples.draw_batch(Batch(pixels, boxes, kinds, {}), tmp_path / "batch.png")
    sheet = np.asarray(cv2.imread(str(tmp_path / "batch.png")))[..., ::-1]
    assert sheet.shape == (64, 256, 3)
    assert sheet[10, 20].tolist() == [60, 220, 60]
    assert sheet[10, 84].tolist() == [255, 170, 0]
    assert (sheet[:, 128:192] == 0).all()


def test_misses_are_shown_worst_first(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 255
    assert cv2.imwrite(str(path), picture)
    objects = tuple(LabelledObject(box) for box in ((20.0, 30.0, 60.0, 70.0), (140.0, 30.0, 180.0, 70.0)))
    found = Detections(np.array([[20, 30, 60, 70]], np.float32), np.array([0.9], np.float32))
    examples.draw_misses([Picture(path, objects)], [found], tmp_path / "misses.png")
    sheet = np.asarray(cv2.imread(str(tmp_path / "misses.png")))
    assert sheet.shape == (128, 128 * 8, 3)
    assert sheet[64, 64].min() > 200  # the white one was missed
    assert sheet[64, 192].max() < 50
