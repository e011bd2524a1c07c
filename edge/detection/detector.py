"""One frame in, boxes of faces out: views, letterbox, run, threshold, non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge import boxes as geometry
from edge.boxes import Floats, Letterbox
from edge.config import DetectorConfig
from edge.detection import views
from edge.detection.session import DetectorFile, Session
from edge.detection.views import View
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason

NATIVE_SIDE = 960
"""``size_pixels = "native"``: frames whose longer side is less are enlarged to it, in pixels."""

BAND_BYTES = 3 << 18
"""Frames are averaged in bands, so that what is kept in between is of about so many bytes: less than
``edge.process.LARGE_BYTES``."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces of one frame: ``boxes`` float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels of the frame, cut to
    it) and ``scores`` float32 ``[N]``, best first. All scores are ``score_continue`` or more."""

    boxes: Floats
    scores: Floats

    def at_least(self, score: float) -> Detections:
        """Those with this score or more."""
        strong = self.scores >= score
        return Detections(self.boxes[strong], self.scores[strong])


class Detector:
    """A session with its thresholds. ``detect`` may be called from several threads."""

    def __init__(self, session: Session, config: DetectorConfig) -> None:
        contract = session.contract
        self.session = session
        self.score_begin = config.score_begin or contract.score_begin
        self.score_continue = min(config.score_continue or contract.score_continue, self.score_begin)
        self.score_last_look = max(contract.score_last_look, self.score_begin)
        self._grid = config.grid
        self._overlap = config.tile_overlap
        # Whoever names a size has chosen what it misses.
        self._tiles = config.grid is None and config.size is None
        self._shape: views.Canvas | views.OwnSize = (
            views.Canvas.of(contract, session.size)
            if session.size is not None
            else views.OwnSize(
                contract.letterbox_multiple,
                NATIVE_SIDE if config.size_pixels == "native" else views.CLOSE_UP_SIDE,
            )
        )

    @property
    def runs_per_frame(self) -> int:
        """Runs of the detector on a frame with the tiles of ``detector.tiles``; it is 1 without them."""
        columns, rows = self._grid or (1, 1)
        return 1 + (columns * rows if columns * rows > 1 else 0)

    def views(self, width: int, height: int, *, tiles: bool = True) -> list[View]:
        """Where the detector looks in a frame of this size (pixels).

        ``tiles`` stands for those of the configuration. Those that the size of the frame calls for are always
        there.
        """
        looked_at = views.whole(width, height, self._shape)
        if self._tiles:
            looked_at += views.tiles(width, height, self._shape)
        elif tiles and self._grid is not None and self._grid != (1, 1):
            looked_at += views.grid(width, height, self._shape, *self._grid, self._overlap)
        return looked_at

    def detect(self, pixels: Pixels, *, tiles: bool = True) -> Detections:
        """Find faces in uint8 ``[H, W, 3]`` BGR; without ``tiles``, those of the configuration are left out.

        Raises DetectionError, whose ``reason`` is the drop reason.
        """
        height, width = pixels.shape[:2]
        found = [self._look(pixels, view) for view in self.views(width, height, tiles=tiles)]
        boxes = np.concatenate([b for b, _ in found])
        scores = np.concatenate([s for _, s in found])
        clipped = geometry.clip(boxes, width, height)
        # A box beside the frame covers nothing, so it must not stand for one that does.
        inside = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
        boxes, clipped, scores = boxes[inside], clipped[inside], scores[inside]
        kept = geometry.nms(boxes, scores, self.session.contract.nms_iou)
        return Detections(clipped[kept], scores[kept])

    def _look(self, pixels: Pixels, view: View) -> tuple[Floats, Floats]:
        """Candidates of one view, in pixels of the frame, before suppression."""
        contract = self.session.contract
        inside = pixels[view.y1 : view.y2, view.x1 : view.x2]
        canvas = paint(inside, view.letterbox, contract.interpolation, contract.padding)
        boxes, scores = self.session.run(canvas)
        count = int((scores >= self.score_continue).sum())
        if count == len(scores):
            raise DetectionError(Reason.OVERFLOW, f"all {count} candidates are above the threshold")
        if (boxes[:count, 2:] <= boxes[:count, :2]).any():  # it would cover nothing
            raise DetectionError(Reason.DETECTOR_OUTPUT, "a box is empty or inside out")
        offset = np.array([view.x1, view.y1, view.x1, view.y1], np.float32)
        return view.letterbox.to_frame(boxes[:count]) + offset, scores[:count]


def paint(
    view: Pixels, letterbox: Letterbox, interpolation: str, padding: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """BGR pixels become an RGB canvas: scaled, at the top left, ``padding`` (RGB) elsewhere.

    ``interpolation`` is one of ``edge.contract.INTERPOLATIONS``.
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
    if interpolation == "area" and min(letterbox.scale_x, letterbox.scale_y) < 1:
        return _average(view, size)
    return cv2.resize(view, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _average(view: Pixels, size: tuple[int, int]) -> Pixels:
    """Shrink by averaging: point sampling would break up small faces.

    What ``cv2.INTER_AREA`` gives, but for a level or so where a large frame is halved first
    (``python -m benchmarks.canvas_cost``).
    """
    width, height = size
    times = view.shape[0] // height
    if times < 3 or view.shape[:2] != (times * height, times * width):
        return _average_all(view, size)
    small = np.empty((height, width, 3), np.uint8)
    # So few rows at a time that nothing in between needs new pages, which the kernel would have to clear.
    step = 2 * max(1, BAND_BYTES * (1 if times == 3 else 4) // (6 * times**2 * width))
    for top in range(0, height, step):
        band = small[top : top + step]
        band[:] = _average_all(view[times * top : times * (top + step)], (width, len(band)))
    return small


def _average_all(view: Pixels, size: tuple[int, int]) -> Pixels:
    """OpenCV is quick for two by two pixels alone."""
    width, height = size
    while (
        view.shape[1] >= 4 * width and view.shape[0] >= 4 * height and not np.any(np.mod(view.shape[:2], 2))
    ):
        half = (view.shape[1] // 2, view.shape[0] // 2)
        view = cv2.resize(view, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if view.shape[:2] == (3 * height, 3 * width):
        # The mean of the nine pixels from each one on; then every third of these, none of which is at the
        # border.
        view = cv2.blur(view, (3, 3), anchor=(0, 0))  # type: ignore[assignment]
        return cv2.resize(view, size, interpolation=cv2.INTER_NEAREST)  # type: ignore[return-value]
    return cv2.resize(view, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def open_detector(file: DetectorFile, config: DetectorConfig) -> Detector:
    """Open a detector as the configuration says. Raises DetectorError."""
    session = Session(
        file,
        provider=config.provider,
        size=config.size,
        native=config.size_pixels == "native",
        threads=config.threads,
        timeout_seconds=config.timeout_seconds,
        provider_fallback=config.provider_fallback,
        cache_folder=config.cache_folder,
    )
    return Detector(session, config)
