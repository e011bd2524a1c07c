"""Run TensorFlow and a detector on the same pictures; see ``convert.parity`` for what is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert import parity, reference, sample
from convert.answers import Answers, Faces
from convert.conversion import Conversion
from convert.errors import ParityError
from convert.graphs import Array
from convert.one_look import ONE_LOOK
from convert.parity import FLOOR, MIN_BOXES, MIN_SCORE, Comparison, Match, Parity
from convert.preprocessing import Preprocessing
from edge import boxes as geometry
from edge import contract
from edge.config import DetectorConfig
from edge.detection.detector import Detector
from edge.detection.session import Session, read_detector
from edge.errors import DetectionError

MAX_PICTURES = 200
"""Upper limit on the pictures of a folder that are compared."""


def answers_of(conversion: Conversion) -> Answers:
    """TensorFlow's answers as ``compare`` needs them."""
    return Answers(conversion, FLOOR)


def compare(path: Path, answers: Answers, folder: Path | None, precision: str) -> Parity:
    """Compare the detector at ``path`` with TensorFlow, on every canvas of the plan.

    The pictures are those of a folder, or the shipped ones: each by itself, and then in crowds until there
    are boxes enough to judge. Raises ConvertError when a picture cannot be read.
    """
    run, canvas = _Run(path, answers, precision), answers.conversion.plan.preprocessing
    if folder is not None:
        for title, picture in sample.folder_pictures(folder, MAX_PICTURES):
            run.look(title, picture)
        return run.outcome()
    for title, picture in sample.sample_pictures(canvas.width, canvas.height):
        run.look(title, picture)
    for title, picture in sample.crowds():
        if run.boxes >= MIN_BOXES:
            break
        run.look(title, picture)
    return run.outcome()


class _Run:
    """A detector beside TensorFlow, picture by picture."""

    def __init__(self, path: Path, answers: Answers, precision: str) -> None:
        plan = answers.conversion.plan
        self._answers, self._precision, self._free = answers, precision, plan.free_sides
        self._detectors = [(canvas, _open(path, canvas, plan.free_sides)) for canvas in plan.canvases()]
        self._limits = parity.CANVAS_LIMITS[precision], parity.PATH_LIMITS[precision]
        self._on_canvas: list[Match] = []
        self._on_path: list[Match] = []
        self._problems: list[str] = []
        self._pictures = 0

    @property
    def boxes(self) -> int:
        """How many of TensorFlow's boxes were compared, in the comparison that has fewer."""
        return min(len(self._on_canvas), len(self._on_path))

    def look(self, title: str, picture: Array) -> None:
        self._pictures += 1
        for preprocessing, detector in self._detectors:
            name = f"{title} on {preprocessing.width}x{preprocessing.height}" if self._free else title
            try:
                found = detector.detect(np.ascontiguousarray(picture[..., ::-1]), ONE_LOOK)
                candidates = detector.session.run(preprocessing.canvas(picture))
            except DetectionError as error:
                self._problems.append(f"{name}: the detector fails: {error}")
                continue
            expected = self._answers.of(title, picture, preprocessing)
            canvas_limits, path_limits = self._limits
            self._on_path += _match(name, expected.on_path, (found.boxes, found.scores), path_limits.iou)
            nms_iou = detector.session.contract.nms_iou
            candidates, others = (_suppress(faces, nms_iou) for faces in (candidates, expected.on_canvas))
            self._on_canvas += _match(name, others, candidates, canvas_limits.iou)

    def outcome(self) -> Parity:
        return Parity(
            self._precision,
            self._pictures,
            Comparison(self._limits[0], tuple(self._on_canvas)),
            Comparison(self._limits[1], tuple(self._on_path)),
            tuple(self._problems),
        )


class _RepeatingSession(Session):
    """Answers the same canvas twice with one run: that of the whole path often is the one to compare on."""

    _last: tuple[Array, Faces] | None = None

    def run(self, canvas: Array) -> Faces:
        if self._last is None or not np.array_equal(canvas, self._last[0]):
            self._last = canvas, super().run(canvas)
        return self._last[1]


def _open(path: Path, canvas: Preprocessing, free: bool) -> Detector:
    """The detector on the CPU; ``canvas`` has the size for one that leaves it free."""
    config = DetectorConfig(path=path, provider="cpu", score_begin=MIN_SCORE, score_continue=FLOOR)
    size = (canvas.width, canvas.height) if free else None
    session = _RepeatingSession(
        read_detector(path), provider="cpu", size=size, threads=config.threads, timeout_seconds=600
    )
    return Detector(session, config)


def _suppress(faces: Faces, nms_iou: float) -> Faces:
    boxes, scores = faces
    strong = scores >= FLOOR
    return reference.suppress(boxes[strong], scores[strong], nms_iou)


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
