"""Labels in XML, one file a picture (PASCAL VOC devkit, section "annotations")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from convert.training.datasets.form import (
    DatasetError,
    LabelledObject,
    Picture,
    box_of,
    face_classes,
    note_of_others,
    place_of,
    read_bytes,
)


class _NoDoctype(ElementTree.TreeBuilder):
    """Entities can make a small file fill the memory, and labels need none."""

    def doctype(self, *_: str | None) -> None:
        raise DatasetError("it has a DOCTYPE, which labels do not need; take it out")


def read_voc(files: Sequence[Path], folder: Path, category: str | None, notes: list[str]) -> list[Picture]:
    roots = {file: _xml(file) for file in files}
    names = {_text(entry, "name", file) for file, root in roots.items() for entry in root.iter("object")}
    classes = face_classes(names, category, str(folder))
    others: Counter[str] = Counter()
    pictures = []
    for file, root in roots.items():
        faces = []
        for number, entry in enumerate(root.iter("object")):
            name = _text(entry, "name", file)
            if name not in classes:
                others[name] += 1
                continue
            x1, y1, x2, y2 = (
                _number(entry, f"bndbox/{key}", file) for key in ("xmin", "ymin", "xmax", "ymax")
            )
            box = box_of(x1, y1, x2 - x1, y2 - y1, f"{file}: object {number + 1}")
            difficult = entry.find("difficult") is not None and _number(entry, "difficult", file) != 0
            faces.append(LabelledObject(box, difficult, classes[name]))
        bases = [folder / "images", folder / "JPEGImages", folder, file.parent]
        path = place_of(_text(root, "filename", file), bases)
        size = None
        if root.find("size") is not None:
            size = int(_number(root, "size/width", file)), int(_number(root, "size/height", file))
        # Some tools write 0 x 0 where they do not know the size.
        pictures.append(Picture(path, tuple(faces), size=size if size and all(size) else None))
    notes += note_of_others(folder, others)
    return pictures


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
