"""Crops of false boxes for a person to judge: some are of faces that nobody has labelled yet.

What a person decides is kept in ``benchmarks/labels`` (benchmarks/scenes/labels.py), whose form the captions
follow: the picture, and the box as ``x y width height`` in its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import contact_sheet
from benchmarks.scenes.one_look import FOUND_IOU, Seen, is_false
from benchmarks.scenes.packing import Place, Scene
from edge import boxes as geometry
from edge.boxes import Floats
from edge.frames import Pixels


def write(file: Path, scenes: Sequence[Scene], seen: Sequence[Seen]) -> tuple[list[Path], int]:
    """Write the false boxes of all detectors from their lowest reported score on, those of one place once.

    Returns the pages and the number of crops.
    """
    tiles: list[Pixels] = []
    for number, scene in enumerate(scenes):
        hits = [(score, box, one.finder.name) for one in seen for box, score in _false(scene, one, number)]
        kept: list[Floats] = []
        for score, box, name in sorted(hits, key=lambda hit: -hit[0]):
            if kept and geometry.iou(box[None], np.stack(kept)).max() >= FOUND_IOU:
                continue
            kept.append(box)
            place = _place(scene, box)
            if place is not None:  # otherwise it lies on the wall
                tiles.append(
                    contact_sheet.tile(scene.pixels, box.tolist(), _caption(place, box, name, score))
                )
    return contact_sheet.write(file, tiles), len(tiles)


def _false(scene: Scene, one: Seen, number: int) -> list[tuple[Floats, float]]:
    found = one.found[number].at_least(max(one.lowest, min(one.scores)))
    false = is_false(scene, found.boxes)
    return list(zip(found.boxes[false], found.scores[false].tolist(), strict=True))


def _place(scene: Scene, box: Floats) -> Place | None:
    x, y = ((box[:2] + box[2:]) / 2).tolist()
    return next(
        (
            place
            for place in scene.places
            if place.left <= x < place.left + place.width and place.top <= y < place.top + place.height
        ),
        None,
    )


def _caption(place: Place, box: Floats, name: str, score: float) -> tuple[str, str]:
    x1, y1, x2, y2 = box.tolist()
    corner = f"{x1 - place.left:.0f} {y1 - place.top:.0f} {x2 - x1:.0f} {y2 - y1:.0f}"
    return place.path.stem[-22:], f"{corner} {name[:6]} {score:.2f}"
