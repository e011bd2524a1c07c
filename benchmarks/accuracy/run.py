"""How well detectors find faces in a labelled set: ``python -m benchmarks accuracy DETECTOR... --data NAME``.

A detector takes one look at each picture, with low thresholds (``detect``). Its boxes at a higher threshold
follow from these, because suppression never lets a weak box remove a stronger one.
convert/training/figures.py judges the boxes.

The recommended threshold (``recommend``) puts recall first: it is the largest one on the grid whose recall is
at most ``MARGIN`` below the best that ``MAX_FALSE`` false boxes per picture allow. It is meant for
``score_begin`` of the metadata; single pictures say nothing about ``score_continue``. Where a set has splits
it is chosen on ``train`` and never on ``eval``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchmarks.accuracy.result import AccuracyResult, DetectorAccuracy, Pictures, Raised
from benchmarks.machine import watched
from benchmarks.one_view import open_at
from convert.one_look import ONE_LOOK
from convert.training.coco_figures import coco_precision
from convert.training.datasets import DataSet, DatasetError, Picture
from convert.training.figure_forms import FALSE_RATES
from convert.training.figures import (
    GRID,
    MARGIN,
    MATCH_IOU,
    MAX_FALSE,
    MIN_SIDE,
    at_rate,
    at_score,
    counts,
    none_recommended,
    recommend,
    sweep,
    tally,
    wider_precision,
)
from convert.training.overflow import detect_at_lowest
from edge.config import DetectorConfig
from edge.detection.detector import Detections, Detector
from edge.detection.session import read_detector
from edge.errors import DetectionError, PictureError
from edge.pictures import read_picture

LOWEST_SCORE = GRID[0]
"""At 0.02 the shipped detector overflows on 3 of the first 150 pictures of ``faces``."""
CANVAS = "640x384"
"""For a detector of any size: nearly all pictures of ``faces`` are smaller than that."""
RAISED_SCORES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Tried in turn for a picture on which more candidates pass than the detector returns."""
ALL = "all"
"""Stands for all pictures, where a split is named."""


def measure(
    detectors: Sequence[Path | None],
    data: DataSet,
    *,
    command: str = "",
    split: str | None = None,
    limit: int | None = None,
    provider: Literal["auto", "cpu", "cuda", "tensorrt", "openvino"] = "cpu",
    canvas: str | None = None,
    threads: int = 2,
) -> AccuracyResult:
    """Run detectors (None: the shipped one) on a set.

    ``split`` is reported on: ``train``, ``eval`` or ``all`` (default: ``eval`` where the set has it,
    otherwise all). ``limit``: at most the first this many pictures of each split (1 or more). ``provider``,
    ``canvas`` and ``threads`` are those of ``edge.config.DetectorConfig``; ``command`` is kept in the
    result.

    Raises DatasetError for a split that is not there and a picture that is not as labelled, DetectorError for
    a detector that cannot be opened, DetectionError for one that fails on a picture, ConvertError without
    pycocotools.
    """
    reported, chosen = _splits(data, split)
    pictures = {
        name: [picture for picture in data.pictures if name in (ALL, picture.split)][:limit]
        for name in dict.fromkeys((reported, chosen))
        if name is not None
    }
    with watched() as watch:
        measured = []
        for path in detectors:
            config = DetectorConfig(
                path=path,
                provider=provider,
                canvas=canvas,
                threads=threads,
                timeout_seconds=600,
            )
            detector = open_at(read_detector(path), config, CANVAS)
            total = sum(map(len, pictures.values()))
            print(f"{detector.session.name}: {total} pictures", file=sys.stderr)
            measured.append(_one(detector, data, pictures, reported, chosen))
    return AccuracyResult(
        command=command,
        data=data.name,
        kind=data.kind,
        notes=list(data.notes),
        limit=limit,
        splits={name: _pictures(members) for name, members in pictures.items()},
        reported_on=reported,
        chosen_on=chosen,
        match_iou=MATCH_IOU,
        min_side=MIN_SIDE,
        margin=MARGIN,
        max_false=MAX_FALSE,
        lowest_score=LOWEST_SCORE,
        machine=watch.machine,
        detectors=measured,
    )


def _splits(data: DataSet, wanted: str | None) -> tuple[str, str | None]:
    """On what to report, and on what a threshold may be chosen."""
    if wanted not in (None, ALL, *data.splits):
        raise DatasetError(f"{data.name} has no split {wanted!r}; it has {', '.join((*data.splits, ALL))}")
    if not data.splits:
        return ALL, ALL
    return wanted or data.splits[-1], "train" if "train" in data.splits else None


def _pictures(pictures: Sequence[Picture]) -> Pictures:
    faces = [face for picture in pictures for face in picture.objects]
    return Pictures(pictures=len(pictures), faces=len(faces), counted=sum(map(counts, faces)))


def _one(
    detector: Detector,
    data: DataSet,
    pictures: dict[str, list[Picture]],
    reported: str,
    chosen: str | None,
) -> DetectorAccuracy:
    detected = {name: detect(detector, members) for name, members in pictures.items()}
    truth = {name: [picture.objects for picture in members] for name, members in pictures.items()}
    tallies = {name: tally(truth[name], found, counts) for name, (found, _) in detected.items()}
    raised = {
        name: Raised(pictures=len(scores), highest=max(scores))
        for name, (_, scores) in detected.items()
        if scores
    }
    if chosen is None:
        recommended = none_recommended(
            f"{data.name} has only pictures for reporting, and choosing one needs a train split"
        )
    else:
        lowest = raised[chosen].highest if chosen in raised else LOWEST_SCORE
        same = ", the same that are reported on," if chosen == reported else ""
        where = f"{len(pictures[chosen])} pictures of {data.name} ({chosen}){same}"
        recommended = recommend(tallies[chosen], lowest, where)
    found = detected[reported][0]
    has_levels = any(face.sets for faces in truth[reported] for face in faces)
    kept = detector.session.contract
    return DetectorAccuracy(
        name=detector.session.name,
        sha256=detector.session.sha256,
        precision=kept.precision,
        size=detector.session.size,
        raised=raised,
        coco=coco_precision(truth[reported], found),
        wider=wider_precision(truth[reported], found) if has_levels else {},
        at_rates=[at_rate(tallies[reported], rate) for rate in FALSE_RATES],
        own=at_score(tallies[reported], kept.score_begin),
        recommended=recommended,
        at_recommended=None if recommended.score is None else at_score(tallies[reported], recommended.score),
        sweep=sweep(tallies[reported]),
    )


def detect(detector: Detector, pictures: Sequence[Picture]) -> tuple[list[Detections], list[float]]:
    """Boxes of each picture from ``LOWEST_SCORE`` on, or from the detector's own threshold where that is
    lower, and the thresholds of those pictures that needed a higher one.

    Leaves the detector's thresholds changed. Raises DatasetError, DetectionError.
    """
    found, raised = [], []
    lowest = min(LOWEST_SCORE, detector.session.contract.score_begin)
    for picture in pictures:
        try:
            pixels = read_picture(picture.path, convert=True).pixels
        except PictureError as error:
            raise DatasetError(f"{picture.path}: {error}") from error
        size = (pixels.shape[1], pixels.shape[0])
        if picture.size not in (None, size):
            raise DatasetError(
                f"{picture.path} is {size[0]}x{size[1]}, but its labels are for {picture.size}; take the "
                "picture that was labelled, or label this one (pictures are turned upright as EXIF says)"
            )
        try:
            detections, score = detect_at_lowest(detector, pixels, (lowest, *RAISED_SCORES), ONE_LOOK)
        except DetectionError as error:
            where = f"{picture.path}, threshold {detector.score_begin}"
            raise DetectionError(error.reason, f"{where}: {error}") from error
        found.append(detections)
        if score > lowest:
            raised.append(score)
    return found, raised
