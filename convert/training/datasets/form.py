"""The form into which every labelled set is read, and what the readers share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edge.errors import EdgeError

Kind = Literal["jsonl", "wider", "coco", "voc"]
Split = Literal["train", "eval"]
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
    ``label``: what it is.
    """

    box: Box
    ignore: bool = False
    masked: bool | None = None
    sets: frozenset[str] = frozenset()
    label: str = "face"

    @property
    def side(self) -> float:
        """The shorter side in pixels."""
        x1, y1, x2, y2 = self.box
        return min(x2 - x1, y2 - y1)


@dataclass(frozen=True)
class Picture:
    """``size``: width and height in pixels as the labels state them; None where they do not."""

    path: Path
    objects: tuple[LabelledObject, ...]
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


def listed(names: Collection[object]) -> str:
    return ", ".join(str(name) for name in list(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror or error}") from error


def place_of(name: str, bases: Iterable[Path]) -> Path:
    """Where a picture lies: in the first of these folders that has it, or in the first of all."""
    places = [base / name for base in bases]
    return next((place for place in places if place.is_file()), places[0])


def box_of(x: float, y: float, width: float, height: float, where: str) -> Box:
    """Raises DatasetError for a box of no area, which nothing could find."""
    if not (math.isfinite(x) and math.isfinite(y) and 0 < width < math.inf and 0 < height < math.inf):
        raise DatasetError(
            f"{where}: the box at x {x:g}, y {y:g} is {width:g} wide and {height:g} high; correct it, or "
            "take it out"
        )
    return x, y, x + width, y + height


def split_of(file: Path) -> Split | None:
    """What the name of a file of labels says."""
    words = set(re.findall("[a-z]+", file.stem.lower()))
    if "train" in words:
        return "train"
    return "eval" if words & {"val", "valid", "validation", "eval", "test"} else None


def face_classes(names: Collection[str], category: str | None, where: str) -> dict[str, bool | None]:
    """Those classes that are a face, and whether such a face is masked. Raises DatasetError for none."""
    chosen = {name for name in names if (name == category if category else name.lower() in FACE_CLASSES)}
    if not chosen:
        wanted = repr(category) if category else " or ".join(FACE_CLASSES)
        raise DatasetError(
            f"{where}: no class is {wanted}; there are: {', '.join(sorted(names)) or 'none'}. Say with "
            "--category which one is a face"
        )
    return {name: FACE_CLASSES.get(name.lower()) for name in chosen}


def note_of_others(where: Path, others: Counter[str]) -> list[str]:
    named = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
    return [f"{where.name}: objects that are no faces: {named}"] if others else []
