"""One frame in, boxes of faces out: views, letterbox, run, threshold, non-maximum suppression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter

import cv2
import numpy as np
import numpy.typing as npt

from edge import boxes as geometry
from edge.boxes import NO_BOXES, Floats, Ints, Letterbox
from edge.config import DetectorConfig
from edge.detection import views
from edge.detection.session import DetectorFile, Session
from edge.detection.shared_canvas import SharedCanvas, share
from edge.detection.views import Search, View
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason

FOREHEAD = 0.4
"""By how much of its height the box of a face that does not stand upright is extended above the forehead. The
margins of ``[blur]`` reach furthest above the box; for such a face, "above" is another side."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one frame: ``boxes`` float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels of the frame, cut to
    it) and ``scores`` float32 ``[N]``, best first. All scores are ``score_continue`` or more. ``by`` is which
    of several detectors found each, int64 ``[N]``; None: there is only one."""

    boxes: Floats
    scores: Floats
    by: Ints | None = None

    @property
    def numbers(self) -> Ints:
        """The number of the detector that found each box, int64 ``[N]``; 0 is that of ``[detector]``."""
        return np.zeros(len(self.boxes), np.int64) if self.by is None else self.by

    def at_least(self, score: float | Floats) -> Detections:
        """The detections with at least this score: one for all, or float32 ``[D]``, one for each detector."""
        strong = self.scores >= (score[self.numbers] if isinstance(score, np.ndarray) else score)
        return Detections(
            self.boxes[strong], self.scores[strong], None if self.by is None else self.by[strong]
        )

    def of(self, number: int) -> Detections:
        """What the detector of this number found."""
        own = self.numbers == number
        return Detections(self.boxes[own], self.scores[own])


EVERYTHING = Search()
"""Faces of the default smallest size, upright, in all of the frame."""


class Detector:
    """A session with its thresholds. ``detect`` may be called from several threads."""

    def __init__(self, session: Session, config: DetectorConfig) -> None:
        contract = session.contract
        self.session = session
        self.score_begin = config.score_begin or contract.score_begin
        self.score_continue = min(config.score_continue or contract.score_continue, self.score_begin)
        self.score_last_look = max(contract.score_last_look, self.score_begin)
        # What a coarse view must find is large on its canvas, and is found with a high score or falsely.
        self._score_coarse = (self.score_begin + self.score_last_look) / 2
        self._canvas: views.Canvas | views.FreeCanvas = (
            views.Canvas.of(contract, session.size)
            if session.size is not None
            else views.FreeCanvas(contract.letterbox_multiple)
        )

    @property
    def smallest_on_canvas(self) -> int:
        """Width in pixels of the canvas from which a face is found."""
        return self.session.contract.smallest_face or views.SMALLEST_ON_CANVAS

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        """The views of a frame of this size (pixels) in which the faces of ``search`` are looked for."""
        return views.views_of(width, height, search, self.smallest_on_canvas, self._canvas)

    def shown_whole(self, smallest_face: float) -> tuple[int, int]:
        """Width and height of a frame (pixels) that one view shows whole, at the scale at which faces of
        ``smallest_face`` pixels are looked for."""
        return self._canvas.shown_whole(self.smallest_on_canvas / smallest_face)

    def part(self, view: View, x1: int, y1: int, x2: int, y2: int) -> View:
        """What to look at to see ``x1 y1 x2 y2`` (pixels of the frame) of a view at its scale.

        That is the whole view unless canvases of any size cost only their pixels, as on the CPU.
        """
        if isinstance(self._canvas, views.Canvas) or self.session.provider != "cpu":
            return view
        return views.part_of(view, x1, y1, x2, y2, self._canvas)

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        """What is found in each of these views of uint8 ``[H, W, 3]`` BGR, before suppression.

        Boxes are in pixels of the frame. Raises DetectionError.
        """
        if isinstance(self._canvas, views.Canvas) or self.session.provider != "cpu":
            return [self._look_at(pixels, view) for view in looked_at]
        found = [self._look_at_shared(pixels, looked_at, each) for each in self._shared(looked_at)]
        return [each for _, each in sorted(chain(*found), key=itemgetter(0))]

    def combine(self, found: Sequence[Detections], width: int, height: int) -> Detections:
        """What ``look`` found in the views of one frame of this size (pixels), each face once."""
        boxes = np.concatenate([NO_BOXES, *(each.boxes for each in found)])
        scores = np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)])
        clipped = geometry.clip(boxes, width, height)
        # A box outside the frame covers nothing, so it must not suppress one that does.
        inside = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
        boxes, clipped, scores = boxes[inside], clipped[inside], scores[inside]
        best = geometry.nms(boxes, scores, self.session.contract.nms_iou)
        return Detections(clipped[best], scores[best])

    def detect(self, pixels: Pixels, search: Search = EVERYTHING) -> Detections:
        """Find the faces of ``search`` in uint8 ``[H, W, 3]`` BGR. Raises DetectionError."""
        height, width = pixels.shape[:2]
        return self.combine(self.look(pixels, self.views(width, height, search)), width, height)

    def _shared(self, looked_at: Sequence[View]) -> list[SharedCanvas]:
        return share(looked_at, self.session.contract.letterbox_multiple)

    def _look_at(self, pixels: Pixels, view: View) -> Detections:
        """What is found in a view that has a canvas for itself."""
        contract = self.session.contract
        canvas = paint(_cut(pixels, view), view.letterbox, contract.interpolation, contract.padding)
        return self._in_view(view, *self._run(canvas))

    def _look_at_shared(
        self, pixels: Pixels, looked_at: Sequence[View], shared: SharedCanvas
    ) -> list[tuple[int, Detections]]:
        """What is found in each of the views that share a canvas, with the view's number."""
        if len(shared.numbers) == 1:
            (number,) = shared.numbers
            return [(number, self._look_at(pixels, looked_at[number]))]
        contract = self.session.contract
        canvas = np.empty((shared.height, shared.width, 3), np.uint8)
        cv2.rectangle(canvas, (0, 0), (shared.width, shared.height), contract.padding, cv2.FILLED)
        for number, (x, y) in zip(shared.numbers, shared.corners.tolist(), strict=True):
            view = looked_at[number]
            inner = replace(
                view.letterbox, width=view.letterbox.inner_width, height=view.letterbox.inner_height
            )
            canvas[y : y + inner.height, x : x + inner.width] = paint(
                _cut(pixels, view), inner, contract.interpolation, contract.padding
            )
        try:
            boxes, scores = self._run(canvas)
        except DetectionError as error:
            if error.reason != Reason.OVERFLOW:
                raise
            return [(number, self._look_at(pixels, looked_at[number])) for number in shared.numbers]
        owners = shared.owners(looked_at, boxes)
        corners = np.concatenate([shared.corners, shared.corners], axis=1).astype(np.float32)
        return [
            (
                number,
                self._in_view(
                    looked_at[number], boxes[owners == place] - corners[place], scores[owners == place]
                ),
            )
            for place, number in enumerate(shared.numbers)
        ]

    def _run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Boxes (pixels of the canvas) and scores of ``score_continue`` and more. Raises DetectionError."""
        boxes, scores = self.session.run(canvas)
        count = int((scores >= self.score_continue).sum())
        if count == len(scores):
            raise DetectionError(Reason.OVERFLOW, f"all {count} candidates are above the threshold")
        if (boxes[:count, 2:] <= boxes[:count, :2]).any():  # it would cover nothing
            raise DetectionError(Reason.DETECTOR_OUTPUT, "a box is empty or inside out")
        return boxes[:count], scores[:count]

    def _in_view(self, view: View, boxes: Floats, scores: Floats) -> Detections:
        """Those boxes on the canvas of a view that count there, in pixels of the frame."""
        found = view.letterbox.to_frame(boxes)
        counts = np.ones(len(found), np.bool_)
        if view.least:
            counts = (found[:, 2:] - found[:, :2]).max(axis=1, initial=0) >= view.least
            counts &= scores >= self._score_coarse
        found = found[counts]
        if view.turn:
            found = _turned_back(found, view)
        offset = np.array([view.x1, view.y1, view.x1, view.y1], np.float32)
        return Detections(found + offset, scores[counts])


def _cut(pixels: Pixels, view: View) -> Pixels:
    """The pixels of a view, turned as it is."""
    inside = pixels[view.y1 : view.y2, view.x1 : view.x2]
    return np.ascontiguousarray(np.rot90(inside, -view.turn)) if view.turn else inside


def _turned_back(boxes: Floats, view: View) -> Floats:
    """Boxes of a view that was turned, as they lie in the view, with room above the forehead."""
    x1, y1, x2, y2 = boxes.T
    y1 = y1 - np.float32(FOREHEAD) * (y2 - y1)
    width, height = view.x2 - view.x1, view.y2 - view.y1
    sides = {
        1: (y1, height - x2, y2, height - x1),
        2: (width - x2, height - y2, width - x1, height - y1),
        3: (width - y2, x1, width - y1, x2),
    }[view.turn]
    return np.stack(sides, axis=1).astype(np.float32)


def paint(
    view: Pixels, letterbox: Letterbox, interpolation: str, padding: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Paint uint8 ``[H, W, 3]`` BGR pixels on an RGB canvas: scaled, at the top left, ``padding`` elsewhere.

    ``padding`` is RGB, ``interpolation`` one of ``edge.contract.INTERPOLATIONS``. Returns the canvas, uint8
    ``[H, W, 3]``.
    """
    inner = view
    size = (letterbox.inner_width, letterbox.inner_height)
    if size != (view.shape[1], view.shape[0]):
        inner = _scale(view, letterbox, interpolation)
    inner = cv2.cvtColor(inner, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]  # 50 times faster than [..., ::-1]
    if size == (letterbox.width, letterbox.height):
        return inner
    below, right = letterbox.height - size[1], letterbox.width - size[0]
    return cv2.copyMakeBorder(inner, 0, below, 0, right, cv2.BORDER_CONSTANT, value=padding)  # type: ignore[return-value]


def _scale(view: Pixels, letterbox: Letterbox, interpolation: str) -> Pixels:
    size = (letterbox.inner_width, letterbox.inner_height)
    if interpolation == "linear-corner":
        # Pixel x of the canvas is sampled at x / scale, where cv2.resize takes (x + 0.5) / scale - 0.5.
        matrix = np.array([[1 / letterbox.scale_x, 0, 0], [0, 1 / letterbox.scale_y, 0]], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(view, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]
    if interpolation == "area" and letterbox.scale < 1:
        return _average(view, size)
    return cv2.resize(view, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _average(view: Pixels, size: tuple[int, int]) -> Pixels:
    """Shrink by averaging: point sampling would break up small faces.

    Averages of two by two pixels, as long as they are not smaller than ``size``, then linear interpolation,
    which takes the two nearest of them in each direction as ``cv2.INTER_AREA`` does, with other weights. A
    view whose sides cannot be halved evenly is left to ``cv2.INTER_AREA`` (docs/measurements.md).
    """
    width, height = size
    while view.shape[1] >= 2 * width and view.shape[0] >= 2 * height:
        if np.any(np.mod(view.shape[:2], 2)):
            return cv2.resize(view, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
        half = (view.shape[1] // 2, view.shape[0] // 2)
        view = cv2.resize(view, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(view, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def open_detector(file: DetectorFile, config: DetectorConfig) -> Detector:
    """Open a detector according to the configuration. Raises DetectorError."""
    session = Session(
        file,
        provider=config.provider,
        size=config.canvas_size,
        threads=config.threads,
        timeout_seconds=config.timeout_seconds,
        provider_fallback=config.provider_fallback,
        cache_folder=config.cache_folder,
    )
    return Detector(session, config)
