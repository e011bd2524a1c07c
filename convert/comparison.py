"""Run TensorFlow and a detector on the same pictures; see ``convert.parity`` for what is compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert import parity, reference, sample
from convert.conversion import Conversion
from convert.errors import ParityError
from convert.graphs import Array
from convert.one_look import ONE_LOOK
from convert.parity import FLOOR, MIN_SCORE, Comparison, Match, Parity
from convert.preprocessing import Preprocessing
from edge import boxes as geometry
from edge import contract
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.errors import DetectionError

MAX_PICTURES = 200
"""Upper limit on the pictures of a folder that are compared."""

Pictures = Iterable[tuple[str, Array]]
"""Names, and RGB pictures: uint8 ``[H, W, 3]``."""
Faces = tuple[Floats, Floats]
"""Boxes ``[N, 4]`` as ``x1 y1 x2 y2``, and scores ``[N]``."""


def pictures_for_parity(folder: Path | None, width: int, height: int) -> Iterator[tuple[str, Array]]:
    """The pictures to compare: those of a folder, or the shipped ones for a canvas of this size, alone and in
    crowds."""
    if folder is None:
        return itertools.chain(sample.sample_pictures(width, height), sample.crowds())
    return sample.folder_pictures(folder, MAX_PICTURES)


def compare(path: Path, conversion: Conversion, pictures: Pictures, precision: str) -> Parity:
    """Compare the detector at ``path`` with TensorFlow on every picture, and on every canvas of the plan."""
    plan, free = conversion.plan, conversion.plan.free_sides
    runs = [
        (replace(plan, preprocessing=canvas), _open(path, canvas if free else None))
        for canvas in plan.canvases()
    ]
    canvas_limits, path_limits = parity.CANVAS_LIMITS[precision], parity.PATH_LIMITS[precision]
    on_canvas: list[Match] = []
    on_path: list[Match] = []
    problems: list[str] = []
    count = 0
    for title, picture in pictures:
        count += 1
        for run, detector in runs:
            name = f"{title} on {run.preprocessing.width}x{run.preprocessing.height}" if free else title
            canvas = run.preprocessing.canvas(picture)
            try:
                found = detector.detect(np.ascontiguousarray(picture[..., ::-1]), ONE_LOOK)
                candidates = detector.session.run(canvas)
            except DetectionError as error:
                problems.append(f"{name}: the detector fails: {error}")
                continue
            expected = reference.detect_picture(conversion.model, run, picture)
            on_path += _match(name, expected, (found.boxes, found.scores), path_limits.iou)
            expected = reference.detect_canvas(conversion.model, run, conversion.probe, canvas)
            nms_iou = detector.session.contract.nms_iou
            candidates = _suppress(candidates, nms_iou)
            on_canvas += _match(name, _suppress(expected, nms_iou), candidates, canvas_limits.iou)
    return Parity(
        precision,
        count,
        Comparison(canvas_limits, tuple(on_canvas)),
        Comparison(path_limits, tuple(on_path)),
        tuple(problems),
    )


def _open(path: Path, canvas: Preprocessing | None) -> Detector:
    """The detector on the CPU; ``canvas`` has the size for one that leaves it free."""
    config = DetectorConfig(
        path=path,
        provider="cpu",
        canvas=f"{canvas.width}x{canvas.height}" if canvas is not None else None,
        score_begin=MIN_SCORE,
        score_continue=FLOOR,
        timeout_seconds=600,
    )
    return open_detector(read_detector(path), config)


def _suppress(faces: Faces, nms_iou: float) -> Faces:
    boxes, scores = faces
    strong = scores >= FLOOR
    boxes, scores = boxes[strong], scores[strong]
    survivors = geometry.nms(boxes, scores, nms_iou)
    return boxes[survivors], scores[survivors]


def _match(picture: str, expected: Faces, found: Faces, iou_limit: float) -> list[Match]:
    """Pair each expected box with the found one that overlaps it by ``iou_limit`` and has the nearest
    score; with the nearest box when none overlaps it by as much."""
    boxes, scores = expected
    found_boxes, found_scores = found
    strong = scores >= MIN_SCORE
    boxes, scores = boxes[strong], scores[strong]
    overlaps = geometry.iou(boxes, found_boxes)
    matches = []
    for place, (box, score) in enumerate(zip(boxes.tolist(), scores.tolist(), strict=True)):
        near = np.flatnonzero(overlaps[place] >= iou_limit)
        nearest = int(overlaps[place].argmax()) if len(found_boxes) else -1
        if len(near):
            nearest = int(near[np.abs(found_scores[near] - score).argmin()])
        iou = float(overlaps[place, nearest]) if nearest >= 0 else 0.0
        difference = abs(float(found_scores[nearest]) - score) if iou > 0 else score
        matches.append(Match(picture, (box[0], box[1], box[2], box[3]), score, iou, difference))
    return matches


def compare_batches(single: bytes, batched: bytes, preprocessing: Preprocessing) -> None:
    """Each row of the batched detector must be what the single one gives. Raises ParityError."""
    import onnxruntime as ort

    one, many = (ort.InferenceSession(data, providers=["CPUExecutionProvider"]) for data in (single, batched))
    batch = many.get_inputs()[0].shape[0]
    width, height = preprocessing.width, preprocessing.height
    canvases = [preprocessing.canvas(picture) for _, picture in sample.sample_pictures(width, height)]
    rows = [canvases[place % len(canvases)] for place in range(batch)]
    together = many.run(None, {contract.INPUT: np.stack(rows)})
    for place, row in enumerate(rows):
        alone = one.run(None, {contract.INPUT: row[None]})
        count = int((together[1][place] > 0.05).sum())
        for name, in_batch, by_itself in zip((contract.BOXES, contract.SCORES), together, alone, strict=True):
            if not np.allclose(in_batch[place][:count], by_itself[0][:count], rtol=1e-3, atol=1e-2):
                raise ParityError(
                    f"--batch {batch}: {name} of picture {place + 1} differ from those of a batch of 1"
                )
