"""edge-train merge as a program: what it writes, what it says, and that it writes all or nothing."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import edge
from convert.training.cli import app
from convert.training.datasets import DatasetError, open_dataset
from convert.training.merge import collect, provenance
from edge.pictures import read_picture
from tests.convert.training.merge.sets import (
    FACE,
    corrections,
    line,
    merged,
    picture,
    plain_set,
    record,
    write_labels,
    written,
)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and output, without colours."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    return result.exit_code, re.sub("\x1b\\[[0-9;]*m", "", result.output)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


HELP = """
import sys
from convert.training.cli import app
for arguments in ([], ["merge"]):
    try:
        app([*arguments, "--help"])
    except SystemExit as end:
        assert not end.code
print(sorted({"tensorflow", "keras", "onnx", "onnxruntime", "matplotlib", "cv2"} & set(sys.modules)))
"""


def test_help_is_quick() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    for word in ("--into", "--keep", "--licence", "--split", "Exit codes"):
        assert word in done.stdout


def test_version() -> None:
    assert run("--version") == (0, f"edge-anonymizer {edge.__version__}\n")


def test_a_merge_of_two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    masked = {"box": [1, 2, 10.25, 12], "label": "with_mask", "difficult": True}
    picture(tmp_path / "a" / "1.png", 1)
    picture(tmp_path / "a" / "2.png", 2)
    write_labels(
        tmp_path / "a",
        line("1.png", masked, {"box": [-1, 5, 9, 9], "label": "without_mask"}, split="train"),
        line("2.png", {"box": [5, 5, 9, 9], "label": "hat"}, split="eval"),
    )
    plain_set(tmp_path / "b", 4)
    out = tmp_path / "new" / "merged"
    code, text = run("merge", tmp_path / "a", f"street={tmp_path / 'b'}", "--out", out, "--licence", "a=CC0")
    assert code == 0, text
    assert "a: boxes clipped to the picture: 1 (annotations.jsonl:1: objects.1)\n" in text
    assert "note: street: no licence found; --licence street=TEXT records it\n" in text
    assert re.search(r"hat +1 +0 +1 +14.3 % +dropped +- +-\n", text)
    assert re.search(r"FACE +- +- +- +- +- +6 +100.0 %\n", text)
    assert re.search(r"merged: 6 pictures \(train \d, val \d, test \d\), 6 FACE\n", text)
    assert sorted(files(out)) == [
        "annotations.jsonl",
        *(f"images/{name}.png" for name in ("a_1", "a_2", *(f"street_{n}" for n in range(4)))),
        "merge.json",
        "shares.md",
        "shares.png",
    ]
    first = written(out)[0]
    assert first.pop("split") in ("train", "val")  # val is cut out of train
    assert first == {
        "image": "images/a_1.png",
        "width": 64,
        "height": 48,
        "part": "a",
        "objects": [
            {"box": [1, 2, 10.25, 12], "label": "FACE", "was": "with_mask", "masked": True, "ignore": True},
            {"box": [0, 5, 8, 9], "label": "FACE", "was": "without_mask", "masked": False, "ignore": False},
        ],
    }
    with Image.open(out / "shares.png") as plot:
        assert plot.size[0] > 500
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    data = open_dataset(str(out))
    assert len(data.pictures) == 6
    assert all(read_picture(each.path).pixels.shape == (48, 64, 3) for each in data.pictures)


def test_the_record_says_where_everything_came_from(tmp_path: Path) -> None:
    folder = plain_set(tmp_path / "a", 3, source="street")
    (folder / "LICENSE.txt").write_text("\n  MIT License\nmore\n")
    (folder / "README.md").write_text("About")
    (folder / "license.bin").write_bytes(b"x" * (provenance.MAX_BYTES + 1))
    plain_set(tmp_path / "b", 1, seed=7)
    out = tmp_path / "out"
    merged(out, folder, tmp_path / "b", licences=(("b", "CC BY 4.0"),), sources=(("b", "https://x.org"),))
    content = record(out)
    first, second = content["parts"]
    assert (first["licence"], first["source"]) == ("MIT License (parts/a/LICENSE.txt)", "street")
    assert first["files"] == ["parts/a/LICENSE.txt", "parts/a/README.md"]
    assert (out / "parts" / "a" / "README.md").read_text() == "About"
    assert (second["licence"], second["source"]) == ("CC BY 4.0", "https://x.org")
    digest = hashlib.sha256((folder / "annotations.jsonl").read_bytes()).hexdigest()
    assert first["label_files_sha256"] == {"annotations.jsonl": digest}
    assert (content["into"], content["seed"], content["labels_after"]) == ("FACE", 0, {"FACE": 4})
    assert sum(content["pictures"].values()) == 4
    assert str(tmp_path) not in (out / "merge.json").read_text()
    # What is merged again keeps the licences of its parts, its splits, and what is masked.
    again = merged(tmp_path / "again", out)
    assert record(tmp_path / "again")["parts"][0]["licence"] == (
        "a: MIT License (parts/a/LICENSE.txt); b: CC BY 4.0"
    )
    assert [each["split"] for each in written(tmp_path / "again")] == [each["split"] for each in written(out)]
    assert again.objects == 4


def test_the_same_sets_give_the_same_files(tmp_path: Path) -> None:
    plain_set(tmp_path / "a", 4)
    for name in ("one", "two"):
        merged(tmp_path / name, tmp_path / "a")
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_yolo_and_coco_are_merged_in_pixels(tmp_path: Path) -> None:
    picture(tmp_path / "y" / "images" / "a.png", 1)
    (tmp_path / "y" / "labels").mkdir()
    (tmp_path / "y" / "labels" / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "y" / "classes.txt").write_text("face\n")
    picture(tmp_path / "c" / "b.png", 2)
    content = {
        "images": [{"id": 1, "file_name": "b.png", "width": 64, "height": 48}],
        "annotations": [{"image_id": 1, "category_id": 0, "bbox": [1, 2, 10, 20], "iscrowd": 1}],
        "categories": [{"id": 0, "name": "face"}],
        "licenses": [{"name": "CC BY 4.0"}],
    }
    (tmp_path / "c" / "x.json").write_text(json.dumps(content))
    (tmp_path / "c" / "classes.txt").write_text("face\n")
    code, text = run("merge", tmp_path / "y", tmp_path / "c", "--out", tmp_path / "out")
    assert code == 1
    assert "labels of several kinds, coco, yolo; choose one with --format" in text
    code, text = run("merge", tmp_path / "y", tmp_path / "c", "--out", tmp_path / "out", "--format", "c=coco")
    assert code == 0, text
    assert [each["objects"][0] for each in written(tmp_path / "out")] == [
        {"box": [1, 2, 10, 20], "label": "FACE", "was": "face", "masked": None, "ignore": True},
        {"box": [24, 12, 16, 24], "label": "FACE", "was": "face", "masked": None, "ignore": False},
    ]
    yolo, coco = record(tmp_path / "out")["parts"]
    assert list(yolo["label_files_sha256"]) == ["classes.txt", "labels/a.txt"]
    assert coco["licence"] == "CC BY 4.0"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--split", "80/20"), 2, "such as 80/10/10"),
        (("--licence", "CC0"), 2, "not NAME=TEXT"),
        (("--format", "xml"), 2, "FORMAT is jsonl"),
        (("--into", " "), 2, "not a label"),
        (("--seed", "-1"), 2, "--seed"),
        (("--licence", "b=CC0"), 1, "edge-train: --licence: no set is named b; there are: a"),
        (("--source", "b=x"), 1, "edge-train: --source: no set is named b"),
        (("--format", "b=coco"), 1, "edge-train: --format: no set is named b"),
        (("--format", "coco"), 1, "no labels of kind coco"),
        (("nowhere",), 1, "edge-train: nowhere is no folder; give the folder of a labelled set"),
    ],
)
def test_a_wrong_command_line_is_said(
    tmp_path: Path, arguments: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    plain_set(tmp_path / "a")
    got, text = run("merge", tmp_path / "a", "--out", tmp_path / "out", *arguments)
    assert (got, message in text) == (code, True), text
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    folder = plain_set(tmp_path / "a")
    (tmp_path / "out").mkdir()
    merged(tmp_path / "out", folder)
    before = files(tmp_path / "out")
    for out in (tmp_path / "out", tmp_path / "out" / "merge.json"):
        code, text = run("merge", folder, "--out", out)
        assert code == 1
        assert "exists and is not an empty folder; choose another, or remove it" in text.replace("\n", " ")
    with pytest.raises(DatasetError, match="lies in the set"):
        merged(folder / "out", folder)
    assert files(tmp_path / "out") == before


def test_an_interrupted_merge_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plain_set(tmp_path / "a")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(collect, "prepare", full)
    code, text = run("merge", folder, "--out", tmp_path / "out")
    assert code == 1
    assert "edge-train: [Errno 28] No space left on device" in text
    assert list(tmp_path.iterdir()) == [folder]


def test_without_matplotlib_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, text = run("merge", plain_set(tmp_path / "a"), "--out", tmp_path / "out")
    assert code == 1
    assert "matplotlib is missing; run pip install 'edge-anonymizer[train]'" in text.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_name_has_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain_set(tmp_path / "x=y z", 1)
    picture(tmp_path / "x=y z" / "1.png", 5)
    write_labels(tmp_path / "x=y z", line("1.png", FACE))
    assert [part.name for part in merged(tmp_path / "out", "x=y z").parts] == ["x-y-z"]


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_faces_are_merged(shared_data: Path, tmp_path: Path) -> None:
    code, text = run("merge", shared_data / "faces", "--out", tmp_path / "out", "--licence", "faces=CC0 1.0")
    assert code == 0, text
    data = open_dataset(str(tmp_path / "out"))
    # Three pictures are there twice; the pictures to report on stay what they are.
    splits = [each.split for each in data.pictures]
    assert (len(splits), splits.count("test"), splits.count("val")) == (600, 249, 42)
    assert {each.label for one in data.pictures for each in one.objects} == {"FACE"}
    assert record(tmp_path / "out")["labels_after"] == {"FACE": 2754}
    found = corrections(tmp_path / "out")
    assert {what: len(where) for what, where in found.items()} == {
        "boxes clipped to the picture": 6,
        collect.JOINED: 3,
    }


@pytest.mark.shared
@pytest.mark.slow
def test_the_real_plates_are_merged(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "plates"
    code, text = run("merge", folder, "--out", tmp_path / "out")
    assert code == 1
    assert "there are: license-plate, vehicle. Say with --keep which one counts" in text.replace("\n", " ")
    result = merged(tmp_path / "out", folder, keep=("license-plate",), into="PLATE")
    assert (len(result.entries), result.objects, result.before["vehicle"]) == (671, 847, 467)
    assert record(tmp_path / "out")["parts"][0]["source"] == "eu-street; open-images"
