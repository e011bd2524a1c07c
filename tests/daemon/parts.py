"""A detector that looks at parts of large frames, and scenes for it: squares of the secret are faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from edge.boxes import Floats
from edge.detection.detector import EVERYTHING, Detections
from edge.detection.views import FreeCanvas, Search, View, part_of
from edge.frames import Pixels
from tests.daemon.playing import (
    KNOWN_FACE,
    SECRET,
    FakeSession,
    is_known_face,
    number_of,
)
from tests.one_view import OneView

WIDTH, HEIGHT, FACE_SIDE, MARGIN = 1280, 720, 24, 32
CANVAS = FreeCanvas(32)
Rectangle = tuple[int, int, int, int]
Place = tuple[int, int]
WHOLE: Rectangle = (0, 0, WIDTH, HEIGHT)


def scene(number: int, *faces: Place, spots: Sequence[Place] = ()) -> Pixels:
    """Frame ``number``: uint8 ``[720, 1280, 3]`` BGR, with faces and with grey spots that are none.

    One pixel says the number, which is too little of a change to be looked at.
    """
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[0, 0] = 10 + number
    for x, y in spots:
        pixels[y : y + 8, x : x + 8] = 160
    for x, y in faces:
        pixels[y : y + FACE_SIDE, x : x + FACE_SIDE] = SECRET
    return pixels


class Looks(NamedTuple):
    """Where the detector looked in frames as they came (``first``) and in images (``last``), by number."""

    first: dict[int, list[Rectangle]]
    last: dict[int, list[Rectangle]]


class InParts(OneView):
    """Finds the faces that lie within a view as a whole; keeps where it looked.

    ``pictures`` are the frames as they come. Faces in those of ``blind_to`` are found in the last look alone.
    ``at_look`` is called with the number of each frame that is looked at for the first time, and may raise.
    """

    session = FakeSession()
    score_begin, score_continue, score_last_look = 0.35, 0.2, 0.35

    def __init__(
        self, pictures: Sequence[Pixels], at_look: Callable[[int], None] = lambda number: None
    ) -> None:
        self.looks = Looks({}, {})
        self.blind_to: set[int] = set()
        self._raw = {id(pixels) for pixels in pictures}
        self._at_look = at_look

    def views(self, width: int, height: int, search: Search = EVERYTHING) -> list[View]:
        return [View(0, 0, width, height, CANVAS.letterbox(width, height, 1.0), margin=MARGIN)]

    def part(self, view: View, x1: int, y1: int, x2: int, y2: int) -> View:
        return part_of(view, x1, y1, x2, y2, CANVAS)

    def look(self, pixels: Pixels, looked_at: Sequence[View]) -> list[Detections]:
        if is_known_face(pixels):
            return [KNOWN_FACE]
        number, first = number_of(pixels), id(pixels) in self._raw
        places = self.looks.first if first else self.looks.last
        places.setdefault(number, []).extend((view.x1, view.y1, view.x2, view.y2) for view in looked_at)
        if first:
            self._at_look(number)
        blind = first and number in self.blind_to
        return [_found(pixels, view, blind=blind) for view in looked_at]


def _found(pixels: Pixels, view: View, *, blind: bool) -> Detections:
    inside = pixels[view.y1 : view.y2, view.x1 : view.x2]
    secret = (inside == SECRET).all(axis=2).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(secret)
    x, y, width, height = stats[1:, :4].T
    seen = (width >= FACE_SIDE) & (height >= FACE_SIDE) & (not blind)
    boxes: Floats = np.stack([x, y, x + width, y + height], axis=1)[seen].astype(np.float32)
    boxes += np.array([view.x1, view.y1, view.x1, view.y1], np.float32)
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32))


def contains(rectangles: Sequence[Rectangle], place: Place) -> bool:
    """Whether the square of a face at this place lies within one of them."""
    x, y = place
    return any(
        x1 <= x and y1 <= y and x + FACE_SIDE <= x2 and y + FACE_SIDE <= y2 for x1, y1, x2, y2 in rectangles
    )


def area(rectangles: Sequence[Rectangle]) -> int:
    """The pixels of all of them."""
    return sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in rectangles)
