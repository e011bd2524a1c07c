"""Read what a model answers itself where its suppression was cut off.

Its boxes may be in another format than those in front of the suppression. Since each is one of them, the
format is found by looking for it there, with its score; so a cut at the wrong place is found as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from convert import reference
from convert.adapted import OwnAnswer
from convert.errors import ConvertError
from convert.generic import feed
from convert.graphs import Array
from convert.model import Model
from convert.parity import FLOOR
from convert.plan import Plan
from edge import boxes as geometry
from edge.boxes import Floats

SAME_SCORE, SAME_PLACE = 1e-4, 0.5
"""Largest differences of a box that is the same: of its score, and of its sides in pixels of the canvas."""

_FORMATS: Mapping[str, Callable[[Array], Array]] = {
    "yxyx": lambda b: b[:, [1, 0, 3, 2]],
    "xyxy": lambda b: b,
    "xywh": lambda b: np.concatenate([b[:, :2], b[:, :2] + b[:, 2:]], axis=1),
    "cxcywh": lambda b: np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], axis=1),
    "cycxhw": lambda b: _FORMATS["cxcywh"](b[:, [1, 0, 3, 2]]),
}


class OwnReader:
    """Reads the own answers for one picture after another, in every format that is still possible."""

    def __init__(self, own: OwnAnswer) -> None:
        self._own = own
        self._formats = list(itertools.product(_FORMATS, ("pixels", "shares")))

    def faces(self, model: Model, plan: Plan, picture: Array) -> tuple[Floats, Floats]:
        """As ``reference.detect_picture``: the faces of an RGB picture, uint8 ``[H, W, 3]``.

        ``model`` is the one that was cut. Raises ConvertError when an own box is none of its boxes.
        """
        canvas = feed(model, plan.preprocessing, picture)
        out, own = model.call(canvas), self._own.model.call(canvas)
        candidates = reference.decode_outputs(plan, [out[tensor.key] for tensor in plan.outputs])
        boxes, scores = own[self._own.boxes][0], own[self._own.scores][0]
        kept = scores >= FLOOR
        if self._own.classes is not None:
            kept &= np.isin(np.rint(own[self._own.classes][0]).astype(int), plan.classes)
        corners = self._corners(plan, boxes[kept], scores[kept], candidates)
        return reference.from_canvas(plan, corners, scores[kept], picture.shape[1], picture.shape[0])

    def _corners(self, plan: Plan, boxes: Array, scores: Array, candidates: tuple[Floats, Floats]) -> Floats:
        width, height = plan.preprocessing.width, plan.preprocessing.height
        read = {
            (name, unit): geometry.clip(
                (_FORMATS[name](boxes) * ([width, height] * 2 if unit == "shares" else 1)).astype(np.float32),
                width,
                height,
            )
            for name, unit in self._formats
        }
        known = geometry.clip(candidates[0], width, height), candidates[1]
        self._formats = [key for key in self._formats if _are_among(read[key], scores, known)]
        if not self._formats:
            raise ConvertError(
                "the boxes that the model answers itself are none of those in front of its suppression, in "
                "no known format: the cut is wrong; export boxes [B, N, 4] and scores [B, N, C] from before"
            )
        return read[self._formats[0]]


def _are_among(boxes: Floats, scores: Array, candidates: tuple[Floats, Floats]) -> bool:
    """Whether each box is one of the candidates, with its score."""
    known, theirs = candidates
    return all(
        (np.abs(known[np.abs(theirs - score) <= SAME_SCORE] - box).max(axis=1, initial=0) <= SAME_PLACE).any()
        for box, score in zip(boxes, scores, strict=True)
    )
