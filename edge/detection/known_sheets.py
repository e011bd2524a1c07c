"""Sheets of known faces: pictures that put the shipped portraits at several places and sizes.

Each sheet is as large as one view shows at the scale at which camera frames are searched, with faces of the
smallest promised size in all four corners, so that a detector that is blind in a corner or a half, shifts
its boxes, or has lost what small faces need, misses some. From one sheet to the next, all faces change their
places, so that no answer is right for two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from edge.boxes import Floats
from edge.frames import Pixels
from edge.pictures import read_picture

FACES: dict[str, tuple[int, int, int, int]] = {
    "astronaut.jpg": (180, 62, 271, 182),
    "hopper.jpg": (170, 148, 364, 350),
}
"""Where the face is in each shipped portrait, ``x1 y1 x2 y2`` in its pixels; edge/data/PROVENANCE.md."""
SHEETS = 4
MARGIN = 0.9
"""How much of a portrait is shown on each side of its face, in widths of the face."""
GREYS = (112, 136, 96, 124)
"""Ground of each sheet; where two portraits meet, there is ground between them."""

_CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
_INWARD = (0.0, 0.07, 0.02, 0.1)
"""By what share of the sheet the faces in the corners move inward, for each sheet."""
_LARGER = (((3.0, 0.3, 0.5), (1.7, 0.66, 0.3)), ((3.0, 0.62, 0.4), (1.7, 0.3, 0.7)))
"""Sizes of faces, as multiples of the smallest, and their places, as shares of the room for them."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """``pixels``: uint8 ``[H, W, 3]`` BGR. ``faces``: float32 ``[N, 4]``, ``x1 y1 x2 y2`` in
    pixels, the smallest ones first."""

    pixels: Pixels
    faces: Floats


def draw_sheet(number: int, width: int, height: int, smallest_face: float) -> Sheet:
    """One of the ``SHEETS``, of this size (pixels), with faces of ``smallest_face`` pixels width and larger.

    It is drawn anew each time, because for large faces it is large. Where the size leaves no room for a face,
    it lacks it. Raises PictureError when a portrait cannot be read.
    """
    pixels = np.full((height, width, 3), GREYS[number], np.uint8)
    taken = np.zeros((height, width), np.bool_)
    faces: list[tuple[float, ...]] = []
    inward = _INWARD[number]
    corners = [(1.0, abs(x - inward), abs(y - inward)) for x, y in _CORNERS]
    for place, (size, x, y) in enumerate([*corners, *_LARGER[number % 2]]):
        portrait, box = _portrait((number + place) % (2 * len(FACES)), size * smallest_face)
        tall, wide = portrait.shape[:2]
        if tall > height or wide > width:
            continue
        left, top = round(x * (width - wide)), round(y * (height - tall))
        room = np.s_[top : top + tall, left : left + wide]
        if taken[room].any():
            continue
        pixels[room], taken[room] = portrait, True
        faces.append((box[0] + left, box[1] + top, box[2] + left, box[3] + top))
    return Sheet(pixels, np.array(faces, np.float32).reshape(-1, 4))


@lru_cache(maxsize=4 * len(FACES) * SHEETS)
def _portrait(number: int, face_width: float) -> tuple[Pixels, tuple[float, ...]]:
    """One of the portraits, or its mirror image, with a face of this width (pixels); and where that is."""
    name = sorted(FACES)[number % len(FACES)]
    x1, y1, x2, y2 = FACES[name]
    whole, margin = portrait_picture(name), round(MARGIN * (x2 - x1))
    left, top = max(0, x1 - margin), max(0, y1 - margin)
    cut = whole[top : y2 + margin, left : x2 + margin]
    scale = face_width / (x2 - x1)
    tall, wide = (max(1, round(side * scale)) for side in cut.shape[:2])
    shrunk = np.asarray(cv2.resize(cut, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8)
    box = tuple(scale * side for side in (x1 - left, y1 - top, x2 - left, y2 - top))
    if number // len(FACES) % 2:
        return shrunk[:, ::-1], (wide - box[2], box[1], wide - box[0], box[3])
    return shrunk, box


@cache
def portrait_picture(name: str) -> Pixels:
    """A shipped portrait, uint8 ``[H, W, 3]`` BGR, read-only. Read once per process: a disk that
    fails later has nothing to do with the detector. Raises PictureError."""
    pixels = read_picture(Path(str(resources.files("edge") / "data" / name))).pixels
    pixels.setflags(write=False)
    return pixels
