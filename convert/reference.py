"""TensorFlow's own answers: the reference that a detector is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convert.generic import feed
from convert.graphs import Array
from convert.model import Model, Probe
from convert.parity import FLOOR
from convert.passes.grids import Grids
from convert.passes.peaks import Peaks
from convert.passes.select import Coder, Head
from convert.plan import OBJECT_DETECTION, Plan
from edge import boxes as geometry
from edge.boxes import Floats


def detect_picture(model: Model, plan: Plan, picture: Array) -> tuple[Floats, Floats]:
    """TensorFlow's faces on one RGB picture, uint8 ``[H, W, 3]``.

    Returns boxes float32 ``[M, 4]`` (``x1 y1 x2 y2``, pixels of the picture, clipped to it) and scores
    float32 ``[M]``, best first: the SavedModel's own answer, with its classes merged. Where it does not
    suppress boxes itself, scores are ``FLOOR`` or more.
    """
    height, width = picture.shape[:2]
    if plan.family == OBJECT_DETECTION:
        out = model.call(picture[None])
        chosen = np.isin(out["detection_classes"][0].astype(int), plan.classes)
        boxes = out["detection_boxes"][0][chosen][:, [1, 0, 3, 2]] * np.array([width, height] * 2)
        boxes, scores = _inside(boxes, out["detection_scores"][0][chosen], width, height)
        if len(plan.classes) == 1:  # the graph has done it
            return boxes, scores
        return suppress(boxes, scores, plan.nms_iou)
    out = model.call(feed(model, plan.preprocessing, picture))
    return from_canvas(
        plan, *decode_outputs(plan, [out[tensor.key] for tensor in plan.outputs]), width, height
    )


def from_canvas(plan: Plan, boxes: Floats, scores: Floats, width: int, height: int) -> tuple[Floats, Floats]:
    """Candidates ``[N, 4]`` in pixels of the canvas as faces of a picture of this size, each once;
    those below ``FLOOR`` are left out."""
    strong = scores >= FLOOR  # suppression by weaker ones changes nothing, and takes most of the time
    boxes = plan.preprocessing.fit(width, height).to_frame(boxes[strong])
    return suppress(*_inside(boxes, scores[strong], width, height), plan.nms_iou)


def _inside(boxes: Floats, scores: Floats, width: int, height: int) -> tuple[Floats, Floats]:
    boxes = geometry.clip(boxes.astype(np.float32), width, height)
    inside = geometry.area(boxes) > 0  # boxes in the padding are not in the picture
    return boxes[inside], scores[inside].astype(np.float32)


def suppress(boxes: Floats, scores: Floats, nms_iou: float) -> tuple[Floats, Floats]:
    """Each face once, best first."""
    survivors = geometry.nms(boxes, scores, nms_iou)
    return boxes[survivors], scores[survivors]


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
    return decode_outputs(plan, probe([tensor.name for tensor in plan.outputs], feeds))


def decode_outputs(plan: Plan, outputs: Sequence[Array]) -> tuple[Floats, Floats]:
    """Candidates from the outputs of ``plan``, each with a batch of 1; see ``detect_canvas``."""
    first = [output[0] for output in outputs]
    if isinstance(plan.head, Head):
        return decode(plan.head, first[0], first[1])
    if isinstance(plan.head, Peaks):
        return decode_peaks(plan.head, *first)
    count = len(plan.head.strides)
    return decode_grids(plan.head, first[:count], first[count:])


def decode_peaks(head: Peaks, heat: Array, size: Array, offset: Array) -> tuple[Floats, Floats]:
    """Decode maps ``[h, w, C]`` to boxes in pixels of the canvas and scores, peaks only.

    Written independently of the graph's decoding, because it is the reference for it.
    """
    padded = np.pad(heat[..., 0], 1, constant_values=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max(axis=(2, 3))
    cells = np.argwhere(heat[..., 0] >= around)
    rows, columns = cells.T
    centre = (cells + offset[rows, columns].astype(np.float64) + 0.5) * head.stride
    half = np.exp(size[rows, columns].astype(np.float64)) * head.stride / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)[:, [1, 0, 3, 2]]
    return boxes.astype(np.float32), heat[rows, columns, 0].astype(np.float32)


def decode_grids(head: Grids, scores: Sequence[Array], boxes: Sequence[Array]) -> tuple[Floats, Floats]:
    """Decode grids ``[h, w, 1]`` and ``[h, w, 4]`` to boxes in pixels of the canvas and scores.

    Written independently of the graph's decoding, because it is the reference for it.
    """
    decoded = []
    for stride, grid in zip(head.strides, boxes, strict=True):
        rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]]
        centre = grid[..., :2].astype(np.float64) + np.stack([columns, rows], axis=-1)
        half = np.exp(grid[..., 2:].astype(np.float64)) / 2
        decoded.append(np.concatenate([centre - half, centre + half], axis=2).reshape(-1, 4) * stride)
    together = np.concatenate([grid.reshape(-1) for grid in scores])
    return np.concatenate(decoded).astype(np.float32), together.astype(np.float32)


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
