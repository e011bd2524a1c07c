"""Recognise what kind of detector a SavedModel is, and say why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert import cut, preprocessing
from convert.errors import ConvertError
from convert.graphs import Array
from convert.model import Model, Probe, Tensor
from convert.options import INPUT_RANGES, RESIZES, ModelOptions, read_anchors
from convert.passes.select import BOX_FORMATS, Coder, Head
from convert.preprocessing import Preprocessing
from convert.sample import sample_picture
from edge import boxes as geometry
from edge.boxes import Floats

OBJECT_DETECTION = "tf-object-detection-api"
GENERIC = "generic"
_SIGNATURE = (
    "raw_detection_boxes",
    "raw_detection_scores",
    "detection_boxes",
    "detection_scores",
    "detection_classes",
)
_FACE_WORDS = ("face", "mask")
DEFAULT_NMS_IOU = 0.5


@dataclass(frozen=True)
class Plan:
    """How one SavedModel becomes a detector.

    ``start`` is the tensor at which the graph is cut, ``boxes`` and ``scores`` those at which it ends;
    ``reasons`` says in sentences what was recognised or guessed, and why.
    """

    family: str
    reasons: tuple[str, ...]
    start: str
    start_dtype: str
    boxes: Tensor
    scores: Tensor
    head: Head
    labels: tuple[str, ...]
    classes: tuple[int, ...]
    nms_iou: float
    preprocessing: Preprocessing


def recognise(model: Model) -> str:
    """The family by its signature alone."""
    has_outputs = all(model.output(key) is not None for key in _SIGNATURE)
    return OBJECT_DETECTION if has_outputs and model.input.dtype == "uint8" else GENERIC


def make_plan(model: Model, probe: Probe, names: dict[int, str], options: ModelOptions) -> Plan:
    """Decide everything about the conversion. Raises ConvertError, which says what to add."""
    _check_input(model)
    if recognise(model) == OBJECT_DETECTION:
        return _object_detection(model, probe, names, options)
    return _generic(model, names, options)


def _check_input(model: Model) -> None:
    shape = model.input.shape
    if shape is None or len(shape) != 4 or model.input.dtype not in ("uint8", "float32"):
        raise ConvertError(
            f"the input is {model.input}; wanted one batch of pictures, uint8 or float32 [B, H, W, 3] (a "
            f"signature that "
            "takes encoded files or tf.Example must be exported again with --input_type image_tensor)"
        )
    if shape[3] != 3:
        raise ConvertError(
            f"the input is {model.input}; the last side must be 3: export with channels last, RGB"
        )


def _object_detection(model: Model, probe: Probe, names: dict[int, str], options: ModelOptions) -> Plan:
    if options.about_generic():
        given = ", ".join(options.about_generic())
        raise ConvertError(
            f"{given}: this model is an Object Detection API export and says all that itself; leave it out"
        )
    boxes, scores = model.output("raw_detection_boxes"), model.output("raw_detection_scores")
    assert boxes is not None
    assert scores is not None
    reasons = [
        "an export of the TensorFlow Object Detection API: uint8 input and the outputs "
        "raw_detection_boxes, raw_detection_scores and detection_*"
    ]
    start = cut.first_tensor(model.graph, model.input.name, [boxes.name, scores.name])
    rule = preprocessing.measure(lambda picture: probe([start], {model.input.name: picture})[0])
    if options.size is not None and options.size != (rule.width, rule.height):
        raise ConvertError(
            f"--size {options.size[0]}x{options.size[1]}: this model was exported for "
            f"{rule.width}x{rule.height}, and its "
            "anchors are constants for that size; change image_resizer in pipeline.config and export again"
        )
    reasons.append(
        f"measured: canvas {rule.width}x{rule.height}, {rule.letterbox}, {rule.interpolation}, "
        f"{rule.text()}; "
        f"the box's canvas differs by {rule.levels:.2f} of 255 levels on average"
    )
    offset, count = _classes(model)
    if offset:
        reasons.append("measured: column 0 of the raw scores is the background")
    ids = _choose(tuple(range(1, count + 1)), names, options.labels, reasons)
    nms_iou = _nms_iou(model.graph)
    head = Head(tuple(i - 1 + offset for i in ids), "yxyx", (rule.width, rule.height))
    labels = tuple(names.get(i, str(i)) for i in ids)
    return Plan(
        OBJECT_DETECTION, tuple(reasons), start, "float32", boxes, scores, head, labels, ids, nms_iou, rule
    )


def _classes(model: Model) -> tuple[int, int]:
    """Place of the first class among the raw scores' columns (1 behind a background), and the number of
    classes: found by looking up each final score among the raw ones."""
    out = model.call(sample_picture()[None])
    raw = out["raw_detection_scores"][0]
    final, classes = out["detection_scores"][0], out["detection_classes"][0].astype(int)
    seen = final > 1e-4
    fits = []
    for offset in (0, 1):
        columns = classes[seen] - 1 + offset
        if columns.size and columns.min() >= 0 and columns.max() < raw.shape[1]:
            nearest = [np.abs(raw[:, c] - s).min() for c, s in zip(columns, final[seen], strict=True)]
            if max(nearest) < 1e-5:
                fits.append(offset)
    if raw.shape[1] == 1:
        return 0, 1
    if len(fits) != 1:
        raise ConvertError(
            f"the {raw.shape[1]} columns of raw_detection_scores cannot be told apart (background or "
            f"not): the model "
            "finds nothing on the sample picture; is it trained?"
        )
    return fits[0], raw.shape[1] - fits[0]


def _choose(
    ids: tuple[int, ...], names: dict[int, str], wanted: tuple[str, ...], reasons: list[str]
) -> tuple[int, ...]:
    known = ", ".join(f"{i} ({names[i]})" if i in names else str(i) for i in ids)
    if wanted:
        chosen = []
        for text in wanted:
            found = [i for i in ids if text == str(i) or text == names.get(i)]
            if not found:
                raise ConvertError(f"--label {text}: this model has the classes {known}")
            chosen.append(found[0])
        reasons.append(f"counted as a face, as told: {', '.join(wanted)}")
        return tuple(sorted(set(chosen)))
    if len(ids) == 1:
        reasons.append(f"counted as a face: the only class, {known}")
        return ids
    chosen = [i for i in ids if any(word in names.get(i, "").lower() for word in _FACE_WORDS)]
    if not chosen:
        raise ConvertError(
            f"this model has the classes {known}, and no name says which of them are faces; name them "
            f"with --label "
            "(again for each)"
        )
    reasons.append(f"counted as a face, by their names: {', '.join(names[i] for i in chosen)} of {known}")
    return tuple(chosen)


def _nms_iou(graph: Any) -> float:
    """The overlap limit of the graph's own suppression."""
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


def _generic(model: Model, names: dict[int, str], options: ModelOptions) -> Plan:
    reasons = ["none of the known exporters; boxes and scores are taken from its outputs"]
    width, height = _canvas_size(model, options)
    scale, offset = _input_range(model, options, reasons)
    resize = options.resize or "stretch"
    reasons.append(f"{'told' if options.resize else 'guessed'}: frames are fitted by {resize} (--resize)")
    rule = Preprocessing(width, height, RESIZES[resize], 0, (0, 0, 0), "linear", scale, offset)
    canvas = _feed(model, rule, sample_picture())
    out = model.call(canvas)
    boxes, scores = _outputs(model, out, options, reasons)
    raw_boxes, raw_scores = out[boxes.key], out[scores.key]
    if raw_boxes.ndim != 3 or raw_boxes.shape[2] != 4 or raw_boxes.shape[:2] != raw_scores.shape[:2]:
        raise ConvertError(
            f"{boxes.key} has shape {list(raw_boxes.shape)} and {scores.key} {list(raw_scores.shape)}; "
            f"wanted boxes "
            "[B, N, 4] and scores [B, N, C] or [B, N]: name others with --boxes and --scores"
        )
    columns = 1 if raw_scores.ndim == 2 else raw_scores.shape[2]
    ids = _choose(tuple(range(columns)), names, options.labels, reasons)
    logits = bool(raw_scores.min() < -1e-3 or raw_scores.max() > 1 + 1e-3)
    reasons.append(
        f"measured: {scores.key} is between {raw_scores.min():.3g} and {raw_scores.max():.3g} on the "
        f"sample picture, so "
        f"{'logits' if logits else 'probabilities'}"
    )
    head = _generic_head(raw_boxes[0], ids, options, (width, height), logits, reasons)
    labels = tuple(names.get(i, str(i)) for i in ids)
    return Plan(
        GENERIC, tuple(reasons), model.input.name, model.input.dtype, boxes, scores, head, labels, ids,
        DEFAULT_NMS_IOU, rule,
    )  # fmt: skip


def _canvas_size(model: Model, options: ModelOptions) -> tuple[int, int]:
    assert model.input.shape is not None
    _, height, width, _ = model.input.shape
    if width is None or height is None:
        if options.size is None:
            raise ConvertError(f"the input is {model.input}: say its size with --size WIDTHxHEIGHT")
        return options.size
    if options.size not in (None, (width, height)):
        raise ConvertError(
            f"--size: the input of this model is fixed to {width}x{height}; leave the option out"
        )
    return width, height


def _input_range(
    model: Model, options: ModelOptions, reasons: list[str]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    if model.input.dtype == "uint8":
        for name in ("input_range", "mean", "std"):
            if getattr(options, name) is not None:
                raise ConvertError(
                    f"--{name.replace('_', '-')}: the input is uint8, so the model scales it itself"
                )
        reasons.append("the input is uint8: bytes go in as they are")
        return (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    if options.input_range is None:
        raise ConvertError(
            f"the input is {model.input}: say which numbers it was trained on with --input-range 0..1, "
            f"-1..1 or 0..255 "
            "(and --mean, --std); a wrong range finds faces badly and nothing else would tell"
        )
    factor, summand = INPUT_RANGES[options.input_range]
    mean, std = np.array(options.mean or (0, 0, 0), float), np.array(options.std or (1, 1, 1), float)
    if (std <= 0).any():
        raise ConvertError("--std: wanted three positive numbers")
    reasons.append(f"told: RGB in {options.input_range}, mean {mean.tolist()}, std {std.tolist()}")
    scale, offset = (factor / std).tolist(), ((summand - mean) / std).tolist()
    return (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2])


def _outputs(
    model: Model, out: dict[str, Array], options: ModelOptions, reasons: list[str]
) -> tuple[Tensor, Tensor]:
    known = "; ".join(str(tensor) for tensor in model.outputs)
    chosen: list[Tensor] = []
    for option, key in (("--boxes", options.boxes), ("--scores", options.scores)):
        if key is None:
            continue
        tensor = model.output(key)
        if tensor is None:
            raise ConvertError(f"{option} {key}: the outputs are {known}")
        chosen.append(tensor)
    if len(chosen) == 2:
        return chosen[0], chosen[1]
    boxes = [
        tensor for tensor in model.outputs if out[tensor.key].ndim == 3 and out[tensor.key].shape[2] == 4
    ]
    scores = [tensor for tensor in model.outputs if tensor not in boxes]
    if chosen or len(boxes) != 1 or len(scores) != 1:
        raise ConvertError(
            f"which outputs are boxes and scores? Say --boxes NAME --scores NAME; the outputs are {known}"
        )
    reasons.append(
        f"guessed: boxes are {boxes[0].key} (the only output with 4 columns), scores {scores[0].key}"
    )
    return boxes[0], scores[0]


def _generic_head(
    raw: Array,
    ids: tuple[int, ...],
    options: ModelOptions,
    size: tuple[int, int],
    logits: bool,
    reasons: list[str],
) -> Head:
    unit = (float(size[0]), float(size[1]))
    if options.anchors is not None:
        anchors = read_anchors(options.anchors)
        if len(anchors) != len(raw):
            raise ConvertError(
                f"--anchors {options.anchors} has {len(anchors)} anchors, but the model gives {len(raw)} "
                f"boxes"
            )
        box_format = options.box_format or "cxcywh"
        if box_format not in ("cxcywh", "cycxhw"):
            raise ConvertError("--box-format: with --anchors the order of the offsets, cxcywh or cycxhw")
        variances = options.variances or (0.1, 0.1, 0.2, 0.2)
        reasons.append(f"{len(anchors)} anchors given, offsets as {box_format}, variances {variances}")
        return Head(ids, box_format, unit, anchors, variances, logits)
    if options.variances is not None:
        raise ConvertError("--variances belongs to --anchors, which is missing")
    box_format = options.box_format or _guess_format(raw, reasons)
    normalized = options.normalized
    if normalized is None:
        normalized = bool(np.abs(raw).max() <= 4)
        reasons.append(
            f"guessed: boxes up to {np.abs(raw).max():.3g} are "
            f"{'shares of the canvas' if normalized else 'pixels'}"
        )
    return Head(ids, box_format, unit if normalized else (1.0, 1.0), None, (1.0, 1.0, 1.0, 1.0), logits)


def _guess_format(raw: Array, reasons: list[str]) -> str:
    ordered = float((raw[:, 2:] > raw[:, :2]).all(axis=1).mean())
    if ordered < 0.99:
        raise ConvertError(
            f"only {ordered:.0%} of the boxes have their second corner behind the first: say what the "
            f"four numbers are with "
            f"--box-format ({', '.join(BOX_FORMATS)}), or give --anchors if they are offsets"
        )
    raise ConvertError(
        "boxes are corners, but whether x or y comes first cannot be told from one picture: say "
        "--box-format yxyx (the "
        "custom of TensorFlow) or xyxy"
    )


def _feed(model: Model, rule: Preprocessing, picture: Array) -> Array:
    """The model's own input for an RGB picture."""
    canvas = rule.canvas(picture)[None]
    if model.input.dtype == "uint8":
        return canvas
    return np.asarray(canvas * np.array(rule.scale) + np.array(rule.offset), np.float32)


def reference(model: Model, plan: Plan, picture: Array) -> tuple[Floats, Floats]:
    """TensorFlow's faces on one RGB picture, uint8 ``[H, W, 3]``.

    Returns boxes float32 ``[M, 4]`` (``x1 y1 x2 y2``, pixels of the picture, cut to it) and scores float32
    ``[M]``, best first: what the SavedModel itself answers, classes merged.
    """
    height, width = picture.shape[:2]
    if plan.family == OBJECT_DETECTION:
        out = model.call(picture[None])
        chosen = np.isin(out["detection_classes"][0].astype(int), plan.classes)
        boxes = out["detection_boxes"][0][chosen][:, [1, 0, 3, 2]] * np.array([width, height] * 2)
        scores = out["detection_scores"][0][chosen]
    else:
        out = model.call(_feed(model, plan.preprocessing, picture))
        canvas_boxes, scores = decode(plan.head, out[plan.boxes.key][0], out[plan.scores.key][0])
        strong = scores >= 0.01
        boxes, scores = plan.preprocessing.fit(width, height).to_frame(canvas_boxes[strong]), scores[strong]
    boxes = geometry.clip(boxes.astype(np.float32), width, height)
    seen = geometry.area(boxes) > 0  # the padding is no part of the picture
    boxes, scores = boxes[seen], scores[seen]
    if len(plan.classes) > 1 or plan.family == GENERIC:  # else the graph has suppressed already
        kept = geometry.nms(boxes, scores, plan.nms_iou)
        boxes, scores = boxes[kept], scores[kept]
    return boxes, scores.astype(np.float32)


def raw_reference(model: Model, plan: Plan, probe: Probe, canvas: Array) -> tuple[Floats, Floats]:
    """TensorFlow's network on one canvas of the box, uint8 ``[height, width, 3]`` RGB, without suppression.

    Returns boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels of the canvas) and face scores float32 ``[N]``.
    """
    rule = plan.preprocessing
    value = canvas[None]
    if plan.start_dtype != "uint8":
        value = (value * np.array(rule.scale) + np.array(rule.offset)).astype(np.float32)
    feeds = {plan.start: value}
    if plan.start != model.input.name:  # what the graph asserts about its own input must still hold
        feeds[model.input.name] = canvas[None]
    boxes, scores = probe([plan.boxes.name, plan.scores.name], feeds)
    return decode(plan.head, boxes[0], scores[0])


def decode(head: Head, boxes: Array, scores: Array) -> tuple[Floats, Floats]:
    """Raw outputs ``[N, 4]`` and ``[N, C]`` of a source to boxes in pixels of the canvas and face scores.

    Written apart from the graph's decoding, as its reference.
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
