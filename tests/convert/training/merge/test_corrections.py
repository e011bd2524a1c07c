"""Each mistake in labels and pictures is corrected and counted, or ends in an error that names it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convert.training.datasets import DatasetError
from convert.training.merge import boxes, collect, parts, pictures
from edge.pictures import read_picture
from tests.convert.training.merge.sets import (
    FACE,
    HEIGHT,
    WIDTH,
    corrections,
    line,
    merged,
    picture,
    pixels,
    plain_set,
    write_labels,
    written,
)

NAN = math.nan


def one_box(folder: Path, box: list[float]) -> Path:
    picture(folder / "a.png")
    return write_labels(folder, line("a.png", FACE, {"box": box, "label": "face"}))


# -------------------------------------------------------------------------------------------------- boxes


@pytest.mark.parametrize(
    ("box", "left", "what"),
    [
        ([-4, 10, 12, 20], [0, 10, 8, 20], boxes.CLIPPED),
        ([50, 30, 20, 20], [50, 30, 14, 18], boxes.CLIPPED),
        ([40, 10, 24.4, 20], [40, 10, 24, 20], None),  # tools round
        ([60, 10, 12, 20], None, boxes.OUTSIDE),
        ([200, 10, 12, 20], None, boxes.OUTSIDE),
        ([-30, -30, 20, 20], None, boxes.OUTSIDE),
        ([10, 10, 0, 20], None, boxes.NO_AREA),
        ([10, 10, 0.5, 20], None, boxes.NO_AREA),
        ([10, 10, 20, -5], None, boxes.NO_AREA),
        ([NAN, 10, 20, 20], None, boxes.NOT_A_NUMBER),
        ([10, 10, math.inf, 20], None, boxes.NOT_A_NUMBER),
        (FACE["box"], None, collect.TWICE),
    ],
)
def test_a_wrong_box_is_clipped_or_dropped(
    tmp_path: Path, box: list[float], left: list[float] | None, what: str | None
) -> None:
    one_box(tmp_path / "set", box)
    merged(tmp_path / "out", tmp_path / "set")
    kept = [each["box"] for each in written(tmp_path / "out")[0]["objects"]]
    assert kept == [FACE["box"], *([left] if left else [])]
    expected = {what: ["annotations.jsonl:1: objects.1"]} if what else {}
    assert corrections(tmp_path / "out") == expected


def test_a_set_of_which_no_box_can_be_used_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png")
    write_labels(tmp_path / "set", line("a.png", {"box": [0, 0, 640, 480], "label": "face"}))
    with pytest.raises(DatasetError, match="less than half of them is in the picture: 1") as caught:
        merged(tmp_path / "out", tmp_path / "set")
    assert "set: of its 1 pictures and 1 objects that count nothing can be used" in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


# ------------------------------------------------------------------------------------------------- labels


def test_labels_that_do_not_count_are_dropped_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png")
    others = [{"box": [1, 1, 5, 5], "label": label} for label in ("hat", "hat", "Dog")]
    write_labels(tmp_path / "set", line("a.png", FACE, *others))
    result = merged(tmp_path / "out", tmp_path / "set")
    assert (result.before, result.after) == ({"face": 1, "hat": 2, "Dog": 1}, {"face": 1})
    assert "| hat | 2 | 50.0 % | dropped | - | - |" in (tmp_path / "out" / "shares.md").read_text()


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ((), "set: no label is face or with_mask or .*; there are: Dog, hat. Say with --keep"),
        (("dog",), "--keep dog: no set has that label; there are: Dog, hat"),
        (("hat", "cat"), "--keep cat: no set has that label"),
    ],
)
def test_an_unknown_label_is_an_error_that_lists_those_there_are(
    tmp_path: Path, keep: tuple[str, ...], message: str
) -> None:
    picture(tmp_path / "set" / "a.png")
    objects = [{"box": [1, 1, 5, 5], "label": label} for label in ("hat", "Dog")]
    write_labels(tmp_path / "set", line("a.png", *objects))
    with pytest.raises(DatasetError, match=message):
        merged(tmp_path / "out", tmp_path / "set", keep=keep)


def test_a_label_that_one_part_lacks_is_an_error(tmp_path: Path) -> None:
    plain_set(tmp_path / "a")
    plain_set(tmp_path / "b")
    text = (tmp_path / "b" / "annotations.jsonl").read_text()
    (tmp_path / "b" / "annotations.jsonl").write_text(text.replace('"face"', '"head"'))
    with pytest.raises(DatasetError, match="b: no label is face; there are: head"):
        merged(tmp_path / "out", tmp_path / "a", tmp_path / "b", keep=("face",))
    result = merged(tmp_path / "out", tmp_path / "a", tmp_path / "b", keep=("face", "head"), into="HEAD")
    assert (result.into, result.objects, result.before) == ("HEAD", 3, {"face": 3, "head": 3})


def test_a_category_or_class_without_a_name_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 0, "name": "face"}],
    }
    (tmp_path / "set" / "x.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"annotations.0: category_id 7 is not in categories"):
        merged(tmp_path / "out", tmp_path / "set")


def test_pictures_with_nothing_on_them_are_kept_and_said(tmp_path: Path) -> None:
    plain_set(tmp_path / "a")
    picture(tmp_path / "b" / "street.png", 7)
    write_labels(tmp_path / "b", line("street.png"))
    result = merged(tmp_path / "out", tmp_path / "a", tmp_path / "b")
    assert len(result.entries) == 4
    assert "b: no object at all: its pictures count as having nothing to find on them" in result.warnings()
    with pytest.raises(DatasetError, match="1 pictures, but no FACE on any of them"):
        merged(tmp_path / "other", tmp_path / "b")


# ------------------------------------------------------------------------------------------------ pictures


def test_missing_and_unreadable_pictures_are_named(tmp_path: Path) -> None:
    folder = plain_set(tmp_path / "set", 4)
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:500])
    (folder / "3.png").write_bytes(b"no picture")
    merged(tmp_path / "out", folder)
    found = corrections(tmp_path / "out")
    assert found[collect.MISSING] == ["1.png"]
    broken, other = found[collect.UNREADABLE]
    assert broken.startswith("2.png: broken or truncated: ")
    assert other.startswith("3.png: not a JPEG, PNG, WebP, BMP or TIFF picture")
    assert [each["image"] for each in written(tmp_path / "out")] == ["images/set_0.png"]


def test_a_set_without_any_picture_is_refused(tmp_path: Path) -> None:
    folder = plain_set(tmp_path / "set", 2)
    for name in ("0.png", "1.png"):
        (folder / name).unlink()
    with pytest.raises(DatasetError, match=r"left out because they are missing: 2 \(0.png, 1.png\)"):
        merged(tmp_path / "out", folder)


def test_labels_for_another_size_are_not_used(tmp_path: Path) -> None:
    folder = plain_set(tmp_path / "set", 2)
    picture(folder / "1.png", 5, 48, 64)
    merged(tmp_path / "out", folder)
    assert corrections(tmp_path / "out") == {
        collect.OTHER_SIZE: [f"1.png: labelled as {WIDTH}x{HEIGHT}, it is 48x64"]
    }


@pytest.mark.parametrize(
    ("mode", "kind"), [("I;16", "16-bit"), ("L", "grey"), ("RGBA", "alpha"), ("P", "palette")]
)
def test_pictures_of_another_kind_become_8_bit_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    folder = plain_set(tmp_path / "set", 2)
    grey = pixels(3)[..., 0]
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels(3))
    (image if mode == "I;16" else image.convert(mode)).save(folder / "1.png")
    merged(tmp_path / "out", folder)
    assert corrections(tmp_path / "out") == {f"{kind} pictures converted to 8-bit RGB": ["1.png"]}
    read = read_picture(tmp_path / "out" / "images" / "set_1.png").pixels
    assert read.dtype == np.uint8
    if mode == "I;16":
        assert np.array_equal(read[..., 0], grey)


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(folder / "a.jpg", 1, 48, 64, exif=exif, quality=95)
    picture(folder / "b.png", 2)
    write_labels(folder, line("a.jpg", FACE), line("b.png", FACE))
    merged(tmp_path / "out", folder)
    assert corrections(tmp_path / "out") == {pictures.TURNED: ["a.jpg"]}
    with Image.open(tmp_path / "out" / "images" / "set_a.jpg") as image:
        assert image.size == (WIDTH, HEIGHT)
        assert 0x0112 not in image.getexif()
    before = read_picture(folder / "a.jpg").pixels.astype(int)
    after = read_picture(tmp_path / "out" / "images" / "set_a.jpg").pixels.astype(int)
    assert np.abs(before - after).mean() < 6  # noise is the worst there is for JPEG


def test_other_pictures_are_copied_byte_for_byte(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.JPEG", 1, quality=80)
    write_labels(tmp_path / "set", line("a.JPEG", FACE))
    merged(tmp_path / "out", tmp_path / "set")
    copied = (tmp_path / "out" / "images" / "set_a.jpg").read_bytes()
    assert copied == (tmp_path / "set" / "a.JPEG").read_bytes()


# ------------------------------------------------------------------------------- equal names and pictures


def test_two_sets_with_equal_names_of_pictures_keep_both(tmp_path: Path) -> None:
    plain_set(tmp_path / "a", 1, seed=1)
    plain_set(tmp_path / "b", 1, seed=2)
    merged(tmp_path / "out", tmp_path / "a", tmp_path / "b")
    assert [each["image"] for each in written(tmp_path / "out")] == ["images/a_0.png", "images/b_0.png"]
    assert corrections(tmp_path / "out", 1) == {}


def test_two_sets_with_equal_names_get_a_number(tmp_path: Path) -> None:
    plain_set(tmp_path / "one" / "faces", 1, seed=1)
    plain_set(tmp_path / "two" / "faces", 1, seed=2)
    both = tmp_path / "one" / "faces", tmp_path / "two" / "faces"
    result = merged(tmp_path / "out", *both)
    assert [part.name for part in result.parts] == ["faces", "faces-2"]
    assert corrections(tmp_path / "out", 1) == {parts.RENAMED: ["faces is faces-2"]}
    assert {each["part"] for each in written(tmp_path / "out")} == {"faces", "faces-2"}
    with pytest.raises(DatasetError, match="two sets are named x; give each a name of its own"):
        merged(tmp_path / "other", *(f"x={folder}" for folder in both))
    with pytest.raises(DatasetError, match="is given twice"):
        merged(tmp_path / "other", both[0], both[0])


def test_equal_names_in_the_folders_of_one_set_get_a_number(tmp_path: Path) -> None:
    for number, name in enumerate(("x/a.png", "y/a.png", "y/A.png")):
        picture(tmp_path / "set" / name, number)
    write_labels(tmp_path / "set", *(line(name, FACE) for name in ("x/a.png", "y/a.png", "y/A.png")))
    merged(tmp_path / "out", tmp_path / "set")
    assert corrections(tmp_path / "out") == {
        collect.RENAMED: ["y/a.png is set_a-2.png", "y/A.png is set_A-3.png"]
    }


def test_equal_pictures_are_kept_once(tmp_path: Path) -> None:
    plain_set(tmp_path / "a", 2, seed=1)
    plain_set(tmp_path / "b", 2, seed=2)  # its first is the second of a
    merged(tmp_path / "out", tmp_path / "a", tmp_path / "b")
    assert len(written(tmp_path / "out")) == 3
    assert corrections(tmp_path / "out", 1) == {collect.DOUBLE: ["0.png is a/1.png"]}


def test_labels_of_equal_pictures_are_joined(tmp_path: Path) -> None:
    other: dict[str, Any] = {"box": [40, 20, 10, 10], "label": "face"}
    nearly = {"box": [11, 6, 20, 30], "label": "face"}
    picture(tmp_path / "set" / "a.png", 1)
    picture(tmp_path / "set" / "b.png", 1)
    write_labels(tmp_path / "set", line("a.png", FACE), line("b.png", nearly, other))
    merged(tmp_path / "out", tmp_path / "set")
    (only,) = written(tmp_path / "out")
    assert [each["box"] for each in only["objects"]] == [FACE["box"], other["box"]]
    assert corrections(tmp_path / "out") == {collect.JOINED: ["b.png is set/a.png"]}


def test_a_picture_that_is_labelled_in_two_files_is_kept_once(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png", 1)
    for name, box in (("one.json", [1, 2, 10, 20]), ("two.json", [40, 20, 10, 10])):
        content = {
            "images": [{"id": 1, "file_name": "a.png"}],
            "annotations": [{"image_id": 1, "category_id": 0, "bbox": box}],
            "categories": [{"id": 0, "name": "face"}],
        }
        (tmp_path / "set" / name).write_text(json.dumps(content))
    merged(tmp_path / "out", tmp_path / "set")
    (only,) = written(tmp_path / "out")
    assert len(only["objects"]) == 2
    assert corrections(tmp_path / "out") == {collect.JOINED: ["a.png is set/a.png"]}
