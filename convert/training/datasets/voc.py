"""Labels in XML, one file a picture (PASCAL VOC devkit, section "annotations")."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from convert.training.datasets.form import (
    DatasetError,
    LabelledObject,
    Labels,
    Picture,
    Split,
    masked_by,
    place_of,
    read_bytes,
    read_text,
    split_of,
)

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class _NoDoctype(ElementTree.TreeBuilder):
    """Entities can make a small file fill the memory, and labels need none."""

    def doctype(self, *_: str | None) -> None:
        raise DatasetError("it has a DOCTYPE, which labels do not need; take it out")


def read_voc(labels: Labels) -> None:
    """Read one file a picture. Its split is that of the list that names it (``ImageSets/Main/train.txt``), or
    of the folder that the file lies in."""
    folder = labels.folder
    lists = _lists(folder)
    for file in labels.files:
        root = _xml(file)
        objects = tuple(_object(entry, n, file) for n, entry in enumerate(root.iter("object"), 1))
        bases = [folder / "images", folder / "JPEGImages", folder, file.parent]
        path = place_of(_text(root, "filename", file), bases)
        size = None
        if root.find("size") is not None:
            size = _side(root, "width", file), _side(root, "height", file)
        split = lists.get(file.stem) or (None if file.parent == folder else split_of(file.parent.name))
        # Some tools write 0 x 0 where they do not know the size.
        labels.pictures.append(Picture(path, objects, split, size if size and all(size) else None))
    labels.names |= {each.label for picture in labels.pictures for each in picture.objects}


def _lists(folder: Path) -> dict[str, Split]:
    """The split of each picture that is in a list of the devkit's, by its name without the suffix."""
    splits: dict[str, Split] = {}
    for split in SPLITS:
        file = folder / "ImageSets" / "Main" / f"{split}.txt"
        names = read_text(file).split() if file.is_file() else ()
        for name in names:
            if name in splits:
                raise DatasetError(f"{file}: {name} is in {splits[name]}.txt, too; keep it in one of them")
            splits[name] = split
    return splits


def _object(entry: ElementTree.Element, number: int, file: Path) -> LabelledObject:
    name = _text(entry, "name", file)
    x1, y1, x2, y2 = (_number(entry, f"bndbox/{key}", file) for key in ("xmin", "ymin", "xmax", "ymax"))
    difficult = entry.find("difficult") is not None and _number(entry, "difficult", file) != 0
    where = f"{file}: object {number}"
    return LabelledObject((x1, y1, x2, y2), difficult, masked_by(name), label=name, where=where)


def _xml(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(read_bytes(file), ElementTree.XMLParser(target=_NoDoctype()))
    except ElementTree.ParseError as error:
        raise DatasetError(f"{file}: no readable XML: {error}") from error
    except DatasetError as error:
        raise DatasetError(f"{file}: {error}") from error


def _text(element: ElementTree.Element, key: str, file: Path) -> str:
    text = (element.findtext(key) or "").strip()
    if not text:
        raise DatasetError(f"{file}: {element.tag}/{key} is missing or empty; add it")
    return text


def _number(element: ElementTree.Element, key: str, file: Path) -> float:
    text = _text(element, key, file)
    try:
        return float(text)
    except ValueError as error:
        raise DatasetError(f"{file}: {element.tag}/{key} is no number: {text!r}") from error


def _side(root: ElementTree.Element, key: str, file: Path) -> int:
    side = _number(root, f"size/{key}", file)
    if not math.isfinite(side):
        raise DatasetError(f"{file}: size/{key} is no number of pixels: {side}")
    return int(side)
