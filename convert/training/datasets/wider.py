"""Labels of WIDER FACE (Yang et al., CVPR 2016): its text, and its lists of easy, medium and hard faces."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from convert.training.datasets.form import (
    LEVELS,
    DatasetError,
    LabelledObject,
    Labels,
    Picture,
    corners,
    place_of,
    read_text,
    split_of,
)

WIDER_FIELDS = ("x", "y", "w", "h", "blur", "expression", "illumination", "invalid", "occlusion", "pose")

Levels = dict[str, dict[str, list[int]]]
"""By level and picture (without its suffix): the places of its faces among those of the picture."""


def read_wider(labels: Labels, *, with_levels: bool = True) -> None:
    """Read WIDER's text; ``with_levels``: also the lists of easy, medium and hard faces, where they are."""
    labels.names.add("face")
    for file in labels.files:
        labels.pictures += _pictures(file, labels.folder, labels.notes, with_levels)


def _pictures(file: Path, folder: Path, notes: list[str], with_levels: bool) -> list[Picture]:
    split = split_of(file.stem)
    levels = _wider_levels(file, folder, notes) if with_levels and split == "val" else {}
    images = f"WIDER_{'train' if split == 'train' else 'val'}/images"
    bases = [folder / images, folder / "images", folder, file.parent]
    pictures, flat = [], 0
    for name, rows, at in _wider_entries(file):
        where = f"{file}:{at + 1}"
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
        for number, (row, levels_of_face) in enumerate(zip(rows, sets, strict=True)):
            x, y, width, height, *rest = row
            # The set itself has a few faces without width or height.
            empty = width <= 0 or height <= 0
            flat += empty
            invalid = rest[WIDER_FIELDS.index("invalid") - 4] != 0
            labelled = LabelledObject(
                corners(x, y, width, height),
                invalid or empty,
                sets=levels_of_face,
                where=f"{file}:{at + 3 + number}",
            )
            faces.append(labelled)
        pictures.append(Picture(place_of(name, bases), tuple(faces), split))
    if flat:
        notes.append(f"{file.name}: {flat} faces without width or height are ignored")
    return pictures


def _wider_entries(file: Path) -> Iterable[tuple[str, list[list[float]], int]]:
    """Each picture's name, the rows of its faces, and the line of its name, from 0."""
    lines = [line.strip() for line in read_text(file).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        name, where = lines[at], f"{file}:{at + 1}"
        if not name or at + 1 >= len(lines) or not (lines[at + 1].isascii() and lines[at + 1].isdigit()):
            raise DatasetError(
                f"{where}: expected the name of a picture, and on the next line how many faces"
            )
        count = int(lines[at + 1])
        if at + 2 + count > len(lines):
            raise DatasetError(f"{where}: {count} faces are announced, but the file ends before")
        rows = [_wider_row(lines[n], f"{file}:{n + 1}") for n in range(at + 2, at + 2 + count)]
        begin, at = at, at + 2 + count
        if count == 0 and at < len(lines) and set(lines[at].split()) == {"0"}:
            at += 1
        yield name, rows, begin


def _wider_row(line: str, where: str) -> list[float]:
    try:
        row = [float(field) for field in line.split()]
    except ValueError:
        row = []
    if len(row) != len(WIDER_FIELDS) or not all(map(math.isfinite, row)):
        raise DatasetError(f"{where}: expected ten numbers, {' '.join(WIDER_FIELDS)}, not {line[:80]!r}")
    return row


def _wider_levels(file: Path, folder: Path, notes: list[str]) -> Levels:
    names = {level: f"wider_{level}_val.mat" for level in LEVELS}
    bases = [file.parent, folder, file.parent / "ground_truth", folder / "ground_truth"]
    found = {level: place_of(name, bases) for level, name in names.items()}
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
            f"{file}: not a list of WIDER FACE ({type(error).__name__}: {error}); expected the cells "
            "event_list, file_list and gt_list"
        ) from error
    return listed
