"""Faces that do not stand upright: ``python -m benchmarks orientation --data NAME``.

Pictures are shown as they are and turned clockwise, with upright views alone and with turned ones, too.
A labelled face of ``SIDE`` pixels and more counts as found when a box covers half of it and is less than four
times as large. At 45 degrees, its label is the square of the same size around its middle.
"""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks import common
from benchmarks.machine import Result, Strict, watched
from convert.training.datasets import DataSet, DatasetError, Picture
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.views import Search
from edge.frames import Pixels
from edge.pictures import read_picture

ANGLES = (0, 45, 90, 180, 270)
SIDE = 30
COVERED, NOT_LARGER = 0.5, 0.25
TIMEOUT_SECONDS = 120


class Angle(Strict):
    """Of all faces, those found at this angle (degrees): by upright views alone, and by turned ones too."""

    degrees: int
    upright: int
    any_orientation: int


class OrientationResult(Result):
    """``faces`` of ``pictures`` were shown at each of the ``angles``."""

    dataset: str
    split: str
    detector: str
    sha256: str
    pictures: int
    faces: int
    angles: list[Angle]


def measure(dataset: DataSet, split: str, limit: int, *, command: str) -> OrientationResult:
    """Show the first ``limit`` pictures of a split that have such faces.

    Raises DatasetError when there is none, DetectorError, DetectionError, PictureError.
    """
    pictures = [picture for picture in dataset.pictures if picture.split == split and len(_labels(picture))]
    pictures = pictures[:limit]
    if not pictures:
        raise DatasetError(f"{dataset.name}: no face of {SIDE} pixels in split {split}")
    config = DetectorConfig(provider="cpu", timeout_seconds=TIMEOUT_SECONDS)
    detector = open_detector(read_detector(None), config)
    found = dict.fromkeys(((angle, turned) for angle in ANGLES for turned in (False, True)), 0)
    with watched() as watch:
        for picture in pictures:
            pixels = read_picture(picture.path, convert=True).pixels
            for angle, turned in found:
                shown, boxes = turn(pixels, _labels(picture), angle)
                found[angle, turned] += _found(detector, shown, boxes, Search(any_orientation=turned))
    return OrientationResult(
        command=command,
        machine=watch.machine,
        dataset=dataset.name,
        split=split,
        detector=detector.session.name,
        sha256=detector.session.sha256,
        pictures=len(pictures),
        faces=sum(len(_labels(picture)) for picture in pictures),
        angles=[
            Angle(degrees=angle, upright=found[angle, False], any_orientation=found[angle, True])
            for angle in ANGLES
        ],
    )


def turn(pixels: Pixels, boxes: Floats, degrees: int) -> tuple[Pixels, Floats]:
    """Turn uint8 ``[H, W, 3]`` and boxes (float32 ``[N, 4]``, ``x1 y1 x2 y2``) clockwise.

    The picture grows as it needs to; boxes keep their sides and go where their middles go.
    """
    height, width = pixels.shape[:2]
    angle = np.deg2rad(degrees)
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    size = (round(width * cos + height * sin), round(width * sin + height * cos))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    turned = np.asarray(cv2.warpAffine(pixels, matrix, size), np.uint8)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    sides = (boxes[:, 2:] - boxes[:, :2]) / 2
    if degrees % 180 == 90:
        sides = sides[:, ::-1]
    elif degrees % 90:
        sides = np.repeat(sides.mean(axis=1, keepdims=True), 2, axis=1)
    return turned, np.concatenate([middles - sides, middles + sides], axis=1).astype(np.float32)


def as_markdown(result: OrientationResult) -> str:
    """The result as a table."""
    header = ["turned by", "found by upright views", "with `any_orientation`"]
    rows = [(f"{row.degrees} degrees", row.upright, row.any_orientation) for row in result.angles]
    return "\n\n".join(
        (
            f"{result.faces} faces of {SIDE} pixels and more in {result.pictures} pictures "
            f"({result.dataset}, {result.split}), detector {result.detector}:",
            common.table(header, rows),
            f"`{result.command}`; {result.machine.line()}",
        )
    )


def _labels(picture: Picture) -> Floats:
    boxes = [face.box for face in picture.objects if face.side >= SIDE and not face.ignore]
    return np.array(boxes, np.float32).reshape(-1, 4)


def _found(detector: Detector, pixels: Pixels, faces: Floats, search: Search) -> int:
    boxes = detector.detect(pixels, search).at_least(detector.score_begin).boxes
    low = np.maximum(faces[:, None, :2], boxes[None, :, :2])
    high = np.minimum(faces[:, None, 2:], boxes[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    covered = shared >= COVERED * geometry.area(faces)[:, None]
    tight = shared >= NOT_LARGER * geometry.area(boxes)[None]
    return int((covered & tight).any(axis=1).sum())
