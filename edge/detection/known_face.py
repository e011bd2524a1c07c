"""The known face: a detector that does not find it is not trusted to find others.

The detector of ``[detector]`` must find the shipped face, a further one something on its own example.

``check`` is for commands that look once. The daemon goes on to ask its ``KnownFaces``: at the start, at
intervals, when many images wait, and at the end; what follows from a failure is in edge/daemon/pipeline.py.
"""

from __future__ import annotations

import numpy as np

from edge import boxes as geometry
from edge.boxes import Floats, Ints
from edge.detection.detector import Detections
from edge.detection.joint import AnyDetector, Detectors, Member, further_of
from edge.detection.known_sheets import SHEETS, Sheet, draw_sheet, portrait_picture
from edge.detection.views import Search
from edge.errors import DetectionError, KnownFaceError

PICTURE = "astronaut.jpg"
EXPECTED = np.array([[181, 58, 270, 178]], np.float32)
"""The face in the shipped picture (512x512 pixels), ``x1 y1 x2 y2``; see edge/data/PROVENANCE.md."""
MIN_IOU = 0.5
MIN_SHEET_IOU = 0.3
"""The same for the faces of the sheets: detectors disagree by two pixels about where a face begins, and the
smallest are 20 wide. A box that is 25 pixels off overlaps by less."""
SAME_IOU, SAME_SCORE = 0.6, 0.75
"""How well a face of a sheet must be found again: overlap (IoU) with the box that this detector gave it
first, and share of the score that it had then. The same picture has the same answer, but for rounding."""


def check(detector: AnyDetector) -> float:
    """Detect the known face with the code that camera frames go through; return its overlap (IoU).

    Of several detectors, those that have an example must find something on it, too. Raises KnownFaceError
    when the face is not found where it is, or nothing on an example, and PictureError when the picture of the
    face cannot be read.
    """
    if isinstance(detector, Detectors):
        overlap = check(detector.members[0].detector)
        for member in detector.members[1:]:
            check_example(member)
        return overlap
    try:
        found = detector.detect(portrait_picture(PICTURE))
    except DetectionError as error:
        raise KnownFaceError(f"detection of the known face failed: {error}") from error
    strong = found.at_least(detector.score_begin)
    best = float(geometry.iou(strong.boxes, EXPECTED).max(initial=0))
    if not best >= MIN_IOU:  # also for NaN
        raise KnownFaceError(
            f"detector {detector.session.name} on {detector.session.provider} does not find the known "
            f"face (best overlap {best:.2f}, expected {MIN_IOU} or more); it must not be trusted: check its "
            "thresholds and provider, or convert it again"
        )
    return best


class KnownFaces:
    """The known faces of one daemon, on sheets (known_sheets.py); each check looks at the next sheet.

    When a detector first sees a sheet, it must find all its faces, and at least one of them with the score at
    which a face counts in the last look; one whose file does not state a smallest face must find any of them.
    Later it must find what it found then in the same places, no less certainly. For one thread.
    """

    def __init__(self, detector: AnyDetector, smallest_face: float) -> None:
        """``smallest_face``: width in pixels; the smallest that is looked for in any camera's frames."""
        self._first = detector.members[0].detector if isinstance(detector, Detectors) else detector
        self._further = further_of(detector)
        self._search = Search(smallest_face, least_side=1)
        self._size = self._first.shown_whole(smallest_face)
        self._turn = 0
        self._answers: dict[int, Detections] = {}

    def check_all(self) -> None:
        """Check with every sheet, for the start. Raises as ``check`` does."""
        for _ in range(SHEETS):
            self.check()

    def check(self) -> None:
        """Detect the faces of the next sheet with the code that camera frames go through, and what the
        examples of further detectors show.

        Raises KnownFaceError when a face is not found, or not as before, and PictureError when a portrait
        cannot be read.
        """
        number, self._turn = self._turn, (self._turn + 1) % SHEETS
        sheet = draw_sheet(number, *self._size, self._search.smallest_face)
        try:
            found = self._first.detect(sheet.pixels, self._search).at_least(self._first.score_begin)
        except DetectionError as error:
            raise KnownFaceError(f"detection of the known faces failed: {error}") from error
        before = self._answers.get(number)
        if before is None:
            self._answers[number] = self._first_answer(found, sheet)
        else:
            self._demand(_matched(found, before.boxes, SAME_SCORE * before.scores, SAME_IOU))
        for member in self._further:
            check_example(member)

    def _first_answer(self, found: Detections, sheet: Sheet) -> Detections:
        """The best detection of each face on a sheet that is seen for the first time."""
        best = _matched(found, sheet.faces, np.zeros(len(sheet.faces), np.float32), MIN_SHEET_IOU)
        stated = self._first.session.contract.smallest_face > 0
        uncertain = found.scores[best[best >= 0]].max(initial=0) < self._first.score_last_look
        if len(best) and (stated or (best < 0).all()):
            self._demand(np.full_like(best, -1) if uncertain else best)
        best = best[best >= 0]
        return Detections(found.boxes[best], found.scores[best])

    def _demand(self, best: Ints) -> None:
        missed = int((best < 0).sum())
        if missed:
            session = self._first.session
            raise KnownFaceError(
                f"detector {session.name} on {session.provider} does not find {missed} of {len(best)} known "
                "faces where they are, or less certainly than before; it must not be trusted: check its "
                "thresholds and provider, or convert it again"
            )


def _matched(found: Detections, boxes: Floats, scores: Floats, least_overlap: float) -> Ints:
    """For each box, float32 ``[N, 4]``, which detection overlaps it best, int64 ``[N]``; -1 where none with
    the score of this box, float32 ``[N]``, overlaps it by ``least_overlap``."""
    if not len(found.boxes) or not len(boxes):
        return np.full(len(boxes), -1, np.int64)
    overlap = geometry.iou(boxes, found.boxes)
    overlap = np.where(found.scores[None] >= scores[:, None], overlap, np.float32(0))  # also for NaN
    best = overlap.argmax(axis=1)
    return np.where(overlap.max(axis=1) >= least_overlap, best, -1).astype(np.int64)


def check_example(member: Member) -> None:
    """Run a further detector on its example, if it has one. Raises KnownFaceError when it finds nothing."""
    if member.example is None:
        return
    try:
        found = member.detector.detect(member.example)
    except DetectionError as error:
        raise KnownFaceError(f"detector {member.name} failed on its example: {error}") from error
    best = float(found.scores.max(initial=0))
    if not best >= member.detector.score_begin:  # also for NaN
        raise KnownFaceError(
            f"detector {member.name} on {member.detector.session.provider} finds nothing on its example "
            f"(best score {best:.2f}, expected {member.detector.score_begin:.2f} or more); it must not be "
            f"trusted: check its thresholds and provider, and detectors.{member.name}.example"
        )
