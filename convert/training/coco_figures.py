"""Average precision as COCO defines it, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from convert.errors import ConvertError
from convert.training.datasets import LabelledObject
from convert.training.figure_forms import CocoPrecision
from edge.detection.detector import Detections

MOST_BOXES = 1000
"""Boxes of one picture that count for COCO's average precision. COCO itself takes 100, but pictures of
crowds have more faces than that."""


def coco_precision(truth: Sequence[Sequence[LabelledObject]], found: Sequence[Detections]) -> CocoPrecision:
    """COCO's average precision (https://cocodataset.org/#detection-eval) by pycocotools.

    ``ap`` is the mean over overlaps of 0.5 to 0.95; small is below 32 x 32 pixels, large above 96 x 96.
    Ignored faces are handed over as crowds: any box that lies mostly inside of one is left out. Up to
    ``MOST_BOXES`` boxes a picture count. Raises ConvertError without pycocotools.
    """
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise ConvertError("AP needs pycocotools: pip install 'edge-anonymizer[train]'") from None
    faces = [
        _annotation(number, face.box, iscrowd=int(face.ignore))
        for number, labelled in enumerate(truth)
        for face in labelled
    ]
    boxes = [
        _annotation(number, box, score=score, iscrowd=0)
        for number, detections in enumerate(found)
        for box, score in zip(detections.boxes.tolist(), detections.scores.tolist(), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its steps
        evaluation = COCOeval(_coco(faces, len(truth)), _coco(boxes, len(truth)), "bbox")
        evaluation.params.maxDets = [MOST_BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    # By overlap, recall, class, area (all, small, medium, large) and most boxes; -1: no such face.
    precision = evaluation.eval["precision"][:, :, 0, :, 0]

    def mean(values: Any) -> float | None:
        return round(float(values.mean()), 4) if (values > -1).all() else None

    return CocoPrecision(
        ap=mean(precision[..., 0]),
        ap50=mean(precision[0, :, 0]),
        ap75=mean(precision[5, :, 0]),
        small=mean(precision[..., 1]),
        medium=mean(precision[..., 2]),
        large=mean(precision[..., 3]),
    )


def _annotation(picture: int, box: Sequence[float], **more: float) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    shape = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
    return {"image_id": picture, "category_id": 1, **shape, **more}


def _coco(annotations: list[dict[str, Any]], pictures: int) -> Any:
    """An index as pycocotools wants it; its own readers print, and refuse an empty list of boxes."""
    from pycocotools.coco import COCO

    index = COCO()
    index.dataset = {
        "images": [{"id": number} for number in range(pictures)],
        "categories": [{"id": 1, "name": "face"}],
        # It takes the number 0 for "no match".
        "annotations": [{"id": number, **entry} for number, entry in enumerate(annotations, 1)],
    }
    index.createIndex()
    return index
