"""Labels in text, one file a picture, as YOLO's tools write them (https://docs.ultralytics.com/datasets/detect/).

A line is a class's number and a box as shares of the picture: ``class cx cy w h``. Tools also write outlines,
``class x1 y1 x2 y2 x3 y3 ...``, of which the box around is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from convert.training.datasets.form import (
    Box,
    DatasetError,
    LabelledObject,
    Labels,
    Picture,
    corners,
    listed,
    masked_by,
    read_text,
    split_of,
)
from edge.pictures import SUFFIXES

_ORIENTATION = 0x0112
"""Of EXIF; from 5 on the picture lies on its side."""
_OUTLINE = 7
"""Fewest numbers of a line with an outline: its class and three corners."""

Names = Mapping[int, str]


def read_yolo(labels: Labels) -> None:
    """Read every picture below the folder, with the labels in ``labels/`` (for ``images/``) or beside it.

    A picture without a file of labels has no objects. Its split is that of a folder that it lies in.
    """
    folder = labels.folder
    names = _names(labels.files, labels.notes)
    labels.names |= set(names.values())
    used: set[Path] = set()
    without = 0
    for path in _below(folder, set(SUFFIXES)):
        file = _labels_of(path, folder)
        used.add(file)
        split = split_of(*path.relative_to(folder).parts[:-1])
        size = upright_size(path)
        objects: tuple[LabelledObject, ...] = ()
        if not file.is_file():
            without += 1
        elif size is not None:  # whoever reads the pictures finds that this one is broken
            objects = tuple(_objects(file, names, size))
            labels.texts.append(file)
        labels.pictures.append(Picture(path, objects, split, size))
    if without:
        labels.notes.append(f"{folder.name}: {without} pictures have no file of labels: nothing is on them")
    for file in _below(folder, {".txt"}):
        inside = file.relative_to(folder)
        if "labels" in inside.parts and file not in used and file not in labels.files:
            # Whoever reads the pictures finds that it is missing.
            picture = _other_folder(file, folder, "labels", "images").with_suffix("")
            labels.pictures.append(Picture(picture, ()))


def upright_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels of the upright picture, read from its header; None where that is broken."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            lying = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    # A broken header can make Pillow's readers raise any exception
    except Exception:
        return None
    return (height, width) if lying else (width, height)


def _below(folder: Path, suffixes: set[str]) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in suffixes and path.is_file() and not hidden:
            yield path


def _labels_of(picture: Path, folder: Path) -> Path:
    beside = picture.with_suffix(".txt")
    apart = _other_folder(picture, folder, "images", "labels").with_suffix(".txt")
    return apart if apart.is_file() or not beside.is_file() else beside


def _other_folder(path: Path, folder: Path, old: str, new: str) -> Path:
    """The same path with the last folder that is named ``old`` named ``new``."""
    parts = list(path.relative_to(folder).parts)
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == old:
            parts[place] = new
            break
    return folder.joinpath(*parts)


def _names(files: tuple[Path, ...], notes: list[str]) -> Names:
    """The classes by their number. Raises DatasetError where two files differ."""
    found = {file: _names_in(file, notes) for file in files}
    first = files[0]
    for file, names in found.items():
        if names != found[first]:
            raise DatasetError(f"{first} and {file} name different classes; keep the right one")
    return found[first]


def _names_in(file: Path, notes: list[str]) -> Names:
    text = read_text(file)
    if file.suffix not in (".yaml", ".yml"):
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    content = _yaml(file, text)
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(isinstance(number, int) for number in names):
        raise DatasetError(f"{file}: names: expected the names of the classes, a list or by their number")
    lists = [key for key in ("train", "val", "test") if str(content.get(key, "")).endswith(".txt")]
    if lists:
        notes.append(
            f"{file.name}: lists of pictures ({', '.join(lists)}) are not read; folders with these names are"
        )
    return {number: str(name) for number, name in names.items()}


def _yaml(file: Path, text: str) -> dict[Any, Any]:
    try:
        import yaml
    except ImportError as error:
        raise DatasetError(
            f"{file}: reading it needs PyYAML: pip install 'edge-anonymizer[train]'"
        ) from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DatasetError(f"{file}: no readable YAML: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{file}: no keys with values; expected names")
    return content


def _objects(file: Path, names: Names, size: tuple[int, int]) -> Iterator[LabelledObject]:
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        kind, box = _row(line, where)
        if kind not in names:
            raise DatasetError(
                f"{where}: class {kind} has no name; there are: {listed(list(names.values())) or 'none'}"
            )
        x1, y1, x2, y2 = box
        scaled = (x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1])
        yield LabelledObject(scaled, masked=masked_by(names[kind]), label=names[kind], where=where)


def _row(line: str, where: str) -> tuple[int, Box]:
    """Class and box (x1 y1 x2 y2, as shares) of a line."""
    try:
        kind, *numbers = line.split()
        row = [float(number) for number in numbers]
        if len(row) == 4:
            cx, cy, width, height = row
            return int(kind), corners(cx - width / 2, cy - height / 2, width, height)
        if len(row) + 1 >= _OUTLINE and len(row) % 2 == 0:
            return int(kind), (min(row[::2]), min(row[1::2]), max(row[::2]), max(row[1::2]))
    except ValueError:
        pass
    raise DatasetError(
        f"{where}: expected a class and four numbers, class cx cy w h as shares of the picture, or an "
        f"outline, not {line[:80]!r}"
    )
