"""One look at a whole picture, on one canvas: how detectors are compared with each other."""

from __future__ import annotations

import math

from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import DetectorFile
from edge.detection.views import Search

ONE_LOOK = Search(smallest_face=math.inf)
"""No face is too small for a look at the whole picture, so there are no tiles."""


def open_at(file: DetectorFile, config: DetectorConfig, canvas: str) -> Detector:
    """Open a detector with its own canvas or, where it has none, with ``canvas`` (``WIDTHxHEIGHT``, pixels).

    Raises DetectorError.
    """
    detector = open_detector(file, config)
    if detector.session.size is not None:
        return detector
    return open_detector(file, config.model_copy(update={"canvas": canvas}))
