"""Open a labelled set: tell its format, read it, check it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from convert.training.datasets.form import DataSet, DatasetError, Kind, Picture, listed
from convert.training.datasets.json_labels import read_coco, read_jsonl
from convert.training.datasets.voc import read_voc
from convert.training.datasets.wider import read_wider

PLACES: dict[Kind, tuple[str, ...]] = {
    "jsonl": ("annotations.jsonl",),
    "wider": ("wider_face_*_bbx_gt.txt", "wider_face_split/wider_face_*_bbx_gt.txt"),
    "coco": ("*.json", "annotations/*.json"),
    "voc": ("*.xml", "annotations/*.xml", "Annotations/*.xml"),
}
"""Where the labels of each kind lie in a folder."""


def open_dataset(
    name: str, *, kind: Kind | None = None, category: str | None = None, data: Path | None = None
) -> DataSet:
    """Read a set: a folder, or the name of one below ``data``, where there is such a folder.

    ``kind`` is needed only where several kinds of labels lie in the folder. ``category`` is the class that
    is a face (COCO and VOC; default: those of ``FACE_CLASSES``). Raises DatasetError.
    """
    folder = _folder(name, data)
    files = {
        each: sorted({file for p in places for file in folder.glob(p)}) for each, places in PLACES.items()
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
    if category is not None and kind in ("jsonl", "wider"):
        raise DatasetError(f"{folder}: labels of kind {kind} have no classes; leave out --category")
    notes: list[str] = []
    if kind == "jsonl":
        pictures = [picture for file in files[kind] for picture in read_jsonl(file)]
    elif kind == "wider":
        pictures = [picture for file in files[kind] for picture in read_wider(file, folder, notes)]
    elif kind == "coco":
        pictures = [picture for file in files[kind] for picture in read_coco(file, folder, category, notes)]
    else:
        pictures = read_voc(files[kind], folder, category, notes)
    _check(folder, pictures)
    return DataSet(folder.resolve().name, kind, tuple(pictures), tuple(notes))


def _folder(name: str, data: Path | None) -> Path:
    if Path(name).is_dir():
        return Path(name)
    if data is None or not data.is_dir():
        raise DatasetError(f"{name} is no folder, and there is no data folder to look for it: give its path")
    if not (data / name).is_dir():
        there = ", ".join(sorted(entry.name for entry in data.iterdir() if entry.is_dir())) or "none"
        raise DatasetError(f"{name} is no folder, and none below {data} either; those there: {there}")
    return data / name


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
