"""TensorFlow's own answers: the reference that a detector is compared with."""

from __future__ import annotations

import numpy as np

from convert.generic import feed
from convert.graphs import Array
from convert.model import Model, Probe
from convert.passes.select import Coder, Head
from convert.plan import GENERIC, OBJECT_DETECTION, Plan
from edge import boxes as geometry
from edge.boxes import Floats


def detect_picture(model: Model, plan: Plan, picture: Array) -> tuple[Floats, Floats]:
    """TensorFlow's faces on one RGB picture, uint8 ``[H, W, 3]``.

    Returns boxes float32 ``[M, 4]`` (``x1 y1 x2 y2``, pixels of the picture, clipped to it) and scores
    float32 ``[M]``, best first: the SavedModel's own answer, with its classes merged.
    """
    height, width = picture.shape[:2]
    if plan.family == OBJECT_DETECTION:
        out = model.call(picture[None])
        chosen = np.isin(out["detection_classes"][0].astype(int), plan.classes)
        boxes = out["detection_boxes"][0][chosen][:, [1, 0, 3, 2]] * np.array([width, height] * 2)
        scores = out["detection_scores"][0][chosen]
    else:
        out = model.call(feed(model, plan.preprocessing, picture))
        canvas_boxes, scores = decode(plan.head, out[plan.boxes.key][0], out[plan.scores.key][0])
        strong = scores >= 0.01
        boxes, scores = plan.preprocessing.fit(width, height).to_frame(canvas_boxes[strong]), scores[strong]
    boxes = geometry.clip(boxes.astype(np.float32), width, height)
    inside = geometry.area(boxes) > 0  # boxes in the padding are not in the picture
    boxes, scores = boxes[inside], scores[inside]
    if len(plan.classes) > 1 or plan.family == GENERIC:  # otherwise the graph has done it
        survivors = geometry.nms(boxes, scores, plan.nms_iou)
        boxes, scores = boxes[survivors], scores[survivors]
    return boxes, scores.astype(np.float32)


def detect_canvas(model: Model, plan: Plan, probe: Probe, canvas: Array) -> tuple[Floats, Floats]:
    """TensorFlow's network on one canvas of the box, uint8 ``[height, width, 3]`` RGB, without suppression.

    Returns boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels of the canvas) and face scores float32 ``[N]``.
    """
    value = canvas[None]
    if plan.start_dtype != "uint8":
        value = plan.preprocessing.normalise(value)
    feeds = {plan.start: value}
    if plan.start != model.input.name:  # what the graph asserts about its own input must still hold
        feeds[model.input.name] = canvas[None]
    boxes, scores = probe([plan.boxes.name, plan.scores.name], feeds)
    return decode(plan.head, boxes[0], scores[0])


def decode(head: Head, boxes: Array, scores: Array) -> tuple[Floats, Floats]:
    """Decode raw outputs ``[N, 4]`` and ``[N, C]`` to boxes in pixels of the canvas and face scores.

    Written independently of the graph's decoding, because it is the reference for it.
    """
    merged = scores if scores.ndim == 1 else scores[:, list(head.columns)].max(axis=1)
    if head.logits:
        merged = 1 / (1 + np.exp(-merged.astype(np.float64)))
    values = boxes.astype(np.float64)
    if head.box_format in ("yxyx", "cycxhw"):
        values = values[:, [1, 0, 3, 2]]
    if head.anchors is not None:
        order = [1, 0, 3, 2] if head.box_format == "cycxhw" else [0, 1, 2, 3]
        variances = tuple(head.variances[place] for place in order)
        coder = Coder((0, 1, 2, 3), head.anchors, variances)  # type: ignore[arg-type]
        values = coder.decode(values)
    elif head.box_format in ("cxcywh", "cycxhw"):
        centre, half = values[:, :2], values[:, 2:] / 2
        values = np.concatenate([centre - half, centre + half], axis=1)
    return (values * np.array(head.unit * 2)).astype(np.float32), merged.astype(np.float32)
