"""Labelled pictures to training canvases: scale, crop, turn, mirror, join, and weather.

A canvas shows one picture, or four around a point as in YOLOv4 (Bochkovskiy et al. 2020, arXiv:2004.10934,
"mosaic"). Each is scaled so that one of its objects gets a size drawn evenly on a logarithmic scale. Where
that leaves most of an area empty, the area is divided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from convert.graphs import Array
from convert.training.masks import paste_masks
from convert.training.samples import Kind, Pictures, Sample, sides
from convert.training.weather import weather

MOSAIC = 0.5
"""Share of canvases that show four pictures."""
TURNED, DEGREES = 0.25, 30.0
"""Share of pictures that are turned, and by how much at most, each way."""
STRETCH = 0.12
"""Width and height are stretched against each other by up to this share."""
MOST_ENLARGED, SHRUNK = 4.0, 0.6
SMALLEST_DIVIDED, LARGEST_SHARE = 80, 0.9
"""Side in pixels of an area that is divided further; largest object as a share of an area's shorter side."""
SHOWN, HINTED = 0.5, 0.1
"""An object of which less than the first share is on the canvas is ignored, and below the second, absent."""
SMALLEST = 5.0
"""Objects that come out smaller than this, in pixels, are ignored."""


Area = tuple[int, int, int, int]
"""``x1 y1 x2 y2`` in pixels of the canvas."""


@dataclass(frozen=True)
class Scales:
    """Sizes that objects are given, pixels, and the side of the canvas; ``masks``: some get a mask."""

    side: int
    smallest: float
    largest: float
    masks: bool = True


@dataclass(frozen=True, eq=False)
class Canvas:
    """``pixels`` uint8 ``[S, S, 3]`` RGB, ``boxes`` float32 ``[N, 4]``, ``kinds`` int32 ``[N]``."""

    pixels: Array
    boxes: Array
    kinds: Array


def make_canvas(
    main: Sample, samples: Sequence[Sample], pictures: Pictures, scales: Scales, rng: np.random.Generator
) -> Canvas:
    """A canvas with ``main`` and perhaps others of ``samples`` on it."""
    side = scales.side
    pixels = np.full((side, side, 3), rng.integers(60, 160), np.uint8)
    areas = [(0, 0, side, side)]
    if rng.random() < MOSAIC:
        areas = _quarters(areas[0], rng)
    boxes, kinds = [], []
    shown = [main, *(samples[i] for i in rng.integers(len(samples), size=len(areas) - 1))]
    rng.shuffle(shown)
    waiting: list[tuple[Sample, Area, tuple[float, Array] | None]]
    waiting = [(sample, area, None) for sample, area in zip(shown, areas, strict=True)]
    while waiting:
        sample, area, drawn = waiting.pop()
        x1, y1, x2, y2 = area
        picture = pictures.read(sample.path)
        scale, focus = drawn or _scale(sample, picture, (x2 - x1, y2 - y1), scales, rng)
        if _is_sparse(picture, scale, area):
            # Around a small picture there is room for others, and for more objects in each step.
            *free, own = _quarters(area, rng)
            waiting += [
                (samples[int(i)], part, None)
                for i, part in zip(rng.integers(len(samples), size=3), free, strict=True)
            ]
            waiting.append((sample, own, (scale, focus)))
            continue
        part, placed = _place(picture, sample.boxes, scale, focus, (x2 - x1, y2 - y1), rng)
        pixels[y1:y2, x1:x2] = part
        found, kind = _visible(placed, sample.kinds, (x2 - x1, y2 - y1))
        boxes.append(found + np.array([x1, y1, x1, y1], np.float32))
        kinds.append(kind)
    all_boxes, all_kinds = np.concatenate(boxes), np.concatenate(kinds)
    if scales.masks:
        all_kinds = paste_masks(pixels, all_boxes, all_kinds, rng)
    return Canvas(weather(pixels, rng), all_boxes, all_kinds)


def _quarters(area: Area, rng: np.random.Generator) -> list[Area]:
    """Four parts of an area (``x1 y1 x2 y2``) around a point near its middle."""
    x1, y1, x2, y2 = area
    x, y = (round(low + (high - low) * rng.uniform(0.35, 0.65)) for low, high in ((x1, x2), (y1, y2)))
    return [(x1, y1, x, y), (x, y1, x2, y), (x1, y, x, y2), (x, y, x2, y2)]


def _is_sparse(picture: Array, scale: float, area: Area) -> bool:
    """Whether a scaled picture leaves most of an area empty that is large enough to be divided."""
    x1, y1, x2, y2 = area
    height, width = picture.shape[0] * scale, picture.shape[1] * scale
    return min(x2 - x1, y2 - y1) >= SMALLEST_DIVIDED and width < (x2 - x1) / 2 and height < (y2 - y1) / 2


def _scale(
    sample: Sample, picture: Array, size: tuple[int, int], scales: Scales, rng: np.random.Generator
) -> tuple[float, Array]:
    """How much to enlarge a picture for a part of this size, and a point of it (x, y) to show."""
    wanted = np.flatnonzero(np.isin(sample.kinds, (Kind.PLAIN, Kind.HARD)))
    if not len(wanted):
        height, width = picture.shape[:2]
        return float(np.exp(rng.uniform(*np.log((0.5, 2.0))))), rng.uniform(0.2, 0.8, 2) * (width, height)
    # Of plain and hard objects the same number, where a picture has both: most sets have few of one kind.
    kind = rng.choice(np.unique(sample.kinds[wanted]))
    box = sample.boxes[rng.choice(wanted[sample.kinds[wanted] == kind])]
    largest = max(min(scales.largest, LARGEST_SHARE * min(size)), scales.smallest)
    drawn = np.exp(rng.uniform(*np.log((scales.smallest, largest))))
    return min(float(drawn / max(sides(box[None])[0], 1.0)), MOST_ENLARGED), (box[:2] + box[2:]) / 2


def _place(
    picture: Array, boxes: Array, scale: float, focus: Array, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Array, Array]:
    """A part of the picture, ``size`` (width, height), and where its boxes then are, not cut."""
    height, width = picture.shape[:2]
    if scale < SHRUNK:  # the transformation samples points, which would break up what is small
        shrunk = [max(1, round(length * scale)) for length in (width, height)]
        picture = np.asarray(cv2.resize(picture, shrunk, interpolation=cv2.INTER_AREA))
    matrix = _matrix(focus, scale, size, rng)
    sampling = _between_middles(matrix, np.array([width, height]) / picture.shape[1::-1])
    border = np.clip(rng.integers(40, 200) + rng.integers(-25, 25, 3), 0, 255).tolist()
    part = cv2.warpAffine(picture, sampling, size, flags=cv2.INTER_LINEAR, borderValue=border)
    return np.asarray(part), _moved(boxes, matrix)


def _matrix(focus: Array, scale: float, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """An affine map, float64 ``[2, 3]``, that puts ``focus`` somewhere into a part of this size."""
    angle = np.radians(rng.uniform(-DEGREES, DEGREES)) if rng.random() < TURNED else 0.0
    mirrored = -1.0 if rng.random() < 0.5 else 1.0
    stretch = np.exp(rng.uniform(-STRETCH, STRETCH) / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirrored * scale * stretch, scale / stretch])
    target = np.array(size) * rng.uniform(0.15, 0.85, 2)
    return np.concatenate([linear, (target - linear @ focus)[:, None]], axis=1)


def _between_middles(matrix: Array, shrunk: Array) -> Array:
    """The map of boxes as OpenCV needs it for a picture whose width and height were divided by ``shrunk``.

    Boxes count from the edge of the first pixel, OpenCV from its middle.
    """
    linear = matrix[:, :2] * shrunk
    return np.concatenate([linear, matrix[:, 2:] + (linear.sum(axis=1, keepdims=True) - 1) / 2], axis=1)


def _moved(boxes: Array, matrix: Array) -> Array:
    """Boxes around the ellipses in ``boxes`` after an affine map: around turned corners they are too wide."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (matrix[:, :2] ** 2).T)
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def _visible(boxes: Array, kinds: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """The boxes cut to a part of ``size``; what is hardly visible becomes ignored or absent."""
    cut = np.clip(boxes, 0, np.array([*size, *size], np.float32))
    whole, shown = (np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (boxes, cut))
    share = shown / np.maximum(whole, 1e-6)
    small = (cut[:, 2:] - cut[:, :2]).min(axis=1, initial=np.inf) < SMALLEST
    kinds = np.where((share < SHOWN) | small, Kind.IGNORED, kinds).astype(np.int32)
    present = (share >= HINTED) & ((cut[:, 2:] - cut[:, :2]) >= 1).all(axis=1)
    return cut[present], kinds[present]
