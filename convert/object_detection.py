"""Exports of the TensorFlow Object Detection API: everything is read or measured from the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert import cut, preprocessing
from convert.errors import ConvertError
from convert.model import Model, Probe
from convert.options import ModelOptions
from convert.passes.select import Head
from convert.plan import DEFAULT_NMS_IOU, OBJECT_DETECTION, Plan, choose_classes
from convert.sample import sample_picture

_SIGNATURE = (
    "raw_detection_boxes",
    "raw_detection_scores",
    "detection_boxes",
    "detection_scores",
    "detection_classes",
)


def is_export(model: Model) -> bool:
    """Whether the signature is that of such an export."""
    has_outputs = all(model.output(key) is not None for key in _SIGNATURE)
    return has_outputs and model.input.dtype == "uint8"


def make_plan(model: Model, probe: Probe, names: dict[int, str], options: ModelOptions) -> Plan:
    """Decide by the graph and by runs of it; ``names`` is the label map. Raises ConvertError."""
    superfluous = options.given_generic()
    if superfluous:
        raise ConvertError(
            f"{', '.join(superfluous)}: this model is an Object Detection API export, and all of that is in "
            "the model; leave it out"
        )
    boxes, scores = model.output("raw_detection_boxes"), model.output("raw_detection_scores")
    assert boxes is not None
    assert scores is not None
    reasons = [
        "an export of the TensorFlow Object Detection API: uint8 input and the outputs "
        "raw_detection_boxes, raw_detection_scores and detection_*"
    ]
    start = cut.first_tensor(model.graph, model.input.name, [boxes.name, scores.name])
    measured = preprocessing.measure(lambda picture: probe([start], {model.input.name: picture})[0])
    if options.size is not None and options.size != (measured.width, measured.height):
        raise ConvertError(
            f"--size {options.size[0]}x{options.size[1]}: this model was exported for "
            f"{measured.width}x{measured.height}, and its anchors are constants for that size; change "
            "image_resizer in pipeline.config and export it again"
        )
    reasons.append(
        f"measured: canvas {measured.width}x{measured.height}, {measured.letterbox}, "
        f"{measured.interpolation}, {measured.text()}; the box's canvas differs by {measured.levels:.2f} of "
        "255 levels on average"
    )
    offset, count = _classes(model)
    if offset:
        reasons.append("measured: column 0 of the raw scores is the background")
    ids = choose_classes(tuple(range(1, count + 1)), names, options.labels, reasons)
    nms_iou = _nms_iou(model.graph)
    head = Head(tuple(i - 1 + offset for i in ids), "yxyx", (measured.width, measured.height))
    labels = tuple(names.get(i, str(i)) for i in ids)
    return Plan(
        OBJECT_DETECTION,
        tuple(reasons),
        start,
        "float32",
        (boxes, scores),
        head,
        labels,
        ids,
        nms_iou,
        measured,
    )


def _classes(model: Model) -> tuple[int, int]:
    """The column of the first class in the raw scores (1 behind a background), and the number of classes.

    They are found by searching for each final score among the raw ones. Raises ConvertError.
    """
    out = model.call(sample_picture()[None])
    raw = out["raw_detection_scores"][0]
    final, classes = out["detection_scores"][0], out["detection_classes"][0].astype(int)
    detected = final > 1e-4
    fits = []
    for offset in (0, 1):
        columns = classes[detected] - 1 + offset
        if columns.size and columns.min() >= 0 and columns.max() < raw.shape[1]:
            nearest = [np.abs(raw[:, c] - s).min() for c, s in zip(columns, final[detected], strict=True)]
            if max(nearest) < 1e-5:
                fits.append(offset)
    if raw.shape[1] == 1:
        return 0, 1
    if len(fits) != 1:
        raise ConvertError(
            f"whether the first of the {raw.shape[1]} columns of raw_detection_scores is the background "
            "cannot be measured: the model finds nothing in the sample picture; is it trained?"
        )
    return fits[0], raw.shape[1] - fits[0]


def _nms_iou(graph: Any) -> float:
    """The overlap limit of the graph's own suppression, or the default when it is not a constant."""
    from tensorflow.python.framework.tensor_util import MakeNdarray

    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        if node.op in ("NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"):
            limit = nodes[node.input[3].split(":")[0].lstrip("^")]
            while limit.op == "Identity":
                limit = nodes[limit.input[0].split(":")[0]]
            if limit.op == "Const":
                value = float(MakeNdarray(limit.attr["value"].tensor))
                if 0 < value < 1:
                    return round(value, 6)
    return DEFAULT_NMS_IOU
