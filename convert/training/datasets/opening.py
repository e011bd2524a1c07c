"""Open a labelled set: tell its format, read it, check it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.training.datasets.form import (
    DataSet,
    DatasetError,
    Kind,
    Labels,
    Picture,
    check_box,
    face_classes,
    listed,
    read_bytes,
)
from convert.training.datasets.json_labels import read_coco, read_jsonl
from convert.training.datasets.voc import read_voc
from convert.training.datasets.wider import read_wider
from convert.training.datasets.yolo import read_yolo

MERGED = "merge.json"
"""What ``edge-train merge`` writes beside the labels."""
PLACES: dict[Kind, tuple[str, ...]] = {
    "jsonl": ("annotations.jsonl",),
    "wider": ("wider_face_*_bbx_gt.txt", "wider_face_split/wider_face_*_bbx_gt.txt"),
    "coco": ("*.json", "annotations/*.json", "*/_annotations.coco.json"),
    "voc": (
        "*.xml", "annotations/*.xml", "Annotations/*.xml",
        "train/*.xml", "val/*.xml", "valid/*.xml", "test/*.xml",
    ),
    "yolo": ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "labels/classes.txt", "obj.names"),
}  # fmt: skip
"""Where the labels of each kind lie in a folder; of YOLO's, the names of the classes."""
_OTHER_JSON = {MERGED, "notes.json"}
"""Not COCO's: our own, and what Label Studio puts beside YOLO's text."""


def read_labels(folder: Path, kind: Kind | None = None, *, with_levels: bool = True) -> Labels:
    """Read the labels of a folder as they stand. ``kind`` is needed only where several lie there.

    ``with_levels``: also WIDER's lists of easy, medium and hard faces. Raises DatasetError.
    """
    files = {
        each: sorted(
            {file for place in places for file in folder.glob(place) if file.name not in _OTHER_JSON}
        )
        for each, places in PLACES.items()
    }
    present = [each for each, found in files.items() if found]
    wanted = ", ".join(f"{each}: {' or '.join(places)}" for each, places in PLACES.items())
    if not present or (kind is not None and not files[kind]):
        raise DatasetError(f"{folder}: no labels{f' of kind {kind}' if kind else ''}; expected {wanted}")
    if kind is None and len(present) > 1:
        raise DatasetError(
            f"{folder}: labels of several kinds, {', '.join(present)}; choose one with --format"
        )
    kind = kind or present[0]
    labels = Labels(folder, kind, tuple(files[kind]))
    if kind == "jsonl":
        read_jsonl(labels)
    elif kind == "wider":
        read_wider(labels, with_levels=with_levels)
    elif kind == "coco":
        read_coco(labels)
    elif kind == "voc":
        read_voc(labels)
    else:
        read_yolo(labels)
    return labels


def open_dataset(
    name: str,
    *,
    kind: Kind | None = None,
    category: str | None = None,
    data: Path | None = None,
    held_out_as_eval: bool = False,
) -> DataSet:
    """Read a set of one label: a folder, or the name of one below ``data``, where there is such a folder.

    ``kind`` is needed only where several kinds of labels lie in the folder. ``category`` is the label that
    counts; default: that of a merged set, otherwise those of ``FACE_CLASSES``, which all become ``face``.
    ``held_out_as_eval``: both ``val`` and ``test`` are ``eval``. Raises DatasetError.
    """
    folder = _folder(name, data)
    if category is not None and kind == "wider":
        raise DatasetError(f"{folder}: labels of kind {kind} have no classes; leave out --category")
    labels = read_labels(folder, kind)
    pictures = _chosen(labels, category or _merged_label(folder))
    if held_out_as_eval:
        pictures = [
            replace(picture, split="eval") if picture.split in ("val", "test") else picture
            for picture in pictures
        ]
    _check(folder, pictures)
    return DataSet(folder.resolve().name, labels.kind, tuple(pictures), tuple(labels.notes))


def _merged_label(folder: Path) -> str | None:
    """The one label of a merged set; None for any other set."""
    file = folder / MERGED
    if not file.is_file():
        return None
    try:
        return str(json.loads(read_bytes(file))["into"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{file}: not as edge-train merge writes it ({error}); merge again") from error


def _folder(name: str, data: Path | None) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if data is None or not data.is_dir():
        raise DatasetError(f"{name} is no folder, and there is no data folder to look for it: give its path")
    if not (data / name).is_dir():
        there = ", ".join(sorted(entry.name for entry in data.iterdir() if entry.is_dir())) or "none"
        raise DatasetError(f"{name} is no folder, and none below {data} either; those there: {there}")
    return data / name


def _chosen(labels: Labels, category: str | None) -> list[Picture]:
    """The pictures with those objects that count, under one label and each with a box of some area."""
    classes = face_classes(labels.names, category, str(labels.folder))
    others: Counter[str] = Counter()
    pictures = []
    for picture in labels.pictures:
        others.update(each.label for each in picture.objects if each.label not in classes)
        faces = tuple(each for each in picture.objects if each.label in classes)
        if labels.kind != "wider":  # its reader ignores the few that the set itself has
            for face in faces:
                check_box(face)
        unified = tuple(replace(each, label=category or "face") for each in faces)
        pictures.append(replace(picture, objects=unified))
    if others:
        named = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        labels.notes.append(f"{labels.folder.resolve().name}: objects that are no faces: {named}")
    return pictures


def _check(folder: Path, pictures: Sequence[Picture]) -> None:
    missing = [picture.path for picture in pictures if not picture.path.is_file()]
    if missing:
        raise DatasetError(
            f"{folder}: {len(missing)} of {len(pictures)} pictures are missing: {listed(missing)}; put them "
            "there, or take them out of the labels"
        )
    twice = [path for path, count in Counter(picture.path for picture in pictures).items() if count > 1]
    if twice:
        raise DatasetError(
            f"{folder}: {len(twice)} pictures are labelled twice: {listed(twice)}; keep one file of labels, "
            "and each picture in one split"
        )
    without = [picture.path for picture in pictures if picture.split is None]
    if 0 < len(without) < len(pictures):
        raise DatasetError(
            f"{folder}: {len(without)} of {len(pictures)} pictures have no split: {listed(without)}; give "
            "all of them one (train or eval), or none"
        )
    if not any(not face.ignore for picture in pictures for face in picture.objects):
        raise DatasetError(f"{folder}: {len(pictures)} pictures, but no face that counts: nothing to measure")
