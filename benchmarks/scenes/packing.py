"""Frames at camera resolution, made of labelled pictures that keep their own scale.

Pictures are put beside one another on shelves, before a grey wall, so that each face has in the scene the
pixels that it had in its picture. A clip of a scene is what a camera would send that drifts by a pixel a
frame, with the noise of a sensor, coded as H.264.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks import clips
from convert.training.datasets import LabelledObject, Picture
from edge import boxes as geometry
from edge.boxes import Floats
from edge.frames import Pixels
from edge.pictures import read_picture

GAP = 4
"""Pixels of wall between two pictures."""
RATE = 25
NOISE = 2.0
"""Standard deviation of the sensor's noise in grey levels."""
CRF = 23
"""Quality of H.264, as x264 has it by default; cameras are seldom better."""
WALL, WALL_NOISE = 110.0, 6.0


@dataclass(frozen=True)
class Place:
    """The left and top pixel of a picture in a scene, its width and its height."""

    path: Path
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Scene:
    """``pixels``: uint8 ``[H, W, 3]`` BGR; ``boxes``: float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) of the
    labelled faces, and ``faces`` what the labels say of them. ``places``: where its pictures lie."""

    pixels: Pixels
    boxes: Floats
    faces: tuple[LabelledObject, ...]
    places: tuple[Place, ...] = ()


def pack(pictures: Sequence[Picture], width: int, height: int) -> tuple[list[Scene], list[Path]]:
    """Fill scenes of ``width`` x ``height`` pixels; also returns the pictures that are too large for one.

    The same pictures give the same scenes. Raises PictureError.
    """
    read = [(picture, read_picture(picture.path, convert=True).pixels) for picture in pictures]
    fitting = [(p, pixels) for p, pixels in read if pixels.shape[0] <= height and pixels.shape[1] <= width]
    left_out = [p.path for p, pixels in read if pixels.shape[0] > height or pixels.shape[1] > width]
    # Labelled sets are often sorted by kind, and each scene should have some of every kind.
    np.random.default_rng(3).shuffle(fitting)
    scenes: list[Scene] = []
    placed: list[tuple[int, int, Picture, Pixels]] = []
    left = top = shelf = 0
    for picture, pixels in fitting:
        if left + pixels.shape[1] > width:  # the next shelf
            left, top, shelf = 0, top + shelf + GAP, 0
        if top + pixels.shape[0] > height:
            scenes.append(_draw(placed, width, height, len(scenes)))
            placed, left, top, shelf = [], 0, 0, 0
        placed.append((left, top, picture, pixels))
        left, shelf = left + pixels.shape[1] + GAP, max(shelf, pixels.shape[0])
    if placed:
        scenes.append(_draw(placed, width, height, len(scenes)))
    return scenes, left_out


def _draw(placed: Sequence[tuple[int, int, Picture, Pixels]], width: int, height: int, seed: int) -> Scene:
    noise = np.random.default_rng(seed).normal(WALL, WALL_NOISE, (height, width, 1))
    scene: Pixels = np.repeat(np.clip(noise, 0, 255).astype(np.uint8), 3, axis=2)
    boxes: list[list[float]] = []
    faces: list[LabelledObject] = []
    for left, top, picture, pixels in placed:
        scene[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        for face in picture.objects:
            x1, y1, x2, y2 = face.box
            boxes.append([x1 + left, y1 + top, x2 + left, y2 + top])
            faces.append(face)
    places = [Place(p.path, left, top, pixels.shape[1], pixels.shape[0]) for left, top, p, pixels in placed]
    return Scene(scene, np.array(boxes, np.float32).reshape(-1, 4), tuple(faces), tuple(places))


def write_clip(scene: Scene, target: Path, frames: int) -> None:
    """Write a clip of ``frames`` frames, smaller than the scene by as many pixels on each side (rounded to
    even numbers), whose window moves to the right and down by a pixel a frame."""
    width, height = clip_size(scene, frames)
    clips.write(target, _drift(scene, frames), (width, height), Fraction(RATE), crf=CRF)


def clip_size(scene: Scene, frames: int) -> tuple[int, int]:
    """Width and height of its clip in pixels."""
    height, width = scene.pixels.shape[:2]
    return (width - frames) & ~1, (height - frames) & ~1


def boxes_in(scene: Scene, frames: int, number: int) -> tuple[Floats, list[LabelledObject]]:
    """The faces that are wholly in frame ``number`` (from 0) of its clip, and their boxes there."""
    width, height = clip_size(scene, frames)
    boxes = scene.boxes - np.float32(number)
    inside = (geometry.clip(boxes, width, height) == boxes).all(axis=1)
    return boxes[inside], [face for face, good in zip(scene.faces, inside, strict=True) if good]


def _drift(scene: Scene, frames: int) -> Iterator[Pixels]:
    width, height = clip_size(scene, frames)
    return with_noise(
        scene.pixels[number : number + height, number : number + width] for number in range(frames)
    )


def with_noise(pictures: Iterable[Pixels]) -> Iterator[Pixels]:
    """The pictures of a clip with the noise of a sensor, the same for all clips."""
    random = np.random.default_rng(11)
    for picture in pictures:
        noise = random.normal(0, NOISE, picture.shape).astype(np.float32)
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)
