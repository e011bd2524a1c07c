"""Labelled sets of pictures, read into one form.

A set is a folder, and what lies in it says how it is labelled:

* ``jsonl``: ``annotations.jsonl``, one picture a line: ``image``, ``width``, ``height``, ``split`` (``train``
  or ``eval``; may be left out) and ``faces``, each with ``box`` (x, y, width, height in pixels) and, where
  known, ``masked``, ``difficult``, ``invalid``.
* ``wider``: ``wider_face_val_bbx_gt.txt`` and ``wider_face_train_bbx_gt.txt`` of WIDER FACE (Yang et al.,
  CVPR 2016), also in ``wider_face_split/``. Its division of the validation pictures is read from
  ``wider_easy_val.mat``, ``wider_medium_val.mat`` and ``wider_hard_val.mat``, beside the text or in
  ``ground_truth/``.
* ``coco``: ``*.json``, also in ``annotations/`` (https://cocodataset.org/#format-data).
* ``voc``: ``*.xml``, one a picture, also in ``annotations/`` or ``Annotations/`` (PASCAL VOC devkit, section
  "annotations"). Coordinates are taken as they stand; the devkit counts from 1, today's tools from 0.

What a set marks as crowd, difficult or invalid is a face that need not be found (``Face.ignore``).

Pictures have a split where the set says so, or the name of a COCO or WIDER file does: ``train`` to choose
thresholds on, ``eval`` (names with ``val``, ``eval`` or ``test``) to report and never to choose.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args
from xml.etree import ElementTree

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from benchmarks import common
from edge.errors import EdgeError

Kind = Literal["jsonl", "wider", "coco", "voc"]
Split = Literal["train", "eval"]
Box = tuple[float, float, float, float]

PLACES: dict[Kind, tuple[str, ...]] = {
    "jsonl": ("annotations.jsonl",),
    "wider": ("wider_face_*_bbx_gt.txt", "wider_face_split/wider_face_*_bbx_gt.txt"),
    "coco": ("*.json", "annotations/*.json"),
    "voc": ("*.xml", "annotations/*.xml", "Annotations/*.xml"),
}
"""Where the labels of each kind lie in a folder."""
FACE_CLASSES = {"face": None, "with_mask": True, "without_mask": False, "mask_weared_incorrect": True}
"""Names of classes that are faces, and whether such a face is masked. All but the first are those of the
public face mask detection set; a mask worn wrongly still covers a part of the face."""
LEVELS = ("easy", "medium", "hard")
SHOWN = 5
"""As many names are listed in an error."""


class DatasetError(EdgeError):
    """A set cannot be read: says the file, the line or key, and the way out."""


@dataclass(frozen=True)
class Face:
    """One labelled face.

    ``box``: ``x1 y1 x2 y2`` in pixels of the upright picture. ``ignore``: neither a miss nor, when it is
    found, false. ``masked``: None where the set does not say. ``sets``: those of ``LEVELS`` that it is in.
    """

    box: Box
    ignore: bool = False
    masked: bool | None = None
    sets: frozenset[str] = frozenset()

    @property
    def side(self) -> float:
        """The shorter side in pixels."""
        x1, y1, x2, y2 = self.box
        return min(x2 - x1, y2 - y1)


@dataclass(frozen=True)
class Picture:
    """``size``: width and height in pixels as the labels state them; None where they do not."""

    path: Path
    faces: tuple[Face, ...]
    split: Split | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class DataSet:
    """``notes`` say what the reader left out or did not find. Either all pictures have a split or none."""

    name: str
    kind: Kind
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that there are, ``train`` first."""
        present = {picture.split for picture in self.pictures}
        return tuple(split for split in get_args(Split) if split in present)


def open_dataset(
    name: str, *, kind: Kind | None = None, category: str | None = None, data: Path | None = None
) -> DataSet:
    """Read a set: a folder, or the name of one below the data folder (``benchmarks.common.data_folder``).

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
        raise DatasetError(f"{folder}: no labels{f' of kind {kind}' if kind else ''}; wanted {wanted}")
    if kind is None and len(present) > 1:
        raise DatasetError(
            f"{folder}: labels of several kinds, {', '.join(present)}; choose one with --format"
        )
    kind = kind or present[0]
    if category is not None and kind in ("jsonl", "wider"):
        raise DatasetError(f"{folder}: labels of kind {kind} have no classes; leave out --category")
    notes: list[str] = []
    if kind == "jsonl":
        pictures = [picture for file in files[kind] for picture in _jsonl(file)]
    elif kind == "wider":
        pictures = [picture for file in files[kind] for picture in _wider(file, folder, notes)]
    elif kind == "coco":
        pictures = [picture for file in files[kind] for picture in _coco(file, folder, category, notes)]
    else:
        pictures = _voc(files[kind], folder, category, notes)
    _check(folder, pictures)
    return DataSet(folder.resolve().name, kind, tuple(pictures), tuple(notes))


def _folder(name: str, data: Path | None) -> Path:
    if Path(name).is_dir():
        return Path(name)
    root = common.data_folder(data)
    if root is None:
        raise DatasetError(f"{name} is no folder, and there is no data folder to look for it: give its path")
    if not (root / name).is_dir():
        there = ", ".join(sorted(entry.name for entry in root.iterdir() if entry.is_dir())) or "none"
        raise DatasetError(f"{name} is no folder, and none below {root} either; those there: {there}")
    return root / name


def _check(folder: Path, pictures: Sequence[Picture]) -> None:
    missing = [picture.path for picture in pictures if not picture.path.is_file()]
    if missing:
        raise DatasetError(
            f"{folder}: {len(missing)} of {len(pictures)} pictures are missing: {_first(missing)}; put them "
            "there, or take them out of the labels"
        )
    twice = [path for path, count in Counter(picture.path for picture in pictures).items() if count > 1]
    if twice:
        raise DatasetError(
            f"{folder}: {len(twice)} pictures are labelled twice: {_first(twice)}; keep one file of labels, "
            "and each picture in one split"
        )
    without = [picture.path for picture in pictures if picture.split is None]
    if 0 < len(without) < len(pictures):
        raise DatasetError(
            f"{folder}: {len(without)} of {len(pictures)} pictures have no split: {_first(without)}; give "
            "all of them one (train or eval), or none"
        )
    if not any(not face.ignore for picture in pictures for face in picture.faces):
        raise DatasetError(f"{folder}: {len(pictures)} pictures, but no face that counts: nothing to measure")


def _first(names: Collection[object]) -> str:
    return ", ".join(str(name) for name in list(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror or error}") from error


def _place(name: str, bases: Iterable[Path]) -> Path:
    """Where a picture lies: in the first of these folders that has it, else where it was looked for first."""
    places = [base / name for base in bases]
    return next((place for place in places if place.is_file()), places[0])


def _box(x: float, y: float, width: float, height: float, where: str) -> Box:
    """Raises DatasetError for a box of no area, which nothing could find."""
    if not (math.isfinite(x) and math.isfinite(y) and 0 < width < math.inf and 0 < height < math.inf):
        raise DatasetError(
            f"{where}: the box at x {x:g}, y {y:g} is {width:g} wide and {height:g} high; correct it, or "
            "take it out"
        )
    return x, y, x + width, y + height


def _split_of(file: Path) -> Split | None:
    """What the name of a file of labels says."""
    words = set(re.findall("[a-z]+", file.stem.lower()))
    if "train" in words:
        return "train"
    return "eval" if words & {"val", "valid", "validation", "eval", "test"} else None


# ---------------------------------------------------------------------------------------------------- JSON

Number = Annotated[float, Field(allow_inf_nan=False)]
Record = TypeVar("Record", bound=BaseModel)


class _JsonFace(BaseModel):
    box: tuple[Number, Number, Number, Number]
    masked: bool | None = None
    difficult: bool = False
    invalid: bool = False


class _JsonPicture(BaseModel):
    image: str = Field(min_length=1)
    width: int
    height: int
    split: Split | None = None
    faces: list[_JsonFace]


def _parse(model: type[Record], data: bytes, where: str) -> Record:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{where}: {f'{key}: ' if key else ''}{first['msg']}") from error


def _jsonl(file: Path) -> list[Picture]:
    pictures = []
    for number, line in enumerate(_read(file).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        record = _parse(_JsonPicture, line, where)
        faces = tuple(
            Face(_box(*face.box, f"{where}: faces.{n}"), face.difficult or face.invalid, face.masked)
            for n, face in enumerate(record.faces)
        )
        size = (record.width, record.height)
        pictures.append(Picture(file.parent / record.image, faces, record.split, size))
    return pictures


class _CocoImage(BaseModel):
    id: int
    file_name: str = Field(min_length=1)
    width: int | None = None
    height: int | None = None


class _CocoAnnotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[Number, Number, Number, Number]
    iscrowd: bool = False


class _CocoCategory(BaseModel):
    id: int
    name: str


class _CocoFile(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]


def _coco(file: Path, folder: Path, category: str | None, notes: list[str]) -> list[Picture]:
    content = _parse(_CocoFile, _read(file), str(file))
    names = {entry.id: entry.name for entry in content.categories}
    classes = _face_classes(names.values(), category, str(file))
    faces: dict[int, list[Face]] = {image.id: [] for image in content.images}
    if len(faces) < len(content.images):
        raise DatasetError(f"{file}: images: an id is there twice; give each picture its own")
    others: Counter[str] = Counter()
    for number, entry in enumerate(content.annotations):
        where = f"{file}: annotations.{number}"
        if entry.image_id not in faces:
            raise DatasetError(f"{where}: image_id {entry.image_id} is not in images; add it there")
        if entry.category_id not in names:
            raise DatasetError(f"{where}: category_id {entry.category_id} is not in categories; add it there")
        name = names[entry.category_id]
        if name in classes:
            face = Face(_box(*entry.bbox, f"{where}: bbox"), entry.iscrowd, classes[name])
            faces[entry.image_id].append(face)
        else:
            others[name] += 1
    notes += _note_of_others(file, others)
    # Behind the last underscore of instances_val2017.json COCO has the folder of its pictures.
    of_name = file.stem.rpartition("_")[2]
    bases = [folder / "images", folder, file.parent, folder / of_name, folder / "images" / of_name]
    return [
        Picture(
            _place(image.file_name, bases),
            tuple(faces[image.id]),
            _split_of(file),
            (image.width, image.height) if image.width and image.height else None,
        )
        for image in content.images
    ]


def _face_classes(names: Collection[str], category: str | None, where: str) -> dict[str, bool | None]:
    """Those classes that are a face, and whether such a face is masked. Raises DatasetError for none."""
    chosen = {name for name in names if (name == category if category else name.lower() in FACE_CLASSES)}
    if not chosen:
        wanted = repr(category) if category else " or ".join(FACE_CLASSES)
        raise DatasetError(
            f"{where}: no class is {wanted}; there are: {', '.join(sorted(names)) or 'none'}. Say with "
            "--category which one is a face"
        )
    return {name: FACE_CLASSES.get(name.lower()) for name in chosen}


def _note_of_others(where: Path, others: Counter[str]) -> list[str]:
    named = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
    return [f"{where.name}: objects that are no faces: {named}"] if others else []


# --------------------------------------------------------------------------------------------- PASCAL VOC


class _NoDoctype(ElementTree.TreeBuilder):
    """Entities can make a small file fill the memory, and labels need none."""

    def doctype(self, *_: str | None) -> None:
        raise DatasetError("it has a DOCTYPE, which labels do not need; take it out")


def _voc(files: Sequence[Path], folder: Path, category: str | None, notes: list[str]) -> list[Picture]:
    roots = {file: _xml(file) for file in files}
    names = {_text(entry, "name", file) for file, root in roots.items() for entry in root.iter("object")}
    classes = _face_classes(names, category, str(folder))
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
            box = _box(x1, y1, x2 - x1, y2 - y1, f"{file}: object {number + 1}")
            difficult = entry.find("difficult") is not None and _number(entry, "difficult", file) != 0
            faces.append(Face(box, difficult, classes[name]))
        bases = [folder / "images", folder / "JPEGImages", folder, file.parent]
        path = _place(_text(root, "filename", file), bases)
        size = None
        if root.find("size") is not None:
            size = int(_number(root, "size/width", file)), int(_number(root, "size/height", file))
        # Some tools write 0 x 0 when they did not look.
        pictures.append(Picture(path, tuple(faces), size=size if size and all(size) else None))
    notes += _note_of_others(folder, others)
    return pictures


def _xml(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(_read(file), ElementTree.XMLParser(target=_NoDoctype()))
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


# ---------------------------------------------------------------------------------------------- WIDER FACE

WIDER_FIELDS = ("x", "y", "w", "h", "blur", "expression", "illumination", "invalid", "occlusion", "pose")

Levels = dict[str, dict[str, list[int]]]
"""By level and picture (without its suffix): the places of its faces among those of the picture."""


def _wider(file: Path, folder: Path, notes: list[str]) -> list[Picture]:
    split = _split_of(file)
    levels = _wider_levels(file, folder, notes) if split == "eval" else {}
    images = f"WIDER_{'train' if split == 'train' else 'val'}/images"
    bases = [folder / images, folder / "images", folder, file.parent]
    pictures, flat = [], 0
    for name, rows, where in _wider_entries(file):
        sets = [frozenset[str]()] * len(rows)
        for level, listed in levels.items():
            places = listed.get(name.rpartition(".")[0])
            if places is None or not all(0 <= place < len(rows) for place in places):
                problem = "has no such picture" if places is None else "names more faces than it has here"
                raise DatasetError(
                    f"{where}: {name}: wider_{level}_val.mat {problem}; the lists and the text must be of "
                    "the same release, or take the lists away"
                )
            for place in places:
                sets[place] |= {level}
        faces = []
        for (x, y, width, height, *rest), levels_of_face in zip(rows, sets, strict=True):
            # The set itself has a few faces without width or height.
            empty = width <= 0 or height <= 0
            flat += empty
            invalid = rest[WIDER_FIELDS.index("invalid") - 4] != 0
            faces.append(Face((x, y, x + width, y + height), invalid or empty, sets=levels_of_face))
        pictures.append(Picture(_place(name, bases), tuple(faces), split))
    if flat:
        notes.append(f"{file.name}: {flat} faces without width or height are ignored")
    return pictures


def _wider_entries(file: Path) -> Iterable[tuple[str, list[list[float]], str]]:
    """Each picture's name, the rows of its faces, and the place in the file."""
    try:
        lines = [line.strip() for line in _read(file).decode("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: no UTF-8 text: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        name, where = lines[at], f"{file}:{at + 1}"
        if not name or at + 1 >= len(lines) or not (lines[at + 1].isascii() and lines[at + 1].isdigit()):
            raise DatasetError(f"{where}: wanted the name of a picture, and on the next line how many faces")
        count = int(lines[at + 1])
        if at + 2 + count > len(lines):
            raise DatasetError(f"{where}: {count} faces are announced, but the file ends before")
        rows = [_wider_row(lines[n], f"{file}:{n + 1}") for n in range(at + 2, at + 2 + count)]
        at += 2 + count
        if count == 0 and at < len(lines) and set(lines[at].split()) == {"0"}:
            at += 1
        yield name, rows, where


def _wider_row(line: str, where: str) -> list[float]:
    try:
        row = [float(field) for field in line.split()]
    except ValueError:
        row = []
    if len(row) != len(WIDER_FIELDS) or not all(map(math.isfinite, row)):
        raise DatasetError(f"{where}: wanted ten numbers, {' '.join(WIDER_FIELDS)}, not {line[:80]!r}")
    return row


def _wider_levels(file: Path, folder: Path, notes: list[str]) -> Levels:
    names = {level: f"wider_{level}_val.mat" for level in LEVELS}
    bases = [file.parent, folder, file.parent / "ground_truth", folder / "ground_truth"]
    found = {level: _place(name, bases) for level, name in names.items()}
    missing = [names[level] for level, path in found.items() if not path.is_file()]
    if len(missing) == len(LEVELS):
        notes.append(
            f"no division into easy, medium and hard: {', '.join(missing)} are not beside {file.name}"
        )
        return {}
    if missing:
        raise DatasetError(
            f"{file.parent}: {', '.join(missing)} is missing; all three lists are needed, or none"
        )
    return {level: _wider_list(path) for level, path in found.items()}


def _wider_list(file: Path) -> dict[str, list[int]]:
    """One of WIDER's lists: cells of events, of their pictures, and of places of faces, from 1, in each."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise DatasetError(f"{file}: reading it needs scipy: pip install 'edge-anonymizer[bench]'") from error
    try:
        content = loadmat(file)
        listed = {}
        for event, names, faces in zip(
            content["event_list"][:, 0], content["file_list"][:, 0], content["gt_list"][:, 0], strict=True
        ):
            for name, places in zip(names[:, 0], faces[:, 0], strict=True):
                listed[f"{event[0]}/{name[0]}"] = [int(place) - 1 for place in np.ravel(places)]
    except (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, MatReadError) as error:
        raise DatasetError(
            f"{file}: not a list of WIDER FACE ({type(error).__name__}: {error}); wanted the cells "
            "event_list, file_list and gt_list"
        ) from error
    return listed
