"""Detectors for one look: files of the contract, and YuNet as OpenCV publishes it.

``FILE[@CANVAS[@SCORE]]`` names one: ``shipped`` or a file, the canvas as ``WIDTHxHEIGHT``, and the score from
which its boxes count.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks import common
from convert.one_look import ONE_LOOK
from convert.training.overflow import detect_at_lowest
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detections, Detector, paint
from edge.detection.session import Session, read_detector
from edge.errors import DetectorError
from edge.frames import Pixels

SHIPPED = "shipped"
LOWEST_SCORES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7)
"""The first is where curves begin; the others are tried in turn for a frame with more boxes than the detector
returns."""
YUNET_SCORE, YUNET_NMS, YUNET_BOXES = 0.5, 0.3, 5000
YUNET_OUTPUTS = {"cls_8", "obj_8", "bbox_8", "kps_8"}
DEFAULT_CANVAS = (1920, 1088)
OTHER_SCORE = 0.35
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Wanted:
    """``file`` None is the shipped detector; ``canvas`` (width, height) None its own, ``score`` None its own
    and ``OTHER_SCORE``."""

    file: Path | None
    canvas: tuple[int, int] | None = None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Finder:
    """One detector at one canvas (width, height in pixels).

    ``find`` takes uint8 ``[H, W, 3]`` BGR and returns the detections, the score from which on they are
    complete, and the seconds that the detector ran. ``own_score`` is where the detector itself begins.
    """

    name: str
    sha256: str
    canvas: tuple[int, int]
    own_score: float
    find: Callable[[Pixels], tuple[Detections, float, float]]


def parse(text: str) -> Wanted:
    """Read ``FILE[@CANVAS[@SCORE]]``. Raises DetectorError."""
    matched = re.fullmatch(r"([^@]+)(?:@(\d+)x(\d+)(?:@(0?\.\d+))?)?", text)
    if matched is None or (matched[4] and float(matched[4]) == 0):
        raise DetectorError(
            f"--detector {text}: expected FILE[@CANVAS[@SCORE]], such as {SHIPPED}@1280x736@0.35; FILE is "
            f"an .onnx file or {SHIPPED}"
        )
    file = None if matched[1] == SHIPPED else Path(matched[1])
    canvas = (int(matched[2]), int(matched[3])) if matched[2] else None
    return Wanted(file, canvas, float(matched[4]) if matched[4] else None)


def open_finders(wanted: Sequence[Wanted]) -> list[tuple[Finder, list[float]]]:
    """Open each detector at each canvas once, with the scores to report.

    Raises DetectorError, ContractError.
    """
    files = list(dict.fromkeys(each.file for each in wanted))
    stems = [file.stem for file in files if file is not None]
    chosen: dict[tuple[Path | None, tuple[int, int] | None], list[float | None]] = {}
    for each in wanted:
        chosen.setdefault((each.file, each.canvas), []).append(each.score)
    opened = []
    for (file, canvas), scores in chosen.items():
        # Files of trainings are often all called alike.
        twice = file is not None and stems.count(file.stem) > 1
        finder = _open(file, canvas, f"{file.absolute().parent.name}/{file.stem}" if file and twice else None)
        asked = [[score] if score else [finder.own_score, OTHER_SCORE] for score in scores]
        opened.append((finder, list(dict.fromkeys(score for group in asked for score in group))))
    return opened


def _open(file: Path | None, canvas: tuple[int, int] | None, name: str | None) -> Finder:
    if file is not None and _is_published_yunet(file):
        return _yunet(file, canvas or DEFAULT_CANVAS, name or file.stem)
    return _of_contract(file, canvas, name)


def _is_published_yunet(file: Path) -> bool:
    try:
        session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    # ONNX Runtime's errors have no common base but Exception
    except Exception as error:
        raise DetectorError(f"detector {file} cannot be opened: {error}"[:400]) from error
    return {output.name for output in session.get_outputs()} >= YUNET_OUTPUTS


class _TimedSession(Session):
    """A session that remembers how long its last run took, in seconds."""

    seconds = 0.0

    def run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        begin = time.perf_counter()
        found = super().run(canvas)
        self.seconds = time.perf_counter() - begin
        return found


def _of_contract(path: Path | None, canvas: tuple[int, int] | None, name: str | None) -> Finder:
    file = read_detector(path)

    def session_at(size: tuple[int, int] | None) -> _TimedSession:
        threads = common.cores()
        return _TimedSession(
            file, provider="cpu", size=size, threads=threads, timeout_seconds=TIMEOUT_SECONDS
        )

    session = session_at(canvas)
    if session.size is None:
        session = session_at(DEFAULT_CANVAS)
    size = session.size
    assert size is not None
    detector = Detector(session, DetectorConfig(path=path, provider="cpu"))
    own_score = detector.score_begin

    def find(pixels: Pixels) -> tuple[Detections, float, float]:
        found, score = detect_at_lowest(detector, pixels, LOWEST_SCORES, ONE_LOOK)
        return found, score, session.seconds

    return Finder(name or session.name, session.sha256, size, own_score, find)


def _yunet(file: Path, canvas: tuple[int, int], name: str) -> Finder:
    """YuNet (Wu et al., Machine Intelligence Research 2023) by OpenCV's own class; its time includes decoding
    and suppression."""
    cv2.setNumThreads(common.cores())
    create: Any = cv2.FaceDetectorYN.create
    detector = create(str(file), "", canvas, LOWEST_SCORES[0], YUNET_NMS, YUNET_BOXES)
    detector.detect(np.zeros((canvas[1], canvas[0], 3), np.uint8))

    def find(pixels: Pixels) -> tuple[Detections, float, float]:
        height, width = pixels.shape[:2]
        letterbox = geometry.fit(width, height, *canvas)
        painted = np.ascontiguousarray(paint(pixels, letterbox, "area", (0, 0, 0))[..., ::-1])  # it takes BGR
        begin = time.perf_counter()
        _, rows = detector.detect(painted)
        seconds = time.perf_counter() - begin
        found = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        boxes = letterbox.to_frame(np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1))
        order = np.argsort(-found[:, 14], kind="stable")
        boxes = geometry.clip(boxes, width, height)[order]
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return Detections(boxes[inside], found[order, 14][inside]), LOWEST_SCORES[0], seconds

    return Finder(name, hashlib.sha256(file.read_bytes()).hexdigest(), canvas, YUNET_SCORE, find)
