"""Detectors on one canvas, so that they can be compared with each other by one look."""

from __future__ import annotations

from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import DetectorFile


def open_at(file: DetectorFile, config: DetectorConfig, canvas: str) -> Detector:
    """Open a detector with its own canvas or, where it has none, with ``canvas`` (``WIDTHxHEIGHT``, pixels).

    Raises DetectorError.
    """
    detector = open_detector(file, config)
    if detector.session.size is not None:
        return detector
    return open_detector(file, config.model_copy(update={"canvas": canvas}))
