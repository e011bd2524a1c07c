"""Faces that a set does not label, added by a committed list, so that a false box is false.

``benchmarks/labels/NAME.json`` holds the rule by which a person judged candidates, where these came from, and
for each picture the added boxes. A picture is recognised by its name, its size and the number of its labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from benchmarks import common
from benchmarks.machine import Strict
from convert.training.datasets import DataSet, DatasetError, LabelledObject, Picture, Split

FOLDER = common.ROOT / "benchmarks" / "labels"


@dataclass(frozen=True)
class AddedFace(LabelledObject):
    """A face that the set does not label. Its box is a detector's and says nothing about exact boxes."""


class Addition(Strict):
    """``box``: ``x y width height`` in pixels of the upright picture. ``ignore``: a person could not tell, or
    need not, whether this is a face. ``by``: what found it, as ``candidates`` of the list says; ``score`` is
    the highest, None where it was not kept."""

    box: tuple[float, float, float, float]
    masked: bool | None
    ignore: bool
    by: str
    score: float | None


class CompletedPicture(Strict):
    """``labelled``: how many faces the set labels in it."""

    image: str
    width: int
    height: int
    labelled: int
    faces: list[Addition]


class Completion(Strict):
    """The list; ``split`` is the one whose pictures were judged, ``candidates`` says where its boxes came
    from."""

    dataset: str
    split: Split
    rule: list[str]
    candidates: list[str]
    judged: str
    pictures: list[CompletedPicture]


class Completed(Strict):
    """What a result says of it: ``added`` faces count, ``ignored`` ones do not."""

    file: str
    pictures: int
    added: int
    ignored: int


def complete(dataset: DataSet, folder: Path = FOLDER) -> tuple[DataSet, Completed | None]:
    """The set with the faces of the list for ``dataset.name``, and what was added.

    That is None where there is no such list, or it has none of the pictures. Raises DatasetError for a list
    that cannot be read, and for a picture of another size, or with another number of labels, than it was
    made for.
    """
    file = folder / f"{dataset.name}.json"
    if not file.is_file():
        return dataset, None
    try:
        completion = Completion.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    wanted = {entry.image: entry for entry in completion.pictures}
    pictures = []
    used: list[Addition] = []
    matched = 0
    for picture in dataset.pictures:
        entry = wanted.get(picture.path.name)
        if entry is not None and picture.split in (completion.split, None):
            picture = _completed(picture, entry, file)
            used += entry.faces
            matched += 1
        pictures.append(picture)
    if not matched:
        return dataset, None
    ignored = sum(each.ignore for each in used)
    summary = Completed(file=file.name, pictures=matched, added=len(used) - ignored, ignored=ignored)
    return replace(dataset, pictures=tuple(pictures)), summary


def _completed(picture: Picture, entry: CompletedPicture, file: Path) -> Picture:
    size, labels = (entry.width, entry.height), len(picture.objects)
    if picture.size not in (None, size) or labels != entry.labelled:
        raise DatasetError(
            f"{picture.path}: {picture.size} pixels and {labels} labels, but {file.name} completes a picture "
            f"of {size} with {entry.labelled}; take the set that was judged, or this entry out of that file"
        )
    return replace(picture, objects=(*picture.objects, *_faces(entry.faces)))


def _faces(additions: Sequence[Addition]) -> list[AddedFace]:
    return [
        AddedFace((x, y, x + width, y + height), each.ignore, each.masked)
        for each in additions
        for x, y, width, height in [each.box]
    ]
