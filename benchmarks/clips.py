"""Clips for benchmarks/pipeline: a given one at another size, and a wall with a known number of faces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks import common
from edge.frames import Pixels
from edge.pictures import read_picture
from edge.sources.synthetic import HEIGHT, WIDTH, draw_wall, view

WALL_RATE = 25
FACE_SIDE = 110
"""Height of a portrait on the wall, in pixels; the face is more than half of it."""
COLUMNS, ROWS = 12, 9
BRICK = 40
SWING = 8
"""The camera before the wall moves this many pixels to each side, so that frames differ."""
_PORTRAIT = ("astronaut.jpg", 170, 30, 280, 190)
"""File of edge/data, and the part of it to show: left, top, right, bottom."""


def write_scaled(source: Path, target: Path, width: int, height: int, frames: int | None = None) -> None:
    """Write ``source`` at another size, at most its first ``frames``. Raises SystemExit (2) for no video."""
    film = cv2.VideoCapture(str(source))
    try:
        rate = film.get(cv2.CAP_PROP_FPS)
        pictures = _scaled(film, width, height, frames)
        first = next(pictures, None)
        if first is None or rate <= 0:
            raise common.give_up(f"{source}: no frame can be decoded; is it a video file?")
        write(target, chain([first], pictures), (width, height), Fraction(rate).limit_denominator(1000))
    finally:
        film.release()


def _scaled(film: cv2.VideoCapture, width: int, height: int, frames: int | None) -> Iterator[Pixels]:
    number = 0
    while frames is None or number < frames:
        good, pixels = film.read()
        if not good:
            return
        yield np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        number += 1


def write_demo(target: Path, frames: int) -> None:
    """Write the camera of ``edge demo``, 1280x720: used where no clip is given."""
    wall = draw_wall()
    pictures = (view(wall, number / WALL_RATE) for number in range(frames))
    write(target, pictures, (WIDTH, HEIGHT), Fraction(WALL_RATE))


def write_wall(target: Path, width: int, height: int, faces: int, frames: int) -> None:
    """Write a plain wall with ``faces`` equal portraits, at most 108, seen by a camera that sways.

    Raises ValueError for more.
    """
    wall = draw_faces(width + 2 * SWING, height + 2 * SWING, faces)
    pictures = (_swayed(wall, width, height, number) for number in range(frames))
    write(target, pictures, (width, height), Fraction(WALL_RATE))


def draw_faces(width: int, height: int, faces: int) -> Pixels:
    """The wall, uint8 ``[height, width, 3]`` BGR; the same places each time."""
    if not 0 <= faces <= COLUMNS * ROWS:
        raise ValueError(f"{faces} faces: there are {COLUMNS * ROWS} places")
    name, left, top, right, bottom = _PORTRAIT
    portrait = read_picture(common.ROOT / "edge" / "data" / name).pixels[top:bottom, left:right]
    side = min(FACE_SIDE, height // ROWS - 4)
    portrait = np.asarray(
        cv2.resize(portrait, (round(side * portrait.shape[1] / portrait.shape[0]), side)), np.uint8
    )
    random = np.random.default_rng(5)
    noise = random.normal(0, 5, (height, width, 1))
    wall: Pixels = np.clip(np.array([150, 165, 172]) + noise, 0, 255).astype(np.uint8)
    for y in range(0, height, BRICK):  # a wall without edges would count as a covered lens
        cv2.line(wall, (0, y), (width, y), (90, 100, 105), 2)
        for x in range(y % (2 * BRICK), width, 2 * BRICK):
            cv2.line(wall, (x, y), (x, y + BRICK), (90, 100, 105), 2)
    for cell in random.permutation(COLUMNS * ROWS)[:faces].tolist():
        x = cell % COLUMNS * width // COLUMNS + 2
        y = cell // COLUMNS * height // ROWS + 2
        wall[y : y + side, x : x + portrait.shape[1]] = portrait
    return wall


def _swayed(wall: Pixels, width: int, height: int, number: int) -> Pixels:
    x = SWING + round(SWING * math.sin(number / 9))
    y = SWING + round(SWING * math.sin(number / 13))
    return wall[y : y + height, x : x + width]


def write(
    target: Path, pictures: Iterable[Pixels], size: tuple[int, int], rate: Fraction, *, crf: int = 15
) -> None:
    """Encode pictures of ``size`` (width, height; even numbers) as H.264, by default with hardly
    visible loss."""
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = size
        for pixels in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
