"""Detectors at the lowest threshold at which they can answer."""

from __future__ import annotations

from collections.abc import Sequence

from convert.graphs import Array
from edge.detection.detector import EVERYTHING, Detections, Detector
from edge.detection.views import Search
from edge.errors import DetectionError
from edge.reasons import Reason


def detect_at_lowest(
    detector: Detector, pixels: Array, scores: Sequence[float], search: Search = EVERYTHING
) -> tuple[Detections, float]:
    """What ``search`` finds in uint8 ``[H, W, 3]`` BGR at the first of the rising ``scores`` that the graph
    allows, and that score.

    A graph returns a fixed number of candidates, and a detector refuses a picture on which all of them pass.
    Leaves the detector's thresholds changed. Raises DetectionError.
    """
    for score in scores:
        detector.score_begin = detector.score_continue = score
        try:
            return detector.detect(pixels, search), score
        except DetectionError as error:
            if error.reason != Reason.OVERFLOW or score == scores[-1]:
                raise
    raise AssertionError("there is at least one score, and the last one returns or raises")
