"""``python -m benchmarks scenes`` in a tiny form; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("matplotlib")

from benchmarks.scenes import packing, tools
from benchmarks.scenes import run as scenes
from benchmarks.scenes.detectors import Wanted
from benchmarks.scenes.judge import changed_beside, faces_left
from benchmarks.scenes.page import as_markdown, plot
from benchmarks.scenes.result import ScenesResult
from convert.training.datasets import DataSet, DatasetError, LabelledObject, Picture
from edge import blur
from edge.config import BlurConfig
from edge.frames import Pixels, RawFrame
from edge.pictures import read_picture
from tests.conftest import DATA

FACE = (181, 58, 270, 178)
"""In the shipped portrait (edge/data/PROVENANCE.md)."""


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The shipped portrait at four sizes, each half of them masked by its label."""
    folder = tmp_path_factory.mktemp("portraits")
    pixels = read_picture(DATA / "astronaut.jpg").pixels
    pictures = []
    for number, scale in enumerate((0.2, 0.3, 0.5, 1.0)):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        x1, y1, x2, y2 = (side * scale for side in FACE)
        pictures.append(Picture(path, (LabelledObject((x1, y1, x2, y2), masked=number % 2 == 0),), "eval"))
    return DataSet("portraits", "jsonl", tuple(pictures))


def test_faces_keep_their_pixels_and_their_boxes(portraits: DataSet) -> None:
    made, left_out = packing.pack(portraits.pictures, 700, 600)
    assert left_out == []
    assert sum(len(scene.faces) for scene in made) == 4
    pixels = {face.box: read_picture(p.path).pixels for p in portraits.pictures for face in p.objects}
    for scene in made:
        assert scene.pixels.shape == (600, 700, 3)
        for box, face in zip(scene.boxes, scene.faces, strict=True):
            x1, y1, x2, y2 = np.round(box).astype(int).tolist()
            left, top = np.round(box[:2] - np.array(face.box[:2])).astype(int).tolist()
            cut = pixels[face.box][y1 - top : y2 - top, x1 - left : x2 - left]
            np.testing.assert_array_equal(scene.pixels[y1:y2, x1:x2], cut)
    _, left_out = packing.pack(portraits.pictures, 300, 300)
    assert left_out == [portraits.pictures[3].path]


def test_a_clip_drifts_by_a_pixel_a_frame(portraits: DataSet, tmp_path: Path) -> None:
    scene = packing.pack(portraits.pictures, 700, 600)[0][0]
    packing.write_clip(scene, tmp_path / "clip.mp4", 4)
    frames = list(tools._frames(tmp_path / "clip.mp4"))
    assert [frame.shape for frame in frames] == [(596, 696, 3)] * 4
    for number, frame in enumerate(frames):
        boxes, faces = packing.boxes_in(scene, 4, number)
        assert len(boxes) == len(faces) > 0
        cut = scene.pixels[number : number + 596, number : number + 696]
        assert all(faces_left(cut, frame, boxes))


@pytest.mark.parametrize(
    ("what", "is_left"),
    [("nothing", True), ("brighter", True), ("noise", True), ("infill", False), ("solid", False)],
)
def test_what_counts_as_left(what: str, is_left: bool, astronaut: Pixels) -> None:
    box = np.array([FACE], np.float32)
    raw = RawFrame(astronaut, "test", 0, 0.0, 0.0, 0)
    noise = np.random.default_rng(0).normal(0, 4, astronaut.shape)
    outputs = {
        "nothing": astronaut,
        "brighter": np.clip(astronaut.astype(int) + 25, 0, 255).astype(np.uint8),
        "noise": np.clip(astronaut + noise, 0, 255).astype(np.uint8),
        "infill": blur.anonymize(raw, box, BlurConfig()).pixels,
        "solid": blur.anonymize(raw, box, BlurConfig(fill="solid")).pixels,
    }
    assert faces_left(astronaut, outputs[what], box) == [is_left]


def test_what_is_changed_beside_a_head_is_measured(astronaut: Pixels) -> None:
    output = astronaut.copy()
    output[58:178, 181:270] = 0
    assert changed_beside(astronaut, output, np.array([FACE], np.float32)) == 0
    output[400:500, 400:500] = 255 - output[400:500, 400:500]
    share = changed_beside(astronaut, output, np.array([FACE], np.float32))
    assert 0.8 < share / (100 * 100 / 512**2) <= 1


def test_a_set_without_what_is_asked_for_is_refused(portraits: DataSet) -> None:
    with pytest.raises(DatasetError, match="no pictures of split train; it has eval"):
        scenes.measure(portraits, command="", split="train", tools=False)
    with pytest.raises(DatasetError, match="larger --size"):
        scenes.measure(portraits, command="", size=(64, 64), tools=False)


@pytest.mark.sweep
@pytest.mark.slow
def test_every_row_is_measured_on_what_the_commands_wrote(portraits: DataSet, tmp_path: Path) -> None:
    result = scenes.measure(
        portraits,
        command="python -m benchmarks scenes",
        size=(1200, 600),
        frames=3,
        reference=Wanted(None, (640, 384), 0.2),
        scores=[(0.5, 0.4)],
        deface=None,
        folder=tmp_path,
    )
    assert [(row.frames, row.written) for row in result.rows] == [(3, 3), (3, 3), (1, 1), (3, 3), (1, 1)]
    for row in result.rows:
        assert row.share_left(40, None) == (0, (1 if row.frames == 1 else 3) * 2)
        assert row.changed_beside < 0.2
    assert ScenesResult.model_validate_json(result.model_dump_json()) == result
    text = as_markdown(result)
    assert all(row.name in text for row in result.rows)
    plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert not list(tmp_path.glob("scenes-*"))
