"""A scene of known faces that walk: every picture of it can be drawn again, by its number.

The shipped portraits move over a wall, each on a path of its own, with faces of ``WIDTHS`` pixels width.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from edge.boxes import Floats
from edge.detection.known_sheets import FACES, portrait_picture
from edge.frames import Pixels
from tests.known_video import with_number

WIDTH, HEIGHT = 1280, 720
WIDTHS = (60, 80, 110, 150)
"""Of the faces, in pixels; each walks in its own quarter of the picture."""
_MARGIN = 0.4
"""How much of a portrait is shown on each side of its face, in widths of the face."""
_TOP = 120
"""Rows at the top left that no portrait enters, so that nothing covers the number of the picture there."""


def draw(number: int) -> Pixels:
    """Picture ``number``, uint8 ``[720, 1280, 3]`` BGR."""
    pixels = _wall().copy()
    for place, (left, top) in enumerate(_corners(number)):
        portrait, _ = _portrait(place)
        pixels[top : top + portrait.shape[0], left : left + portrait.shape[1]] = portrait
    return with_number(pixels, number)


def faces(number: int) -> Floats:
    """Where the faces are in picture ``number``: float32 ``[4, 4]``, ``x1 y1 x2 y2`` in pixels."""
    shown = [_portrait(place)[1] for place in range(len(WIDTHS))]
    corners = np.array(_corners(number), np.float32)
    return np.asarray(np.array(shown) + np.concatenate([corners, corners], axis=1), np.float32)


def _corners(number: int) -> list[tuple[int, int]]:
    """The left and top of each portrait."""
    corners = []
    for place in range(len(WIDTHS)):
        tall, wide = _portrait(place)[0].shape[:2]
        row, column = divmod(place, 2)
        room = WIDTH // 2 - wide, HEIGHT // 2 - tall - (_TOP if row == 0 else 0)
        along, down = np.sin(number / (61 + 5 * place) + place), np.sin(number / (83 + 3 * place) + 2 * place)
        left, top = round((along + 1) / 2 * room[0]), round((down + 1) / 2 * room[1])
        corners.append((column * WIDTH // 2 + left, row * HEIGHT // 2 + top + (_TOP if row == 0 else 0)))
    return corners


@functools.cache
def _portrait(place: int) -> tuple[Pixels, tuple[float, ...]]:
    """The portrait in a quarter, uint8 BGR, and where its face is in it."""
    name = sorted(FACES)[place % len(FACES)]
    x1, y1, x2, y2 = FACES[name]
    margin, scale = round(_MARGIN * (x2 - x1)), WIDTHS[place] / (x2 - x1)
    left, top = max(0, x1 - margin), max(0, y1 - margin)
    cut = portrait_picture(name)[top : y2 + margin, left : x2 + margin]
    tall, wide = (round(side * scale) for side in cut.shape[:2])
    shrunk = np.asarray(cv2.resize(cut, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8)
    return shrunk, tuple(scale * side for side in (x1 - left, y1 - top, x2 - left, y2 - top))


@functools.cache
def _wall() -> Pixels:
    """Soft colours: what a key frame of it costs is a few packets, so that some arrive whole at any loss."""
    noise = np.random.default_rng(2).integers(70, 180, (6, 10, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
