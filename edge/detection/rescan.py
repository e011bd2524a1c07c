"""A second look at stored images: is a face still to be found on them?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.frames import Pixels
from edge.pictures import read_picture

FACE_SCORE = 0.5
"""Score from which the second look counts as a face. Weaker hits (from the detector's
``score_last_look``) are listed too; many are collars, and covered heads that look like heads."""
_TIMEOUT_SECONDS = 120.0  # nobody waits for a frame here, and the machine may be busy


def open_second_look(path: Path | None = None) -> Detector:
    """The shipped detector, or another one (``path``), at the image's own size, on one CPU thread per call.

    Raises DetectorError.
    """
    config = DetectorConfig(
        path=path,
        provider="cpu",
        threads=1,
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    return open_detector(read_detector(path), config)


def best_score(detector: Detector, pixels: Pixels) -> float:
    """Score of the surest face on uint8 ``[H, W, 3]`` BGR; 0 without any. Raises DetectionError."""
    return float(detector.detect(pixels).scores.max(initial=0))


def find_faces(images: Sequence[Path]) -> list[tuple[Path, float]]:
    """Images on which the shipped detector finds anything; with the best score.

    Raises PictureError and DetectorError.
    """
    detector = open_second_look()
    with ThreadPoolExecutor() as pool:
        scores = list(pool.map(lambda path: best_score(detector, read_picture(path).pixels), images))
    return [
        (path, score) for path, score in zip(images, scores, strict=True) if score >= detector.score_last_look
    ]
