"""The parts of a merge: each is a labelled set with a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from convert.training.datasets import DatasetError, Labels, Picture, read_labels
from convert.training.merge.corrections import Corrections
from convert.training.merge.names import Names, clean
from convert.training.merge.request import NAME, MergeRequest

RENAMED = "parts renamed because another set has the same name"


@dataclass
class Part:
    """``counts``: the labels that count as the object. ``warnings``: what the user should see to."""

    name: str
    labels: Labels
    corrections: Corrections = field(default_factory=Corrections)
    counts: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        return self.labels.pictures

    @cached_property
    def before(self) -> Counter[str]:
        """How many objects of each label the set has."""
        return Counter(each.label for picture in self.pictures for each in picture.objects)

    def inside(self, place: Path | str) -> str:
        """A place (a file, or a file with line or key) as seen from the folder of the set; of a picture that
        lies elsewhere, the name alone."""
        inside = str(place).removeprefix(f"{self.labels.folder}/")
        return Path(inside).name if Path(inside).is_absolute() else inside


def open_parts(request: MergeRequest) -> list[Part]:
    """Read the labels of all sets. Raises DatasetError."""
    named = _named(request.datasets)
    known = [name for name, _, _ in named]
    given = [("--format", name) for name, _ in request.kinds if name]
    given += [("--licence", name) for name, _ in request.licences]
    given += [("--source", name) for name, _ in request.sources]
    for option, name in given:
        if name not in known:
            raise DatasetError(f"{option}: no set is named {name}; there are: {', '.join(known)}")
    kinds = dict(request.kinds)
    parts = []
    for name, folder, renamed in named:
        if request.out.resolve().is_relative_to(folder.resolve()):
            raise DatasetError(f"--out {request.out} lies in the set {folder}; choose a folder outside of it")
        labels = read_labels(folder, kinds.get(name, kinds.get("")), with_levels=False)
        parts.append(Part(name, labels))
        if renamed:
            parts[-1].corrections.add(RENAMED, f"{folder.resolve().name} is {name}")
    return parts


def _named(datasets: Sequence[str]) -> list[tuple[str, Path, bool]]:
    """Name and folder of each set, and whether the name was changed.

    A name that is given stands; equal names of folders get a number. Raises DatasetError.
    """
    names, seen = Names(), dict[Path, str]()
    given = [_given(text) for text in datasets]
    for name, folder in given:
        if not folder.is_dir():
            raise DatasetError(f"{folder} is no folder; give the folder of a labelled set, or NAME=FOLDER")
        if folder.resolve() in seen:
            raise DatasetError(f"{folder} is given twice, also as {seen[folder.resolve()]}; give it once")
        seen[folder.resolve()] = str(folder)
        if name and names.take(name)[1]:
            raise DatasetError(f"two sets are named {name}; give each a name of its own, NAME=FOLDER")
    found = []
    for name, folder in given:
        taken, renamed = (name, False) if name else names.take(clean(folder.resolve().name))
        found.append((taken, folder, renamed))
    return found


def _given(text: str) -> tuple[str, Path]:
    name, sign, rest = text.partition("=")
    if sign and NAME.fullmatch(name) and not Path(text).is_dir():
        return name, Path(rest)
    return "", Path(text)
