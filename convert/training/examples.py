"""Pictures of what training sees, and of what it misses most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array
from convert.sample import read_rgb
from convert.training import figures
from convert.training.batches import Batch
from convert.training.datasets import LabelledObject, Picture
from convert.training.samples import Kind
from edge import boxes as geometry
from edge.detection.detector import Detections

COLOURS = {Kind.PLAIN: (60, 220, 60), Kind.HARD: (255, 170, 0), Kind.IGNORED: (140, 140, 140)}
"""Of the frames around objects: red, green, blue."""
CROP, MISSES, COLUMNS = 128, 48, 8
SHOWN_AROUND = 1.5
"""A crop is its box, this times as large again on each side."""


def draw_batch(batch: Batch, file: Path) -> None:
    """The canvases of a batch with their objects: plain green, hard orange, ignored grey."""
    shown = []
    for pixels, boxes, kinds in zip(batch.pixels, batch.boxes, batch.kinds, strict=True):
        canvas = pixels.copy()
        for box, kind in zip(boxes, kinds, strict=True):
            if kind != Kind.ABSENT:
                x1, y1, x2, y2 = (round(float(v)) for v in box)
                cv2.rectangle(canvas, (x1, y1), (x2, y2), COLOURS[Kind(kind)], 1)
        shown.append(canvas)
    _write(file, _sheet(shown, 4))


def draw_misses(pictures: Sequence[Picture], found: Sequence[Detections], file: Path) -> None:
    """The objects that count and get the lowest scores, worst first, each with its score."""
    misses = []
    for picture, detections in zip(pictures, found, strict=True):
        for one in filter(figures.counts, picture.objects):
            misses.append((_score(one, detections), picture, one))
    misses.sort(key=lambda miss: miss[0])
    crops = [_crop(read_rgb(picture.path), one, score) for score, picture, one in misses[:MISSES]]
    if crops:
        _write(file, _sheet(crops, COLUMNS))


def _score(one: LabelledObject, found: Detections) -> float:
    overlap = geometry.iou(found.boxes, np.array([one.box], np.float32))[:, 0]
    return float(found.scores[overlap >= figures.MATCH_IOU].max(initial=0.0))


def _crop(picture: Array, one: LabelledObject, score: float) -> Array:
    x1, y1, x2, y2 = one.box
    half = max(x2 - x1, y2 - y1) * (0.5 + SHOWN_AROUND / 2)
    scale = CROP / (2 * half)
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    shift = CROP / 2 - scale * middle
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    crop = np.asarray(cv2.warpAffine(picture, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR))
    corners = (np.array(one.box).reshape(2, 2) * scale + shift).round().astype(int)
    cv2.rectangle(crop, corners[0].tolist(), corners[1].tolist(), COLOURS[Kind.PLAIN], 1)
    cv2.putText(crop, f"{score:.2f}", (3, CROP - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
    return crop


def _sheet(pictures: Sequence[Array], columns: int) -> Array:
    """Pictures of one size, side by side in rows."""
    blank = np.full_like(pictures[0], 30)
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.concatenate(filled[i : i + columns], axis=1) for i in range(0, len(filled), columns)]
    return np.concatenate(rows)


def _write(file: Path, sheet: Array) -> None:
    """Raises ConvertError when the file cannot be written."""
    try:
        written = cv2.imwrite(str(file), sheet[..., ::-1])
    except cv2.error as error:
        raise ConvertError(f"{file}: not the name of a picture; end it with .jpg or .png") from error
    if not written:
        raise ConvertError(f"{file}: cannot be written; is the folder there, and the disk not full?")
