"""A camera that hangs still: heads walk before a background that never changes.

Heads are those of labelled pictures, with their shoulders, at their own scale. Some stand, some walk within
the picture, some enter it and some leave it, each at a speed of its own; none hides another. The background
is made of pictures of the set that show no labelled face or, where it has none, a plain brick wall. Noise and
coding are those of the clips that drift (benchmarks/scenes/packing.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks import clips
from benchmarks.scenes.packing import CRF, RATE, pack, with_noise
from benchmarks.scenes.result import counts
from convert.training.datasets import LabelledObject, Picture
from edge import boxes as geometry
from edge.boxes import Floats, Ints
from edge.frames import Pixels
from edge.pictures import read_picture

MOST_SCENES, HEADS, FEW_HEADS = 4, 12, 4
"""Scenes at most, heads in each, and heads where there are few."""
SIDES = 12, 80
"""Shorter side of a face that walks, in pixels."""
SLOWEST, FASTEST = 0.5, 6.0
"""Speed of those that walk, in pixels a frame."""
STEEPEST = 0.2
"""Largest angle to the horizontal at which they walk, in radians."""
WAYS = ("stand", "walk", "enter", "leave")
"""What heads do, in turn."""
TRIES = 200
"""How often another place is tried for a head that would hide another one."""
WALL_SIDE = 1920
"""Longer side of the frame for which the wall is drawn, in pixels; larger ones show it enlarged."""
ROOM = 0.4
"""The surroundings of a face that its picture must show, as a share of the face's sides."""


@dataclass(frozen=True, eq=False)
class Head:
    """``pixels``: uint8 ``[H, W, 3]`` BGR, a part of a picture; ``opacity``: float32 ``[H, W, 1]``, from 0 to
    1, and 1 all over the face. ``box``: the face, ``x1 y1 x2 y2`` in pixels of this part."""

    pixels: Pixels
    opacity: Floats
    box: tuple[float, float, float, float]
    face: LabelledObject

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, eq=False)
class Walker:
    """A head whose left and top pixel is at ``x``, ``y`` in frame 0 and moves by ``dx``, ``dy`` a frame."""

    head: Head
    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0

    def corner(self, number: int) -> tuple[int, int]:
        """The left and top pixel in this frame."""
        return round(self.x + number * self.dx), round(self.y + number * self.dy)


@dataclass(frozen=True, eq=False)
class FixedScene:
    """``background``: uint8 ``[H, W, 3]`` BGR."""

    background: Pixels
    walkers: tuple[Walker, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.background.shape[1], self.background.shape[0]

    def draw(self, number: int) -> Pixels:
        """Frame ``number`` (from 0), uint8 ``[H, W, 3]`` BGR, without noise."""
        frame: Pixels = self.background.copy()
        for walker in self.walkers:
            _paste(frame, walker.head, *walker.corner(number))
        return frame

    def boxes_in(self, number: int) -> tuple[Floats, list[LabelledObject]]:
        """The faces that are wholly in frame ``number``, and their boxes there, float32 ``[N, 4]``."""
        corners = np.array([walker.corner(number) * 2 for walker in self.walkers], np.float32)
        own = np.array([walker.head.box for walker in self.walkers], np.float32)
        boxes = (own + corners).reshape(-1, 4)
        inside = (geometry.clip(boxes, *self.size) == boxes).all(axis=1)
        faces = [walker.head.face for walker, good in zip(self.walkers, inside, strict=True) if good]
        return boxes[inside], faces


def fixed_scenes(
    pictures: Sequence[Picture], size: tuple[int, int], frames: int, most: int = MOST_SCENES
) -> list[FixedScene]:
    """Scenes of ``size`` (width, height in pixels) for clips of ``frames`` frames; none without a face that
    can walk. The same pictures give the same scenes. Raises PictureError."""
    heads = heads_of(pictures)
    random = np.random.default_rng(5)
    random.shuffle(heads)
    width, height = size[0] & ~1, size[1] & ~1
    count = min(most, MOST_SCENES, math.ceil(len(heads) / HEADS))
    backgrounds = islice(cycle(_backgrounds(pictures, width, height)), count)
    groups = [heads[begin : begin + HEADS] for begin in range(0, count * HEADS, HEADS)]
    return [
        FixedScene(background, _placed(group, background, frames, random))
        for group, background in zip(groups, backgrounds, strict=True)
    ]


def write_clip(scene: FixedScene, target: Path, frames: int) -> None:
    """Write a clip of ``frames`` frames of the scene's size."""
    clips.write(target, frames_of(scene, frames), scene.size, Fraction(RATE), crf=CRF)


def frames_of(scene: FixedScene, frames: int) -> Iterator[Pixels]:
    """The frames of its clip before they are coded."""
    return with_noise(scene.draw(number) for number in range(frames))


def quieter(scene: FixedScene) -> FixedScene:
    """The same view with the first few heads alone: one of each way to move."""
    return FixedScene(scene.background, scene.walkers[:FEW_HEADS])


def parked(scene: FixedScene) -> FixedScene:
    """The same view while nobody is there."""
    return FixedScene(scene.background, ())


def heads_of(pictures: Sequence[Picture]) -> list[Head]:
    """The faces that can walk: of the right size, with their surroundings and without another's."""
    heads = []
    for picture in pictures:
        chosen = [face for face in picture.objects if counts(face) and SIDES[0] <= face.side <= SIDES[1]]
        if not chosen:
            continue
        pixels = read_picture(picture.path, convert=True).pixels
        for face in chosen:
            others = [other.box for other in picture.objects if other is not face]
            head = _cut(pixels, face, np.array(others, np.float32).reshape(-1, 4))
            if head is not None:
                heads.append(head)
    return heads


def _cut(pixels: Pixels, face: LabelledObject, others: Floats) -> Head | None:
    """Cut out a head with its shoulders; None where the picture's edge or another face is too near."""
    x1, y1, x2, y2 = face.box
    wide, tall = x2 - x1, y2 - y1
    height, width = pixels.shape[:2]
    room_x, room_y = ROOM * wide, ROOM * tall
    if min(x1 - room_x, y1 - room_y, width - x2 - room_x, height - y2 - room_y) < 0:
        return None
    left, top = max(0, math.floor(x1 - wide)), max(0, math.floor(y1 - 0.8 * tall))
    right, bottom = min(width, math.ceil(x2 + wide)), min(height, math.ceil(y2 + 1.5 * tall))
    touching = np.minimum(others[:, 2:], [right, bottom]) > np.maximum(others[:, :2], [left, top])
    if touching.all(axis=1).any():
        return None
    box = (x1 - left, y1 - top, x2 - left, y2 - top)
    return Head(
        pixels[top:bottom, left:right].copy(), _silhouette((right - left, bottom - top), box), box, face
    )


def _silhouette(size: tuple[int, int], box: tuple[float, float, float, float]) -> Floats:
    """How opaque a head and its shoulders are, float32 ``[H, W, 1]``: soft at their outline."""
    x1, y1, x2, y2 = box
    wide, tall, middle = x2 - x1, y2 - y1, (x1 + x2) / 2
    mask: npt.NDArray[np.uint8] = np.zeros(size[::-1], np.uint8)
    for x, y, across, down in (
        (middle, (y1 + y2) / 2 - 0.1 * tall, 0.95 * wide, 1.0 * tall),
        (middle, y2 + 1.2 * tall, 1.4 * wide, 0.9 * tall),
    ):
        cv2.ellipse(mask, (round(x), round(y)), (round(across), round(down)), 0, 0, 360, 255, cv2.FILLED)
    opacity = cv2.GaussianBlur(mask, (0, 0), max(0.7, 0.06 * wide)).astype(np.float32) / np.float32(255)
    opacity[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)] = 1
    return np.asarray(opacity[..., None], np.float32)


def _paste(frame: Pixels, head: Head, left: int, top: int) -> None:
    """Draw a head with its left and top pixel here; what lies outside the frame is cut off."""
    width, height = head.size
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(frame.shape[1], left + width), min(frame.shape[0], top + height)
    if x2 <= x1 or y2 <= y1:
        return
    shown = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
    under = frame[y1:y2, x1:x2].astype(np.float32)
    mixed = under + head.opacity[shown] * (head.pixels[shown].astype(np.float32) - under)
    frame[y1:y2, x1:x2] = np.rint(mixed).astype(np.uint8)


def _backgrounds(pictures: Sequence[Picture], width: int, height: int) -> list[Pixels]:
    """Frames full of pictures without faces; a wall where there are none."""
    empty = [picture for picture in pictures if not picture.objects]
    packed = [scene.pixels for scene in pack(empty, width, height)[0]]
    return packed or [_wall(width, height)]


def _wall(width: int, height: int) -> Pixels:
    """Bricks that are as large a part of the frame at any size: thin lines would be lost in a large one, and
    its lens would count as covered."""
    times = max(1, round(max(width, height) / WALL_SIDE))
    wall = clips.draw_faces(width // times, height // times, 0)
    return np.asarray(cv2.resize(wall, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _placed(
    heads: Sequence[Head], background: Pixels, frames: int, random: np.random.Generator
) -> tuple[Walker, ...]:
    """Let heads walk so that none ever hides another; one for which there is no room is left out."""
    size = background.shape[1], background.shape[0]
    walkers: list[Walker] = []
    taken: list[Ints] = []
    for number, head in enumerate(heads):
        for _ in range(TRIES):
            walker = _start(head, WAYS[number % len(WAYS)], size, frames, random)
            corners = np.array([walker.corner(frame) for frame in range(frames)], np.int64)
            path = np.concatenate([corners, corners + head.size], axis=1)
            if not any(_meet(path, other) for other in taken):
                walkers.append(walker)
                taken.append(path)
                break
    return tuple(walkers)


def _meet(first: Ints, second: Ints) -> bool:
    """Whether two rectangles, int64 ``[frames, 4]``, overlap in any frame."""
    overlap = np.minimum(first[:, 2:], second[:, 2:]) > np.maximum(first[:, :2], second[:, :2])
    return bool(overlap.all(axis=1).any())


def _start(head: Head, way: str, size: tuple[int, int], frames: int, random: np.random.Generator) -> Walker:
    """Where a head begins and how it moves. One that enters or leaves has its face at the left or right edge
    of the frame halfway through the clip."""
    width, height = head.size
    y = random.uniform(0, max(0, size[1] - height))
    x = random.uniform(0, max(0, size[0] - width))
    if way == "stand":
        return Walker(head, round(x), round(y))
    speed, angle = random.uniform(SLOWEST, FASTEST), random.uniform(-STEEPEST, STEEPEST)
    right = bool(random.integers(2))
    dx, dy = speed * math.cos(angle) * (1 if right else -1), speed * math.sin(angle)
    if way != "walk":
        at_left = right == (way == "enter")
        x = (-head.box[0] if at_left else size[0] - head.box[2]) - dx * frames / 2
    return Walker(head, x, y, dx, dy)
