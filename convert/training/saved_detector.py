"""A SavedModel as a detector: those that ``edge-train export`` and the Object Detection API write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from convert.errors import ConvertError
from convert.graphs import Array
from convert.maps import MULTIPLE
from convert.source import open_source
from convert.training.centre import recipe as centre
from convert.training.detect import best_of
from convert.training.tiny import recipe as tiny
from edge.detection.detector import Detections

SIGNATURE = "serving_default"


def open_saved_model(path: Path) -> Callable[[Array], Detections]:
    """A function from uint8 ``[H, W, 3]`` RGB to boxes in its pixels, best first. Raises ConvertError."""
    with open_source(path) as source:
        model = tf.saved_model.load(str(source.folder))
    if SIGNATURE not in model.signatures:
        raise ConvertError(f"{path}: it has no signature {SIGNATURE}; export it with edge-train export")
    function = model.signatures[SIGNATURE]
    (name,) = function.structured_input_signature[1]
    outputs = set(function.structured_outputs)
    reads: dict[str, Callable[[Mapping[str, Array]], tuple[Array, Array]]] = {
        "heat": centre.read,
        "score_8": tiny.read,
    }
    kind = next((read for key, read in reads.items() if key in outputs), None)
    if kind is None and not {"detection_boxes", "detection_scores"} <= outputs:
        raise ConvertError(
            f"{path}: outputs {', '.join(sorted(outputs))} are of no kind that edge-train knows; convert it "
            "with edge-convert build, and evaluate the detector"
        )

    def detect(picture: Array) -> Detections:
        height, width = picture.shape[:2]
        pad = [(0, -side % MULTIPLE) for side in (height, width)] if kind else [(0, 0), (0, 0)]
        fed = tf.constant(np.pad(picture, [*pad, (0, 0)])[None])
        found = {key: np.asarray(value) for key, value in function(**{name: fed}).items()}
        if kind:
            boxes, scores = (rows[0] for rows in kind(found))
        else:
            sides = np.array([width, height, width, height], np.float32)
            boxes, scores = found["detection_boxes"][0][:, [1, 0, 3, 2]] * sides, found["detection_scores"][0]
        return best_of(boxes.astype(np.float32), scores, width, height)

    # The functions of a SavedModel live as long as it does
    detect.model = model  # type: ignore[attr-defined]
    return detect
