"""A network in training as a detector: a picture in, boxes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from convert.graphs import Array
from convert.training.layers import floats
from convert.training.recipe import Recipe
from edge import boxes as geometry
from edge.detection.detector import Detections, paint

NMS_IOU = 0.4
LOWEST_SCORE = 0.02
MOST_BOXES = 500
PADDING = (0, 0, 0)


def best_of(boxes: Array, scores: Array, width: int, height: int) -> Detections:
    """Candidates in a picture of this size, boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) and scores
    float32 ``[N]``: from ``LOWEST_SCORE`` on, cut to the picture, without those that overlap better ones."""
    likely = scores >= LOWEST_SCORE
    boxes, scores = geometry.clip(boxes[likely], width, height), scores[likely]
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores = boxes[inside], scores[inside]
    best = geometry.nms(boxes, scores, NMS_IOU)
    return Detections(boxes[best], scores[best])


class NetworkDetector:
    """``detect`` finds objects in a picture at its own size, or scaled to the canvas of a fixed network."""

    def __init__(self, network: Any, recipe: Recipe) -> None:
        self._recipe = recipe

        def run(pixels: Any) -> dict[str, Any]:
            return floats(network(pixels, training=False))

        self._run = tf.function(run, reduce_retracing=True)

    def detect(self, picture: Array) -> Detections:
        """Boxes (pixels) in uint8 ``[H, W, 3]`` RGB and scores from ``LOWEST_SCORE`` on, best first."""
        height, width = picture.shape[:2]
        letterbox = self._letterbox(width, height)
        canvas = paint(np.ascontiguousarray(picture[..., ::-1]), letterbox, "area", PADDING)
        maps = self._run(tf.constant(canvas[None], tf.float32))
        boxes, scores = self._recipe.decode({name: np.asarray(value) for name, value in maps.items()})
        order = np.argsort(-scores[0], kind="stable")[:MOST_BOXES]
        return best_of(letterbox.to_frame(boxes[0][order]), scores[0][order], width, height)

    def _letterbox(self, width: int, height: int) -> geometry.Letterbox:
        recipe = self._recipe
        if recipe.fixed:
            return geometry.fit(width, height, recipe.side, recipe.side)
        sides = [-(-side // recipe.multiple) * recipe.multiple for side in (width, height)]
        return geometry.Letterbox(1.0, 1.0, width, height, *sides)
