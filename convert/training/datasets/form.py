"""The form into which every labelled set is read, and what the readers share."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from edge.errors import EdgeError

Kind = Literal["jsonl", "wider", "coco", "voc", "yolo"]
Split = Literal["train", "val", "test", "eval"]
Box = tuple[float, float, float, float]

LEVELS = ("easy", "medium", "hard")
FACE_CLASSES = {"face": None, "with_mask": True, "without_mask": False, "mask_weared_incorrect": True}
"""Names of classes that are faces, and whether such a face is masked. All but the first are those of the
public face mask detection set; a mask worn wrongly still covers a part of the face."""
SHOWN = 5
"""As many names are listed in an error."""


class DatasetError(EdgeError):
    """A set cannot be read: says the file, the line or key, and the way out."""


@dataclass(frozen=True)
class LabelledObject:
    """One labelled face, or whatever else a detector is to find.

    ``box``: ``x1 y1 x2 y2`` in pixels of the upright picture. ``ignore``: neither a miss nor, when it is
    found, false. ``masked``: None where the set does not say. ``sets``: those of ``LEVELS`` that it is in.
    ``label``: what it is, as the set names it. ``where``: file and line or key, for messages.
    """

    box: Box
    ignore: bool = False
    masked: bool | None = None
    sets: frozenset[str] = frozenset()
    label: str = "face"
    where: str = field(default="", compare=False, repr=False)

    @property
    def side(self) -> float:
        """The shorter side in pixels."""
        x1, y1, x2, y2 = self.box
        return min(x2 - x1, y2 - y1)


@dataclass(frozen=True)
class Picture:
    """``size``: width and height in pixels as the labels state them; None where they do not. ``source``:
    where it comes from, if the labels say so picture by picture."""

    path: Path
    objects: tuple[LabelledObject, ...]
    split: Split | None = None
    size: tuple[int, int] | None = None
    source: str = ""


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


@dataclass
class Labels:
    """What the files of a set say, as it stands: boxes and pictures are not checked, and may not be there.

    ``names``: the labels that the set declares or uses. ``texts``: further files with labels, one a picture.
    ``licences`` and ``sources`` as the files state them.
    """

    folder: Path
    kind: Kind
    files: tuple[Path, ...]
    pictures: list[Picture] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    texts: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    licences: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def listed(names: Collection[object]) -> str:
    return ", ".join(str(name) for name in list(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror or error}") from error


def read_text(file: Path) -> str:
    try:
        return read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: no UTF-8 text: {error}") from error


def place_of(name: str, bases: Iterable[Path]) -> Path:
    """Where a picture lies: in the first of these folders that has it, or in the first of all."""
    # Tools on Windows write its separator.
    names = [name, name.replace("\\", "/")] if "\\" in name else [name]
    places = [base / each for each in names for base in bases]
    return next((place for place in places if place.is_file()), places[0])


def corners(x: float, y: float, width: float, height: float) -> Box:
    return x, y, x + width, y + height


def check_box(labelled: LabelledObject) -> None:
    """Raises DatasetError for a box of no area, which nothing could find."""
    x, y, right, bottom = labelled.box
    width, height = right - x, bottom - y
    if not (math.isfinite(x) and math.isfinite(y) and 0 < width < math.inf and 0 < height < math.inf):
        raise DatasetError(
            f"{labelled.where}: the box at x {x:g}, y {y:g} is {width:g} wide and {height:g} high; correct "
            "it, or take it out"
        )


def split_of(*names: str) -> Split | None:
    """What the first of these names of files or folders that names a split says."""
    for name in names:
        words = set(re.findall("[a-z]+", name.lower()))
        if "train" in words:
            return "train"
        if words & {"val", "valid", "validation"}:
            return "val"
        if "test" in words:
            return "test"
        if "eval" in words:
            return "eval"
    return None


def masked_by(label: str) -> bool | None:
    """Whether a face of this class is masked; None where its name does not say."""
    return FACE_CLASSES.get(label.lower())


def face_classes(names: Collection[str], category: str | None, where: str) -> set[str]:
    """Those classes that are a face. Raises DatasetError for none."""
    chosen = {name for name in names if (name == category if category else name.lower() in FACE_CLASSES)}
    if not chosen:
        wanted = repr(category) if category else " or ".join(FACE_CLASSES)
        raise DatasetError(
            f"{where}: no class is {wanted}; there are: {', '.join(sorted(names)) or 'none'}. Say with "
            "--category which one is a face"
        )
    return chosen
