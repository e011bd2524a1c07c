"""YOLO's text in the folders in which tools and platforms leave it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from convert.training.datasets import DatasetError, LabelledObject, open_dataset, read_labels
from convert.training.datasets.yolo import upright_size

YAML = "names: [person, face]\nnc: 2\n"


def picture(path: Path, size: tuple[int, int] = (64, 48), orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("pictures", "texts", "split"),
    [
        ("images", "labels", None),
        ("images/train", "labels/train", "train"),
        ("train/images", "train/labels", "train"),
        ("valid/images", "valid/labels", "val"),
        ("obj_test_data", "obj_test_data", "test"),
        ("", "", None),
    ],
)
def test_texts_lie_in_labels_or_beside(tmp_path: Path, pictures: str, texts: str, split: str | None) -> None:
    picture(tmp_path / pictures / "a.jpg")
    picture(tmp_path / pictures / "b.png")
    write(tmp_path / texts / "a.txt", "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.1 0.1\n")
    write(tmp_path / "data.yaml", YAML)
    labels = read_labels(tmp_path)
    assert (labels.kind, labels.names) == ("yolo", {"person", "face"})
    first, second = labels.pictures
    assert (first.path.name, first.split, first.size) == ("a.jpg", split, (64, 48))
    assert first.objects[0] == LabelledObject((24, 12, 40, 36), label="face")
    assert first.objects[1].label == "person"
    assert second.objects == ()
    assert labels.notes == [f"{tmp_path.name}: 1 pictures have no file of labels: nothing is on them"]
    assert [len(p.objects) for p in open_dataset(str(tmp_path)).pictures] == [1, 0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "path: ../x\nnames:\n  0: person\n  1: face\n"),
        ("data.yml", "names:\n- person\n- face\n"),
        ("classes.txt", "person\nface\n"),
        ("labels/classes.txt", "person\r\nface\r\n"),
        ("obj.names", "\ufeffperson\nface"),
    ],
)
def test_names_of_classes(tmp_path: Path, name: str, text: str) -> None:
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", "1 0.5 0.5 1 1\n")
    write(tmp_path / name, text)
    write(tmp_path / "notes.json", "{}")  # Label Studio's
    assert [p.objects for p in open_dataset(str(tmp_path)).pictures] == [
        (LabelledObject((0, 0, 64, 48), label="face"),)
    ]


def test_an_outline_becomes_the_box_around_it(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.25 0.25 0.5 0.75 0.75\n")
    write(tmp_path / "classes.txt", "face")
    assert open_dataset(str(tmp_path)).pictures[0].objects[0].box == (16, 12, 48, 36)


def test_shares_are_of_the_upright_picture(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg", (64, 48), orientation=6)
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    write(tmp_path / "classes.txt", "face")
    assert open_dataset(str(tmp_path)).pictures[0].objects[0].box == (0, 0, 48, 64)
    assert upright_size(picture(tmp_path / "b.jpg", (64, 48), orientation=3)) == (64, 48)
    assert upright_size(write(tmp_path / "c.jpg", "no picture")) is None


def test_a_text_without_its_picture_is_missing_that(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    write(tmp_path / "labels" / "gone.txt", "0 0.5 0.5 1 1\n")
    write(tmp_path / "labels" / "classes.txt", "face")
    with pytest.raises(DatasetError, match=r"1 of 2 pictures are missing: .*images/gone; put them there"):
        open_dataset(str(tmp_path))


def test_lists_of_pictures_are_named_as_not_read(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / "data.yaml", "names: [face]\ntrain: train.txt\nval: images/val\n")
    assert read_labels(tmp_path).notes[0] == (
        "data.yaml: lists of pictures (train) are not read; folders with these names are"
    )


@pytest.mark.parametrize(
    ("name", "text", "row", "part"),
    [
        ("data.yaml", "names: 3", "", "data.yaml: names: expected the names of the classes"),
        ("data.yaml", "nc: 1", "", "data.yaml: names: expected"),
        ("data.yaml", "names: {a: b}", "", "data.yaml: names: expected"),
        ("data.yaml", "[", "", "data.yaml: no readable YAML"),
        ("data.yaml", "x", "", "data.yaml: no keys with values"),
        ("classes.txt", "face", "1 0.5 0.5 1 1", "a.txt:1: class 1 has no name; there are: face"),
        ("classes.txt", "face", "-1 0.5 0.5 1 1", "a.txt:1: class -1 has no name"),
        ("classes.txt", "face", "0 0.5 0.5 1", "a.txt:1: expected a class and four numbers"),
        ("classes.txt", "face", "0 0.5 0.5 1 1 0.9", "a.txt:1: expected a class and four numbers"),
        ("classes.txt", "face", "face 0.5 0.5 1 1", "a.txt:1: expected a class and four numbers"),
        ("classes.txt", "face", "0 0.5 0.5 0 1", "a.txt:1: the box at x 32, y 0 is 0 wide"),
        ("classes.txt", "face", "0 nan 0.5 1 1", "a.txt:1: the box at x nan"),
    ],
)
def test_bad_text_is_refused(tmp_path: Path, name: str, text: str, row: str, part: str) -> None:
    picture(tmp_path / "images" / "a.png")
    write(tmp_path / name, text)
    write(tmp_path / "labels" / "a.txt", row)
    with pytest.raises(DatasetError) as caught:
        open_dataset(str(tmp_path))
    assert part in str(caught.value)


def test_two_lists_of_classes_that_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "data.yaml", YAML)
    write(tmp_path / "classes.txt", "person\nface")
    picture(tmp_path / "images" / "a.png")
    assert read_labels(tmp_path).names == {"person", "face"}
    write(tmp_path / "classes.txt", "face\nperson")
    with pytest.raises(DatasetError, match=r"classes.txt and .*data.yaml name different classes"):
        read_labels(tmp_path)
