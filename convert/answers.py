"""TensorFlow's answers for the pictures of a build: computed once, and shared by its targets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert import reference
from convert.conversion import Conversion
from convert.graphs import Array
from convert.own_answer import OwnReader
from convert.preprocessing import Preprocessing
from edge.boxes import Floats

Faces = tuple[Floats, Floats]
"""Boxes ``[N, 4]`` as ``x1 y1 x2 y2``, and scores ``[N]``."""


@dataclass(frozen=True, eq=False)
class Answer:
    """``on_path``: faces in pixels of the picture, from TensorFlow's whole way. ``on_canvas``: candidates in
    pixels of the canvas from its network alone, before suppression."""

    on_path: Faces
    on_canvas: Faces


class Answers:
    """What TensorFlow finds, kept by the name of the picture and the size of the canvas.

    Candidates below ``floor`` are not kept.
    """

    def __init__(self, conversion: Conversion, floor: float) -> None:
        self.conversion = conversion
        self._floor = floor
        own = conversion.plan.own
        self._own = OwnReader(own) if own is not None else None
        self._kept: dict[tuple[str, int, int], Answer] = {}

    def of(self, title: str, picture: Array, preprocessing: Preprocessing) -> Answer:
        """The answer for an RGB picture, uint8 ``[H, W, 3]``; ``title`` is always the same picture's.

        Raises ConvertError when TensorFlow cannot run the graph.
        """
        key = (title, preprocessing.width, preprocessing.height)
        if key not in self._kept:
            self._kept[key] = self._ask(picture, preprocessing)
        return self._kept[key]

    def _ask(self, picture: Array, preprocessing: Preprocessing) -> Answer:
        model, probe = self.conversion.model, self.conversion.probe
        plan = replace(self.conversion.plan, preprocessing=preprocessing)
        boxes, scores = reference.detect_canvas(model, plan, probe, preprocessing.canvas(picture))
        strong = scores >= self._floor
        if self._own is not None:
            on_path = self._own.faces(model, plan, picture)
        else:
            on_path = reference.detect_picture(model, plan, picture)
        return Answer(on_path, (boxes[strong], scores[strong]))
