"""``python -m benchmarks scenes`` in a tiny form; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("matplotlib")

from benchmarks.scenes import packing, tools, walkers
from benchmarks.scenes import run as scenes
from benchmarks.scenes.detectors import Wanted
from benchmarks.scenes.judge import changed_beside, faces_left
from benchmarks.scenes.page import as_markdown, plot
from benchmarks.scenes.result import Parts, ScenesResult
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


def test_boxes_of_a_fixed_camera_are_where_the_heads_are(portraits: DataSet) -> None:
    (scene,) = walkers.fixed_scenes(portraits.pictures, (701, 600), 40)
    assert scene.size == (700, 600)
    assert len(scene.walkers) == 3  # the fourth face is too large
    seen = set()
    for number in range(40):
        frame = scene.draw(number)
        boxes, faces = scene.boxes_in(number)
        there = [walker for walker in scene.walkers if walker.head.face in faces]
        for box, walker in zip(boxes, there, strict=True):
            own = np.array(walker.head.box)
            np.testing.assert_allclose(box - own.astype(np.float32), walker.corner(number) * 2, atol=1e-3)
            x1, y1, x2, y2 = np.concatenate([np.ceil(own[:2]), np.floor(own[2:])]).astype(int).tolist()
            left, top = walker.corner(number)
            shown = frame[top + y1 : top + y2, left + x1 : left + x2]
            np.testing.assert_array_equal(shown, walker.head.pixels[y1:y2, x1:x2])
            seen.add((walker.head.face, left))
    steps = [np.hypot(walker.dx, walker.dy) for walker in scene.walkers]
    assert steps[0] == 0
    assert all(walkers.SLOWEST <= step <= walkers.FASTEST for step in steps[1:])
    # The one that stands is always there, the one that enters only in the end.
    first, _, third = (walker.head.face for walker in scene.walkers)
    assert all(first in scene.boxes_in(number)[1] for number in range(40))
    assert third not in scene.boxes_in(0)[1]
    assert third in scene.boxes_in(39)[1]
    assert len(seen) > 20


def test_what_stands_still_changes_by_noise_alone(portraits: DataSet) -> None:
    (scene,) = walkers.fixed_scenes(portraits.pictures, (700, 600), 3)
    (left, top), (width, height) = scene.walkers[0].corner(0), scene.walkers[0].head.size
    place = np.s_[top : top + height, left : left + width]
    still = [scene.draw(number)[place] for number in range(3)]
    np.testing.assert_array_equal(still[0], still[1])
    np.testing.assert_array_equal(still[0], still[2])
    first, second = (frame[place].astype(int) for frame in list(walkers.frames_of(scene, 3))[:2])
    grey = np.logical_and(still[0] > 20, still[0] < 235)  # elsewhere noise is cut off
    change = (second - first)[grey]
    assert abs(float(change.mean())) < 0.3
    assert float(change.std()) == pytest.approx(packing.NOISE * 2**0.5, rel=0.1)


def test_nobody_is_in_a_parked_scene(portraits: DataSet) -> None:
    (scene,) = walkers.fixed_scenes(portraits.pictures, (700, 600), 3)
    empty = walkers.parked(scene)
    assert [len(empty.boxes_in(number)[0]) for number in (0, 2)] == [0, 0]
    np.testing.assert_array_equal(empty.draw(2), scene.background)
    assert not np.array_equal(scene.draw(2), scene.background)


def test_a_fixed_camera_sees_pictures_without_faces_or_else_a_wall(
    portraits: DataSet, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((40, 60, 3), (10, 200, 30), np.uint8))
    pictures = (*portraits.pictures, Picture(tmp_path / "empty.png", (), "eval"))
    (scene,) = walkers.fixed_scenes(pictures, (700, 600), 3)
    assert (scene.background[:40, :60] == (10, 200, 30)).all()
    assert walkers.fixed_scenes(portraits.pictures[3:], (700, 600), 3) == []  # too large a face


def test_a_clip_of_a_fixed_camera_shows_its_faces(portraits: DataSet, tmp_path: Path) -> None:
    (scene,) = walkers.fixed_scenes(portraits.pictures, (700, 600), 4)
    walkers.write_clip(scene, tmp_path / "clip.mp4", 4)
    frames = list(tools._frames(tmp_path / "clip.mp4"))
    assert [frame.shape for frame in frames] == [(600, 700, 3)] * 4
    for number, frame in enumerate(frames):
        boxes, faces = scene.boxes_in(number)
        assert len(boxes) == len(faces) > 0
        assert all(faces_left(scene.draw(number), frame, boxes))


def test_parts_are_those_that_the_daemon_names() -> None:
    line = (
        "2026-01-01 00:00:09,000 INFO camera {}: looked at {} parts of frames ({} of them only because they "
        "were due), left out {} in which nothing had changed\n"
    )
    log = line.format("a", 10, 2, 30) + line.format("b", 20, 0, 20)
    assert tools.parts_of(log, 10) == Parts(looked=3.0, swept=0.2, kept=5.0)
    with pytest.raises(SystemExit):
        tools.parts_of("", 10)


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
        fixed_frames=4,
        reference=Wanted(None, (640, 384), 0.2),
        scores=[(0.5, 0.4)],
        deface=None,
        folder=tmp_path,
    )
    drifting, fixed = result.rows[:5], result.rows[5:]
    assert [(row.frames, row.written) for row in drifting] == [(3, 3), (3, 3), (3, 3), (1, 1), (1, 1)]
    for row in drifting:
        assert row.share_left(40, None) == (0, (1 if row.frames == 1 else 3) * 2)
        assert row.changed_beside < 0.2
    assert (result.fixed, result.fixed_frames) == (1, 4)
    assert [row.name for row in fixed] == [
        "edge run, fixed camera",
        "edge run, fixed camera, all of every frame",
        "edge run, fixed camera, few heads",
        "edge run, fixed camera, few heads, all of every frame",
        "edge run, fixed camera, parked",
    ]
    for row in fixed:
        assert (row.frames, row.written) == (4, 4)
        assert row.share_left(20, None)[0] == 0
    assert [bool(row.faces) for row in fixed] == [True] * 4 + [False]
    partly, everything, _, _, parked = (row.parts for row in fixed)
    assert partly is not None
    assert everything is not None
    assert parked is not None
    assert everything.kept == 0
    assert partly.looked + partly.kept == parked.looked + parked.kept
    assert parked.kept > partly.kept
    assert all(row.cpu_seconds and (row.megabytes or 0) > 50 for row in result.rows)
    without = ["edge blur, defaults", "edge blur --score 0.5"]
    assert [row.name for row in result.rows if row.parts is None] == without
    assert ScenesResult.model_validate_json(result.model_dump_json()) == result
    text = as_markdown(result)
    assert all(row.name in text for row in result.rows)
    plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert not list(tmp_path.glob("scenes-*"))


@pytest.mark.sweep
@pytest.mark.slow
def test_stills_alone_are_measured_without_clips(portraits: DataSet, tmp_path: Path) -> None:
    result = scenes.measure(
        portraits,
        command="python -m benchmarks scenes",
        size=(600, 600),
        frames=0,
        fixed_frames=0,
        reference=Wanted(None, (640, 384), 0.2),
        detectors=(),
        deface=None,
        folder=tmp_path,
    )
    assert (result.stills > 0, result.clips, result.fixed) == (True, 0, 0)
    assert [(row.name, row.written) for row in result.rows] == [("edge blur, defaults", result.stills)]
    assert "clips" not in as_markdown(result)
