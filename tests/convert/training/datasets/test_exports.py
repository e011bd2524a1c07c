"""Sets as labelling platforms export them, and the form that edge-train merge writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from convert.training.datasets import DatasetError, LabelledObject, open_dataset, read_labels

PLATE = {"box": [10, 5, 20, 30], "label": "license-plate"}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(path)


def coco(file: Path, name: str, **more: Any) -> None:
    content = {
        "images": [{"id": 5, "file_name": name, "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 10, 20], "iscrowd": 0}],
        "categories": [{"id": 0, "name": "faces"}, {"id": 1, "name": "face"}],
        **more,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def jsonl(folder: Path, *records: dict[str, Any]) -> None:
    lines = []
    for number, record in enumerate(records):
        picture(folder / "images" / f"{number}.png")
        lines.append(json.dumps({"image": f"images/{number}.png", "width": 64, "height": 48, **record}))
    (folder / "annotations.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_coco_in_a_folder_of_each_split(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        picture(tmp_path / split / "a.jpg")
        coco(tmp_path / split / "_annotations.coco.json", "a.jpg")
    assert [(p.path.parent.name, p.split) for p in read_labels(tmp_path).pictures] == [
        ("test", "test"),
        ("train", "train"),
        ("valid", "val"),
    ]
    both = open_dataset(str(tmp_path), held_out_as_eval=True)
    assert [p.split for p in both.pictures] == ["eval", "train", "eval"]


@pytest.mark.parametrize("name", ["cam1/a.jpg", "cam1\\a.jpg"])
def test_coco_with_folders_in_the_names(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "images" / "cam1" / "a.jpg")
    coco(tmp_path / "annotations" / "instances_default.json", name)
    assert open_dataset(str(tmp_path)).pictures[0].path == tmp_path / "images" / "cam1" / "a.jpg"


def test_coco_names_its_licences_and_its_source(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    licences = [{"id": 1, "name": "CC BY 4.0", "url": "https://x.org/by"}, {"name": ""}, 3]
    coco(tmp_path / "x.json", "a.jpg", info={"description": "Faces", "url": None}, licenses=licences)
    labels = read_labels(tmp_path)
    assert (labels.licences, labels.sources) == (["CC BY 4.0, https://x.org/by"], ["Faces"])


def test_voc_in_a_folder_of_each_split(tmp_path: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22</ymax></bndbox>"
    for split in ("train", "valid"):
        picture(tmp_path / split / f"{split}.jpg")
        (tmp_path / split / "a.xml").write_text(
            f"<annotation><filename>{split}.jpg</filename><object><name>face</name>{box}</object></annotation>"
        )
    assert [(p.path.name, p.split) for p in read_labels(tmp_path).pictures] == [
        ("train.jpg", "train"),
        ("valid.jpg", "val"),
    ]


def test_voc_with_lists_of_each_split(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
        file = tmp_path / "Annotations" / f"{name}.xml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"<annotation><filename>{name}.jpg</filename></annotation>")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "test.txt").write_text("b\n")
    (lists / "trainval.txt").write_text("a\nc\n")
    assert [each.split for each in read_labels(tmp_path).pictures] == ["train", "test", None]
    (lists / "val.txt").write_text("a\n")
    with pytest.raises(DatasetError, match=r"val.txt: a is in train.txt, too; keep it in one of them"):
        read_labels(tmp_path)


def test_objects_of_other_kinds_are_read_with_their_labels_and_sources(tmp_path: Path) -> None:
    vehicle = {"box": [0, 0, 64, 48], "label": "vehicle"}
    jsonl(tmp_path, {"objects": [PLATE, vehicle], "source": "street", "split": "train"}, {"objects": []})
    labels = read_labels(tmp_path)
    assert (labels.names, labels.sources) == ({"license-plate", "vehicle"}, ["street"])
    assert labels.pictures[0].objects[0] == LabelledObject((10, 5, 30, 35), label="license-plate")
    with pytest.raises(DatasetError, match="there are: license-plate, vehicle"):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("record", "part"),
    [
        ({"objects": [{"box": [1, 2, 3, 4]}]}, ":1: objects.0.label: Field required"),
        ({}, ":1: expected faces or objects"),
        ({"faces": [], "objects": []}, ":1: expected faces or objects"),
        ({"objects": [{**PLATE, "label": ""}]}, ":1: objects.0.label"),
    ],
)
def test_a_line_without_objects_or_labels_is_refused(
    tmp_path: Path, record: dict[str, Any], part: str
) -> None:
    jsonl(tmp_path, record)
    with pytest.raises(DatasetError) as caught:
        read_labels(tmp_path)
    assert part in str(caught.value)


def test_the_merged_form_keeps_its_three_splits(tmp_path: Path) -> None:
    merged = {**PLATE, "label": "PLATE", "was": "license-plate", "masked": None, "ignore": True}
    records = [
        {"split": s, "part": "p", "objects": [{**merged, "ignore": s == "val"}]}
        for s in ("train", "val", "test")
    ]
    jsonl(tmp_path, *records)
    with pytest.raises(DatasetError, match=r"no class is face or .*; there are: PLATE"):
        open_dataset(str(tmp_path))
    (tmp_path / "merge.json").write_text('{"into": "PLATE"}', encoding="utf-8")
    data = open_dataset(str(tmp_path))
    assert (data.splits, data.kind) == (("train", "val", "test"), "jsonl")
    assert [p.objects[0].ignore for p in data.pictures] == [False, True, False]
    assert {p.objects[0].label for p in data.pictures} == {"PLATE"}
    (tmp_path / "merge.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"merge.json: not as edge-train merge writes it .*; merge again"):
        open_dataset(str(tmp_path))
