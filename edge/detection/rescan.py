"""Rescan: detection on images that are stored already, to find faces that were left uncovered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.config import DetectorConfig
from edge.detection.detector import EVERYTHING, Detector, open_detector
from edge.detection.session import read_detector
from edge.detection.views import Search
from edge.frames import Pixels
from edge.pictures import read_picture

FACE_SCORE = 0.5
"""Lowest score of a hit that counts as a face, unless the detector's ``score_last_look`` is higher. Hits
between the two are listed too; many are collars, or covered heads that still look like heads."""
_TIMEOUT_SECONDS = 120.0  # no camera waits for the result, and the machine may be busy


def open_for_rescan(path: Path | None = None) -> Detector:
    """Open the shipped detector, or that of ``path``, on one CPU thread per call.

    Raises DetectorError.
    """
    config = DetectorConfig(
        path=path,
        provider="cpu",
        threads=1,
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    return open_detector(read_detector(path), config)


def best_score(detector: Detector, pixels: Pixels, search: Search) -> float:
    """Highest score of the faces of ``search`` on uint8 ``[H, W, 3]`` BGR; 0 without any.

    Raises DetectionError.
    """
    return float(detector.detect(pixels, search).scores.max(initial=0))


def find_faces(images: Sequence[Path], search: Search = EVERYTHING) -> list[tuple[Path, float]]:
    """Images on which the shipped detector finds anything, each with its highest score.

    Raises PictureError and DetectorError.
    """
    detector = open_for_rescan()

    def score_of(path: Path) -> float:
        return best_score(detector, read_picture(path).pixels, search)

    with ThreadPoolExecutor() as pool:
        scores = list(pool.map(score_of, images))
    return [
        (path, score) for path, score in zip(images, scores, strict=True) if score >= detector.score_last_look
    ]
