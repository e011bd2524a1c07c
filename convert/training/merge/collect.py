"""Go through the pictures of all parts: check, correct, leave out doubles, and write what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.training.datasets import Box, DatasetError, Picture, Split
from convert.training.merge import boxes
from convert.training.merge.names import Names, clean
from convert.training.merge.parts import Part
from convert.training.merge.pictures import Prepared, prepare
from convert.training.merge.request import Progress
from edge.errors import PictureError

MISSING = "pictures left out because they are missing"
UNREADABLE = "pictures left out because they cannot be read"
OTHER_SIZE = "pictures left out because their labels are for another size"
DOUBLE = "pictures left out because they are there already"
JOINED = "pictures left out because they are there already; their labels differ and were joined"
RENAMED = "pictures renamed because another has the same name"
TWICE = "boxes dropped because the same one is there already"
SAME_OBJECT = 0.5
"""Overlap (IoU) from which two boxes of the same picture, labelled twice, are one object."""
_HELD_OUT: dict[Split | None, int] = {None: 0, "train": 1, "val": 2, "eval": 3, "test": 3}


@dataclass(frozen=True)
class Kept:
    """One object of the merged set. ``box``: ``x1 y1 x2 y2`` in pixels; ``was``: its label in the part."""

    box: Box
    was: str
    masked: bool | None
    ignore: bool


@dataclass
class Entry:
    """One picture of the merged set. ``image``: its file name; ``origin``: part and path there. ``own``: the
    split that its part gives it."""

    image: str
    size: tuple[int, int]
    part: str
    origin: str
    sha256: str
    own: Split | None
    objects: list[Kept]


class Collector:
    """Writes pictures to ``images`` and keeps an entry of each."""

    def __init__(self, images: Path) -> None:
        self.entries: list[Entry] = []
        self._images = images
        self._names = Names()
        self._by_pixels: dict[str, Entry] = {}

    def add(self, part: Part, progress: Progress) -> None:
        """Raises DatasetError where nothing of the part can be used."""
        had, first, pictures = sum(part.before[name] for name in part.counts), len(self.entries), 0
        for number, picture in enumerate(part.pictures, 1):
            progress(f"{part.name}: picture {number} of {len(part.pictures)}")
            prepared = _prepared(part, picture)
            if prepared is not None:
                pictures += 1
                self._take(part, picture, prepared)
        left = sum(len(entry.objects) for entry in self.entries[first:])
        doubles = pictures - (len(self.entries) - first)
        if not pictures or (had and not left and not doubles):
            raise DatasetError(
                "\n".join(
                    [
                        f"{part.name}: of its {len(part.pictures)} pictures and {had} objects that count "
                        "nothing can be used:",
                        *part.corrections.lines(),
                    ]
                )
            )

    def _take(self, part: Part, picture: Picture, prepared: Prepared) -> None:
        place = part.inside(picture.path)
        objects = _objects(part, picture, prepared.size)
        known = self._by_pixels.get(prepared.pixels_sha256)
        if known is not None:
            known.own = max(known.own, picture.split, key=lambda split: _HELD_OUT[split])
            differ = _join(known.objects, objects)
            part.corrections.add(JOINED if differ else DOUBLE, f"{place} is {known.origin}")
            return
        for change in prepared.changes:
            part.corrections.add(change, place)
        wanted = f"{part.name}_{clean(picture.path.stem)}{prepared.suffix}"
        name, renamed = self._names.take(wanted)
        if renamed:
            part.corrections.add(RENAMED, f"{place} is {name}")
        (self._images / name).write_bytes(prepared.data)
        entry = Entry(
            f"{self._images.name}/{name}",
            prepared.size,
            part.name,
            f"{part.name}/{place}",
            prepared.sha256,
            picture.split,
            objects,
        )
        self._by_pixels[prepared.pixels_sha256] = entry
        self.entries.append(entry)


def _prepared(part: Part, picture: Picture) -> Prepared | None:
    """The picture, or None where it is left out."""
    place = part.inside(picture.path)
    if not picture.path.is_file():
        part.corrections.add(MISSING, place)
        return None
    try:
        prepared = prepare(picture.path)
    except PictureError as error:
        part.corrections.add(UNREADABLE, f"{place}: {error}")
        return None
    if picture.size not in (None, prepared.size):
        labelled, found = ("x".join(map(str, size)) for size in (picture.size or (), prepared.size))
        part.corrections.add(OTHER_SIZE, f"{place}: labelled as {labelled}, it is {found}")
        return None
    return prepared


def _objects(part: Part, picture: Picture, size: tuple[int, int]) -> list[Kept]:
    """The objects that count, with boxes that are in the picture."""
    found: dict[tuple[Box, str], Kept] = {}
    for each in picture.objects:
        if each.label not in part.counts:
            continue
        box, done = boxes.correct(each.box, *size)
        where = part.inside(each.where) or part.inside(picture.path)
        if done:
            part.corrections.add(done, where)
        if box is None:
            continue
        if (box, each.label) in found:
            part.corrections.add(TWICE, where)
            continue
        found[box, each.label] = Kept(box, each.label, each.masked, each.ignore)
    return list(found.values())


def _join(known: list[Kept], more: Sequence[Kept]) -> bool:
    """Add the objects that ``known`` lacks; return whether the two differ by a pixel or more."""
    differ = set(map(_rough, known)) != set(map(_rough, more))
    here = list(known)
    known += [each for each in more if all(boxes.overlap(each.box, one.box) < SAME_OBJECT for one in here)]
    return differ


def _rough(kept: Kept) -> tuple[tuple[int, ...], bool | None, bool]:
    return tuple(map(round, kept.box)), kept.masked, kept.ignore
