"""One look: a detector on a whole picture at once, without tiles, as the model sees it in TensorFlow."""

from __future__ import annotations

import math

from edge.detection.detector import Detector
from edge.detection.views import Search

ONE_LOOK = Search(smallest_face=math.inf)
"""On a canvas of fixed size: nothing is too small on it, so there are no tiles."""


def own_scale(detector: Detector) -> Search:
    """One look where the canvas is fixed; the picture at its own scale where it is free."""
    if detector.session.size is not None:
        return ONE_LOOK
    return Search(smallest_face=detector.smallest_on_canvas)
