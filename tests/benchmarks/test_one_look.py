"""What detectors miss in one look at scenes, with a detector that finds what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")

from benchmarks import figures
from benchmarks.scenes import detectors, false_boxes, labels, one_look, packing, run
from benchmarks.scenes.detectors import Finder, Wanted
from benchmarks.scenes.labels import AddedFace
from benchmarks.scenes.packing import Scene
from benchmarks.scenes.page import as_markdown, plot
from benchmarks.scenes.result import FALSE_RATES, ScenesResult
from convert.training.datasets import DataSet, DatasetError, LabelledObject, open_dataset
from edge.detection.detector import Detections
from edge.errors import DetectorError
from edge.frames import Pixels
from edge.pictures import read_picture
from tests.conftest import DATA

FACES = (
    LabelledObject((100, 100, 140, 140), masked=True),
    LabelledObject((200, 100, 225, 125), masked=False),
    LabelledObject((300, 100, 315, 115), masked=False),
    LabelledObject((400, 100, 440, 140), ignore=True),
    LabelledObject((500, 100, 506, 106)),
)
"""Three that count, one of them small; one to ignore; one that is too small to count."""


def scene_of(faces: tuple[LabelledObject, ...] = FACES) -> Scene:
    boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
    return Scene(np.zeros((600, 600, 3), np.uint8), boxes, faces)


def detections(*boxes: tuple[float, float, float, float, float]) -> Detections:
    """From ``x1 y1 x2 y2 score``, best first."""
    found = np.array(boxes, np.float32).reshape(-1, 5)
    return Detections(found[:, :4], found[:, 4])


def finder(name: str, found: Callable[[Pixels], Detections], complete: float = 0.05) -> Finder:
    return Finder(name, "0" * 64, (640, 384), 0.3, lambda pixels: (found(pixels), complete, 0.01))


def test_what_is_found_missed_and_false() -> None:
    found = detections(
        (101, 101, 141, 141, 0.9),  # the first
        (10, 10, 50, 50, 0.8),  # nothing
        (400, 90, 470, 190, 0.7),  # beside the one to ignore, by its centre
        (500, 100, 506, 106, 0.6),  # the tiny one
        (112, 112, 124, 124, 0.5),  # a part of the first
        (205, 100, 230, 125, 0.4),  # the second
        (300, 300, 340, 340, 0.3),  # nothing
    )
    judged = one_look.judge([scene_of()], [found], 0.05)
    assert judged.found.tolist() == pytest.approx([0.9, 0.4, 0.0])
    assert judged.false.tolist() == pytest.approx([0.8, 0.3])
    point = judged.point(0.5)
    assert point.share_missed(20, None) == (1, 2)
    assert point.share_missed(20, None, True) == (0, 1)
    assert point.share_missed(20, None, False) == (1, 1)
    assert point.share_missed(12, 20) == (1, 1)
    assert point.false_per_scene == 1
    assert judged.point(0.2).share_missed(20, None) == (0, 2)


def test_boxes_below_the_score_from_which_they_are_complete_do_not_count() -> None:
    found = detections((100, 100, 140, 140, 0.9), (10, 10, 50, 50, 0.2))
    judged = one_look.judge([scene_of()], [found], 0.3)
    assert judged.false.tolist() == []
    assert judged.at_rate(5).point.score == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("rate", "missed", "false", "reached"),
    [(0, 3, 0, True), (1, 1, 1, True), (2, 1, 2, True), (9, 1, 2, False)],
)
def test_missed_at_a_number_of_false_boxes(rate: float, missed: int, false: float, reached: bool) -> None:
    """Without any, what is no stronger than the first false box does not count either."""
    found = detections(
        (10, 10, 50, 50, 0.8), (100, 100, 140, 140, 0.8), (200, 100, 225, 125, 0.7), (10, 300, 50, 350, 0.3)
    )
    at = one_look.judge([scene_of(FACES[:3])], [found], 0.05).at_rate(rate)
    assert at.point.share_missed(12, None) == (missed, 3)
    assert at.point.false_per_scene == false
    assert at.reached is reached


def test_detectors_are_compared_at_the_false_boxes_of_the_first() -> None:
    scenes = [scene_of(), scene_of()]
    sure = detections((100, 100, 140, 140, 0.9), (200, 100, 225, 125, 0.8), (10, 10, 50, 50, 0.7))
    noisy = detections((10, 10, 50, 50, 0.9), (10, 200, 50, 250, 0.8), (100, 100, 140, 140, 0.6))
    seen = one_look.look(
        scenes, [(finder("sure", lambda _: sure), [0.5]), (finder("noisy", lambda _: noisy), [0.3, 0.85])]
    )
    first, second = one_look.compare(scenes, seen)
    assert first.points[0].false_per_scene == 1
    assert second.at_reference.point.share_missed(20, None) == (4, 4)
    assert [point.false_per_scene for point in second.points] == [2, 1]
    assert first.milliseconds == 10
    assert len(first.curve) == len(FALSE_RATES)


def test_a_score_below_which_a_scene_overflows_has_no_figures() -> None:
    scenes = [scene_of()]
    full = finder("full", lambda _: detections((100, 100, 140, 140, 0.9)), complete=0.3)
    good = finder("good", lambda _: detections((100, 100, 140, 140, 0.9)))
    seen = one_look.look(scenes, [(good, [0.2]), (full, [0.2, 0.35])])
    look = one_look.compare(scenes, seen)[1]
    assert (look.lowest, look.overflowing) == (0.3, [0.2])
    assert [point.score for point in look.points] == [0.35]
    with pytest.raises(DetectorError, match=r"give --reference a score of 0.3 or more"):
        one_look.compare(scenes, one_look.look(scenes, [(full, [0.2])]))


def test_exact_boxes_count_for_precision_but_not_those_of_added_faces() -> None:
    added = AddedFace((300, 300, 340, 340))
    scenes = [scene_of((FACES[0], added))]
    exact = finder("exact", lambda _: detections((100, 100, 140, 140, 0.9), (300, 300, 360, 360, 0.8)))
    wide = finder("wide", lambda _: detections((90, 90, 150, 150, 0.9)))
    looks = one_look.compare(scenes, one_look.look(scenes, [(exact, [0.2]), (wide, [0.2])]))
    assert [look.ap75 for look in looks] == [1, 0]
    assert [look.points[0].share_missed(20, None) for look in looks] == [(0, 2), (1, 2)]


# Which detectors


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("shipped", Wanted(None)),
        ("shipped@640x384", Wanted(None, (640, 384))),
        ("a/b.onnx@1280x736@0.25", Wanted(Path("a/b.onnx"), (1280, 736), 0.25)),
    ],
)
def test_how_detectors_are_named(text: str, wanted: Wanted) -> None:
    assert detectors.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "a.onnx@0.3", "a.onnx@640x384@2", "a.onnx@640x384@0.0", "a@b@c@d"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(DetectorError, match=r"shipped@1280x736@0\.35"):
        detectors.parse(text)


def test_a_file_that_is_no_detector_is_named(tmp_path: Path) -> None:
    file = tmp_path / "noise.onnx"
    file.write_bytes(b"noise")
    with pytest.raises(DetectorError, match=r"noise\.onnx"):
        detectors.open_finders([Wanted(file)])


def test_a_canvas_is_opened_once_with_all_its_scores() -> None:
    wanted = [Wanted(None, (640, 384), 0.2), Wanted(None, (640, 384)), Wanted(None, (640, 384), 0.5)]
    opened = detectors.open_finders(wanted)
    assert [scores for _, scores in opened] == [[0.2, opened[0][0].own_score, 0.35, 0.5]]
    found, complete, seconds = opened[0][0].find(read_picture(DATA / "astronaut.jpg").pixels)
    assert len(found.at_least(0.5).boxes) == 1
    assert complete == detectors.LOWEST_SCORES[0]
    assert seconds > 0


# Labels


@pytest.fixture
def pictures(tmp_path: Path) -> DataSet:
    pixels = read_picture(DATA / "astronaut.jpg").pixels
    lines = []
    for name, split in (("a.png", "eval"), ("b.png", "train")):
        cv2.imwrite(str(tmp_path / name), pixels)
        faces = [{"box": [181, 58, 89, 120], "masked": False}]
        lines.append({"image": name, "width": 512, "height": 512, "split": split, "faces": faces})
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "annotations.jsonl").write_text(text, encoding="utf-8")
    return open_dataset(str(tmp_path))


def completion(
    dataset: DataSet, folder: Path, image: str = "a.png", width: int = 512, labelled: int = 1
) -> Path:
    folder.mkdir()
    faces = [
        {"box": [10, 10, 30, 40], "masked": True, "ignore": False, "by": "x", "score": 0.5},
        {"box": [400, 400, 30, 30], "masked": None, "ignore": True, "by": "x", "score": None},
    ]
    entry = {"image": image, "width": width, "height": 512, "labelled": labelled, "faces": faces}
    content = {"dataset": dataset.name, "split": "eval", "rule": [], "candidates": [], "judged": ""}
    (folder / f"{dataset.name}.json").write_text(
        json.dumps(content | {"pictures": [entry]}), encoding="utf-8"
    )
    return folder


def test_labels_are_completed(pictures: DataSet, tmp_path: Path) -> None:
    completed, summary = labels.complete(pictures, completion(pictures, tmp_path / "labels"))
    assert summary is not None
    assert (summary.pictures, summary.added, summary.ignored) == (1, 1, 1)
    by_name = {picture.path.name: picture.objects for picture in completed.pictures}
    assert by_name["a.png"][1:] == (
        AddedFace((10, 10, 40, 50), masked=True),
        AddedFace((400, 400, 430, 430), ignore=True),
    )
    assert len(by_name["b.png"]) == 1


def test_train_is_never_completed(pictures: DataSet, tmp_path: Path) -> None:
    same, summary = labels.complete(pictures, completion(pictures, tmp_path / "labels", image="b.png"))
    assert summary is None
    assert same == pictures


@pytest.mark.parametrize("other", [{"width": 400}, {"labelled": 2}])
def test_a_picture_with_other_labels_is_not_completed(
    pictures: DataSet, tmp_path: Path, other: dict[str, int]
) -> None:
    folder = completion(pictures, tmp_path / "labels", **other)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"a.png: .* completes a picture of"):
        labels.complete(pictures, folder)


def test_a_list_that_cannot_be_read_is_named(pictures: DataSet, tmp_path: Path) -> None:
    folder = completion(pictures, tmp_path / "labels")
    (folder / f"{pictures.name}.json").write_text('{"dataset": "x"}', encoding="utf-8")
    with pytest.raises(DatasetError, match=rf"{pictures.name}.json: split"):
        labels.complete(pictures, folder)


def test_the_committed_lists_are_of_their_form() -> None:
    files = sorted(labels.FOLDER.glob("*.json"))
    assert files
    for file in files:
        content = labels.Completion.model_validate_json(file.read_bytes())
        assert content.dataset == file.stem
        assert content.split == "eval"
        for picture in content.pictures:
            for face in picture.faces:
                x, y, width, height = face.box
                assert 0 <= x < x + width <= picture.width + 0.1
                assert 0 <= y < y + height <= picture.height + 0.1
                assert face.ignore or min(width, height) >= 8


@pytest.mark.shared
def test_the_committed_list_is_of_the_set(shared_data: Path) -> None:
    _, summary = labels.complete(open_dataset(str(shared_data / "faces")))
    assert summary is not None
    content = labels.Completion.model_validate_json((labels.FOLDER / "faces.json").read_bytes())
    assert summary.pictures == len(content.pictures)


# The whole


def test_one_look_without_tools(pictures: DataSet, tmp_path: Path) -> None:
    result = run.measure(
        pictures,
        command="python -m benchmarks scenes",
        size=(1280, 720),
        reference=Wanted(None, (640, 384), 0.2),
        detectors=[Wanted(None, (320, 192), 0.5)],
        tools=False,
        sheet=tmp_path / "sheet.png",
        folder=tmp_path / "work",
    )
    assert (result.stills, result.clips, result.split, result.completed) == (1, 0, "eval", None)
    assert [(look.name, look.canvas) for look in result.looks] == [
        ("face", (640, 384)),
        ("face", (320, 192)),
    ]
    assert [look.points[0].share_missed(80, None) for look in result.looks] == [(0, 1), (0, 1)]
    assert ScenesResult.model_validate_json(result.model_dump_json()) == result
    text = as_markdown(result)
    assert "| face | 320x192 | 0.5 | **0.0%** (0 of 1) |" in text
    plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    (tmp_path / "scenes_faces_eval.json").write_text(result.model_dump_json(), encoding="utf-8")
    (row,) = figures.rows_of(tmp_path)
    assert row[1].startswith("face at 640x384 0.0% with ")


def test_false_boxes_are_shown_once_and_by_their_place_in_the_picture(
    pictures: DataSet, tmp_path: Path
) -> None:
    scenes, _ = packing.pack(pictures.pictures, 1100, 600)
    place = scenes[0].places[1]
    x, y = place.left + 20, place.top + 300
    here = detections((x, y, x + 50, y + 60, 0.9))
    seen = one_look.look(scenes, [(finder(name, lambda _: here), [0.5]) for name in ("one", "two")])
    assert false_boxes._caption(place, here.boxes[0], "one", 0.9)[1] == "20 300 50 60 one 0.90"
    pages, crops = false_boxes.write(tmp_path / "sheet.png", scenes, seen)
    assert crops == 1
    assert pages == [tmp_path / "sheet.png"]


@pytest.mark.slow
def test_scenes_of_4k(pictures: DataSet, tmp_path: Path) -> None:
    many = DataSet("many", "jsonl", (pictures.pictures[0],) * 30)
    scenes = run.scenes_of(many, (3840, 2160), 2, None)
    assert [scene.pixels.shape for scene in scenes] == [(2162, 3842, 3)] * len(scenes)
    assert sum(len(scene.faces) for scene in scenes) == 30
    packing.write_clip(scenes[0], tmp_path / "clip.mp4", 2)
    assert packing.clip_size(scenes[0], 2) == (3840, 2160)
