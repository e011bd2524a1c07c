"""Labelled sets of each kind are read as they stand, and what is wrong with one is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convert.training.datasets import DatasetError, LabelledObject, open_dataset
from convert.training.datasets.form import FACE_CLASSES

OBJECT = (
    "<object><name>{name}</name>{more}<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>"
    "<ymax>{3}</ymax></bndbox></object>"
)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, *parts: str, **options: Any) -> None:
    """Reading fails, and the message has all these parts."""
    with pytest.raises(DatasetError) as caught:
        open_dataset(str(folder), **options)
    for part in parts:
        assert part in str(caught.value)


# ---------------------------------------------------------------------------------------------------- JSONL


def line(image: str, *faces: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"image": f"images/{image}", "width": 64, "height": 48, "faces": list(faces), **more}


def jsonl(folder: Path, *records: dict[str, Any]) -> Path:
    for record in records:
        picture(folder / record["image"])
    return write(folder / "annotations.jsonl", "\n".join(map(json.dumps, records)) + "\n")


FACE = {"box": [10, 5, 20, 30], "masked": True}


def test_jsonl_has_masks_splits_and_faces_to_ignore(tmp_path: Path) -> None:
    records = [
        line("a.png", FACE, {"box": [1, 2, 3, 4], "masked": False, "difficult": True}, split="train"),
        line("b.png", {"box": [1.5, 2, 3, 4], "invalid": True, "label": "x"}, FACE, split="eval"),
        line("c.png", split="eval"),
    ]
    jsonl(tmp_path / "set", *records)
    data = open_dataset(str(tmp_path / "set"))
    assert (data.name, data.kind, data.notes) == ("set", "jsonl", ("set: objects that are no faces: 1 x",))
    assert data.splits == ("train", "eval")
    assert [p.split for p in data.pictures] == ["train", "eval", "eval"]
    assert [p.path.name for p in data.pictures] == ["a.png", "b.png", "c.png"]
    assert {p.size for p in data.pictures} == {(64, 48)}
    assert [p.objects for p in data.pictures] == [
        (
            LabelledObject((10, 5, 30, 35), masked=True),
            LabelledObject((1, 2, 4, 6), ignore=True, masked=False),
        ),
        (LabelledObject((10, 5, 30, 35), masked=True),),
        (),
    ]
    assert data.pictures[0].objects[0].side == 20


def test_a_set_below_the_data_folder_has_a_name(tmp_path: Path) -> None:
    jsonl(tmp_path / "mine", line("a.png", FACE))
    data = open_dataset("mine", data=tmp_path)
    assert (data.name, data.splits) == ("mine", ())
    with pytest.raises(DatasetError, match=r"none below .*; those there: mine"):
        open_dataset("other", data=tmp_path)
    with pytest.raises(DatasetError, match="there is no data folder"):
        open_dataset("other", data=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ("{", ("annotations.jsonl:2: Invalid JSON",)),
        ("[]", ("annotations.jsonl:2: ", "object")),
        (json.dumps({**line("a.png"), "faces": [{"box": [1, 2, 3]}]}), (":2: faces.0.box.3",)),
        (json.dumps({**line("a.png"), "faces": [{"masked": True}]}), (":2: faces.0.box: Field required",)),
        (
            json.dumps(line("a.png", {"box": [1, 2, 0, 4]})),
            (":2: faces.0: ", "0 wide and 4 high; correct it"),
        ),
        (
            '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [NaN, 1, 2, 3]}]}',
            (":2: faces.0: the box at x nan",),
        ),
        (json.dumps(line("a.png", split="other")), (":2: split", "'train', 'val', 'test' or 'eval'")),
        (json.dumps({"faces": []}), (":2: image: Field required",)),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, record: str, parts: tuple[str, ...]) -> None:
    file = jsonl(tmp_path, line("ok.png", FACE))
    write(file, file.read_text(encoding="utf-8") + record + "\n")
    refused(tmp_path, *parts)


# ------------------------------------------------------------------------------------------- the set as such


def test_missing_pictures_are_an_error_with_the_first_few(tmp_path: Path) -> None:
    records = [line(f"{n}.png", FACE) for n in range(9)]
    jsonl(tmp_path, *records)
    for n in range(1, 8):
        (tmp_path / "images" / f"{n}.png").unlink()
    refused(tmp_path, "7 of 9 pictures are missing", "1.png", "5.png, ...; put them there")
    (tmp_path / "images" / "1.png").mkdir()
    refused(tmp_path, "7 of 9 pictures are missing")


def test_a_picture_in_two_splits_is_an_error(tmp_path: Path) -> None:
    jsonl(tmp_path, line("a.png", FACE, split="train"), line("a.png", FACE, split="eval"))
    refused(tmp_path, "1 pictures are labelled twice", "a.png", "each picture in one split")


def test_a_picture_without_a_split_among_others_is_an_error(tmp_path: Path) -> None:
    jsonl(tmp_path, line("a.png", FACE, split="train"), line("b.png", FACE))
    refused(tmp_path, "1 of 2 pictures have no split", "b.png", "give all of them one")


def test_a_set_without_a_face_that_counts_is_an_error(tmp_path: Path) -> None:
    jsonl(tmp_path, line("a.png", {**FACE, "difficult": True}))
    refused(tmp_path, "1 pictures, but no face that counts")


def test_the_kind_is_told_by_what_lies_there(tmp_path: Path) -> None:
    refused(tmp_path, "no labels; expected jsonl: annotations.jsonl, wider: ")
    jsonl(tmp_path, line("a.png", FACE))
    write(tmp_path / "annotations" / "b.xml", "<annotation/>")
    refused(tmp_path, "labels of several kinds, jsonl, voc; choose one with --format")
    assert open_dataset(str(tmp_path), kind="jsonl").kind == "jsonl"
    refused(tmp_path, "no labels of kind wider", kind="wider")
    refused(tmp_path, "kind wider have no classes; leave out --category", kind="wider", category="face")


# ----------------------------------------------------------------------------------------------------- COCO


def coco(
    file: Path,
    names: Sequence[str] = ("a.png", "b.png"),
    categories: Sequence[str] = ("face", "hat"),
    annotations: Sequence[dict[str, Any]] = ({"image_id": 0, "category_id": 0, "bbox": [1, 2, 10, 20]},),
) -> Path:
    content = {
        "images": [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(names)],
        "annotations": list(annotations),
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
        "info": {"year": 2024},
    }
    return write(file, json.dumps(content))


@pytest.mark.parametrize(
    ("labels", "pictures", "split"),
    [
        ("labels.json", "", None),
        ("labels.json", "images", None),
        ("annotations/instances_val2017.json", "val2017", "val"),
        ("annotations/instances_train2017.json", "images/train2017", "train"),
        ("interval.json", "images", None),
    ],
)
def test_coco(tmp_path: Path, labels: str, pictures: str, split: str | None) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / pictures / name)
    annotations = [
        {"image_id": 0, "category_id": 0, "bbox": [1, 2, 10, 20], "iscrowd": 0, "area": 200},
        {"image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5]},
        {"image_id": 0, "category_id": 0, "bbox": [30, 2, 10.5, 20], "iscrowd": 1},
    ]
    coco(tmp_path / labels, annotations=annotations)
    data = open_dataset(str(tmp_path))
    assert data.kind == "coco"
    assert [p.objects for p in data.pictures] == [
        (LabelledObject((1, 2, 11, 22)), LabelledObject((30, 2, 40.5, 22), ignore=True)),
        (),
    ]
    assert [(p.size, p.split) for p in data.pictures] == [((64, 48), split)] * 2
    assert data.notes == (f"{tmp_path.name}: objects that are no faces: 1 hat",)


def test_coco_with_two_files_has_both_splits(tmp_path: Path) -> None:
    coco(tmp_path / "train.json", ["a.png"])
    coco(tmp_path / "test.json", ["b.png"])
    for name in ("a.png", "b.png"):
        picture(tmp_path / "images" / name)
    data = open_dataset(str(tmp_path))
    assert {p.path.name: p.split for p in data.pictures} == {"a.png": "train", "b.png": "test"}


def test_coco_takes_the_class_that_is_chosen(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    coco(tmp_path / "x.json", categories=["Head", "hat"])
    refused(tmp_path, "no class is face or with_mask", "there are: Head, hat", "--category")
    refused(tmp_path, "no class is 'head'", category="head")
    assert len(open_dataset(str(tmp_path), category="Head").pictures[0].objects) == 1
    coco(tmp_path / "x.json", categories=["with_mask"])
    assert open_dataset(str(tmp_path)).pictures[0].objects[0].masked is True


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            {"annotations": [{"image_id": 7, "category_id": 0, "bbox": [1, 2, 3, 4]}]},
            ("annotations.0: image_id 7",),
        ),
        (
            {"annotations": [{"image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4]}]},
            ("category_id 7 is not",),
        ),
        (
            {"annotations": [{"image_id": 0, "category_id": 0, "bbox": [1, 2, -3, 4]}]},
            ("annotations.0: bbox", "-3"),
        ),
        ({"annotations": [{"image_id": 0, "category_id": 0}]}, ("annotations.0.bbox: Field required",)),
    ],
)
def test_bad_coco_is_refused(tmp_path: Path, options: dict[str, Any], parts: tuple[str, ...]) -> None:
    coco(tmp_path / "x.json", **options)
    refused(tmp_path, "x.json", *parts)


def test_json_that_is_not_coco_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.json", "{}")
    refused(tmp_path, "x.json: images: Field required")
    coco(file)
    content = json.loads(file.read_text(encoding="utf-8"))
    content["images"][1]["id"] = 0
    write(file, json.dumps(content))
    refused(tmp_path, "images: an id is there twice")
    file.unlink()
    file.mkdir()
    refused(tmp_path, "x.json: Is a directory")


# ----------------------------------------------------------------------------------------------- PASCAL VOC


def voc(file: Path, *objects: str, name: str = "a.png", size: str = "") -> Path:
    body = f"<filename>{name}</filename>{size}{''.join(objects)}"
    return write(file, f"<annotation>{body}</annotation>")


NAME = "<filename>a.png</filename>"


def thing(name: str, *box: object, more: str = "") -> str:
    return OBJECT.format(*box, name=name, more=more)


@pytest.mark.parametrize(
    ("labels", "pictures"), [("", ""), ("annotations", "images"), ("Annotations", "JPEGImages")]
)
def test_voc_with_masks(tmp_path: Path, labels: str, pictures: str) -> None:
    picture(tmp_path / pictures / "a.png")
    picture(tmp_path / pictures / "b.png")
    voc(
        tmp_path / labels / "a.xml",
        thing("with_mask", 1, 2, 11, 22, more="<difficult>0</difficult>"),
        thing("without_mask", 1, 2, 11, 22),
        thing("mask_weared_incorrect", 1, 2, 11, 22, more="<difficult>1</difficult>"),
        thing("dog", 1, 2, 11, 22),
        size="<size><width>64</width><height>48</height><depth>3</depth></size>",
    )
    zero = "<size><width>0</width><height>0</height></size>"
    voc(tmp_path / labels / "b.xml", thing("Face", 1.5, 2, 11, 22), name="b.png", size=zero)
    data = open_dataset(str(tmp_path))
    box = (1.0, 2.0, 11.0, 22.0)
    assert (data.kind, data.splits) == ("voc", ())
    assert data.pictures[0].objects == (
        LabelledObject(box, masked=True),
        LabelledObject(box, masked=False),
        LabelledObject(box, ignore=True, masked=True),
    )
    assert data.pictures[1].objects == (LabelledObject((1.5, 2, 11, 22)),)
    assert [p.size for p in data.pictures] == [(64, 48), None]
    assert data.notes == (f"{tmp_path.name}: objects that are no faces: 1 dog",)
    assert open_dataset(str(tmp_path), category="dog").pictures[0].objects == (
        LabelledObject(box, label="dog"),
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("<annotation>", "no readable XML: no element found"),
        ("", "no readable XML"),
        ("<annotation><filename>a.png</filename></annotation>", "no class is face or with_mask"),
        ("<annotation><object/></annotation>", "object/name is missing or empty"),
        (f"<annotation>{thing('face', 1, 2, 3, 4)}</annotation>", "annotation/filename is missing"),
        (f"<annotation>{thing('face', 1, 2, 'x', 4)}</annotation>", "object/bndbox/xmax is no number: 'x'"),
        (
            f"<annotation>{NAME}{thing('face', 1, 2, 1, 4)}</annotation>",
            "object 1: the box at x 1, y 2 is 0 wide",
        ),
        (f"<annotation>{NAME}{thing('face', 1, 2, 'inf', 4)}</annotation>", "inf wide"),
        (f"<annotation>{NAME}<size><width>inf</width></size></annotation>", "size/width is no number of pix"),
    ],
)
def test_bad_voc_is_refused(tmp_path: Path, text: str, part: str) -> None:
    write(tmp_path / "a.xml", text)
    refused(tmp_path, str(tmp_path), part)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "doctype",
    ["<!DOCTYPE annotation>", '<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]>'],
)
def test_a_doctype_is_refused(tmp_path: Path, doctype: str, encoding: str) -> None:
    body = f"<annotation><filename>a.png</filename>{thing('face', 1, 2, 3, 4)}</annotation>"
    (tmp_path / "a.xml").write_bytes(
        f'<?xml version="1.0" encoding="{encoding}"?>{doctype}{body}'.encode(encoding)
    )
    refused(tmp_path, "a.xml: it has a DOCTYPE", "take it out")


# ----------------------------------------------------------------------------------------------- WIDER FACE

VAL = "wider_face_val_bbx_gt.txt"
WIDER = """0--Parade/a.png
3
10 5 20 30 0 0 0 0 0 0
1 2 3 4 2 0 1 1 2 0
5 5 0 4 0 0 0 0 0 0
1--Handshaking/b.png
0
0 0 0 0 0 0 0 0 0 0
1--Handshaking/c.png
1
7 8 9 10 0 0 0 0 0 0
"""


def wider(folder: Path, text: str = WIDER, labels: str = "", pictures: str = "images") -> Path:
    for name in ("0--Parade/a.png", "1--Handshaking/b.png", "1--Handshaking/c.png"):
        picture(folder / pictures / name)
    return write(folder / labels / VAL, text)


def cells(values: Sequence[object]) -> Any:
    """A MATLAB cell column."""
    column = np.empty((len(values), 1), object)
    column[:, 0] = list(values)
    return column


def division(folder: Path, level: str, *places: Sequence[int]) -> None:
    """A list of WIDER for the pictures of ``WIDER``, with places of faces from 1."""
    io = pytest.importorskip("scipy.io")
    faces = [np.array(p, np.uint8).reshape(-1, 1) for p in places]
    content = {
        "event_list": cells(["0--Parade", "1--Handshaking"]),
        "file_list": cells([cells(["a"]), cells(["b", "c"])]),
        "gt_list": cells([cells(faces[:1]), cells(faces[1:])]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    io.savemat(folder / f"wider_{level}_val.mat", content)


@pytest.mark.parametrize(
    ("labels", "pictures"),
    [("", "images"), ("wider_face_split", "WIDER_val/images"), ("", "")],
)
def test_wider_text(tmp_path: Path, labels: str, pictures: str) -> None:
    wider(tmp_path, labels=labels, pictures=pictures)
    data = open_dataset(str(tmp_path))
    assert (data.kind, data.splits) == ("wider", ("val",))
    assert [p.path.name for p in data.pictures] == ["a.png", "b.png", "c.png"]
    assert [p.objects for p in data.pictures] == [
        (
            LabelledObject((10, 5, 30, 35)),
            LabelledObject((1, 2, 4, 6), ignore=True),
            LabelledObject((5, 5, 5, 9), ignore=True),
        ),
        (),
        (LabelledObject((7, 8, 16, 18)),),
    ]
    assert "no division into easy, medium and hard: wider_easy_val.mat" in data.notes[0]
    assert data.notes[1] == f"{VAL}: 1 faces without width or height are ignored"


def test_wider_text_without_the_line_of_zeros(tmp_path: Path) -> None:
    wider(tmp_path, WIDER.replace("0 0 0 0 0 0 0 0 0 0\n1--", "1--"))
    assert [len(p.objects) for p in open_dataset(str(tmp_path)).pictures] == [3, 0, 1]


def test_wider_has_a_train_split(tmp_path: Path) -> None:
    wider(tmp_path)
    picture(tmp_path / "WIDER_train" / "images" / "0--Parade" / "t.png")
    write(tmp_path / "wider_face_train_bbx_gt.txt", "0--Parade/t.png\n1\n1 2 30 40 0 0 0 0 0 0\n")
    data = open_dataset(str(tmp_path))
    assert data.splits == ("train", "val")
    assert [p.split for p in data.pictures] == ["train", "val", "val", "val"]
    assert open_dataset(str(tmp_path), held_out_as_eval=True).splits == ("train", "eval")


@pytest.mark.parametrize("place", ["", "ground_truth"])
def test_wider_levels_come_from_the_lists(tmp_path: Path, place: str) -> None:
    wider(tmp_path)
    division(tmp_path / place, "easy", [1], [], [])
    division(tmp_path / place, "medium", [1], [], [1])
    division(tmp_path / place, "hard", [1, 2], [], [1])
    data = open_dataset(str(tmp_path))
    sets = [[set(face.sets) for face in p.objects] for p in data.pictures]
    assert sets == [[{"easy", "medium", "hard"}, {"hard"}, set()], [], [{"medium", "hard"}]]
    assert len(data.notes) == 1


def test_lists_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    wider(tmp_path)
    division(tmp_path, "easy", [4], [], [])
    division(tmp_path, "medium", [], [], [])
    refused(tmp_path, "wider_hard_val.mat is missing", "all three")
    division(tmp_path, "hard", [], [], [])
    refused(tmp_path, f"{VAL}:1: 0--Parade/a.png", "wider_easy_val.mat names more faces")
    division(tmp_path, "easy", [0], [], [])
    refused(tmp_path, "wider_easy_val.mat names more faces")
    division(tmp_path, "easy", [1], [], [])
    wider(tmp_path, WIDER.replace("c.png", "d.png"))
    refused(tmp_path, f"{VAL}:9: 1--Handshaking/d.png", "has no such picture")
    (tmp_path / "wider_hard_val.mat").write_bytes(b"no MATLAB file")
    refused(tmp_path, "wider_hard_val.mat: not a list of WIDER FACE")
    pytest.importorskip("scipy.io").savemat(tmp_path / "wider_hard_val.mat", {"gt_list": 1})
    refused(tmp_path, "wider_hard_val.mat: not a list of WIDER FACE (KeyError: 'event_list')")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a.png", ":1: expected the name of a picture"),
        ("a.png\nx\n", ":1: expected the name of a picture"),
        ("a.png\n-1\n", ":1: expected the name of a picture"),
        ("a.png\n2\n1 2 3 4 0 0 0 0 0 0\n", ":1: 2 faces are announced, but the file ends before"),
        ("a.png\n1\n1 2 3 4\n", ":3: expected ten numbers, x y w h blur"),
        ("a.png\n1\n1 2 3 x 0 0 0 0 0 0\n", ":3: expected ten numbers"),
        ("a.png\n1\n1 2 3 nan 0 0 0 0 0 0\n", ":3: expected ten numbers"),
        ("", "0 pictures, but no face"),
    ],
)
def test_bad_wider_text_is_refused(tmp_path: Path, text: str, part: str) -> None:
    write(tmp_path / VAL, text)
    refused(tmp_path, part)


def test_wider_text_must_be_text(tmp_path: Path) -> None:
    (tmp_path / VAL).write_bytes(b"\xff\xfe\n")
    refused(tmp_path, "no UTF-8 text")


@pytest.mark.shared
def test_the_real_faces_are_read(shared_data: Path) -> None:
    data = open_dataset("faces", data=shared_data)
    assert (data.kind, data.splits, len(data.pictures)) == ("jsonl", ("train", "eval"), 603)
    assert sum(p.split == "eval" for p in data.pictures) == 250
    masked = [face.masked for p in data.pictures for face in p.objects]
    assert None not in masked
    assert sum(map(bool, masked)) > len(masked) / 2
    assert set(FACE_CLASSES.values()) == {None, True, False}
