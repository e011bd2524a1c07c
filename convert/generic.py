"""Models of no known exporter: decided by options, by a run on a sample picture, and by reported guesses."""

from __future__ import annotations

import numpy as np

from convert.box_order import ORDERED, formats_that_fit, ordered_share
from convert.errors import ConvertError
from convert.graphs import Array
from convert.model import Model, Tensor
from convert.options import INPUT_RANGES, RESIZES, ModelOptions, read_anchors
from convert.passes.select import BOX_FORMATS, Head
from convert.plan import DEFAULT_NMS_IOU, GENERIC, Plan, choose_classes
from convert.preprocessing import Preprocessing
from convert.sample import sample_picture


def make_plan(model: Model, names: dict[int, str], options: ModelOptions) -> Plan:
    """Decide by options and a sample picture. Raises ConvertError, which says which option to add."""
    reasons = ["not an export of a known program; boxes and scores are taken from its outputs"]
    width, height = _canvas_size(model, options)
    scale, offset = _input_range(model, options, reasons)
    resize = options.resize or "stretch"
    reasons.append(f"{'given' if options.resize else 'guessed'}: frames are fitted by --resize {resize}")
    preprocessing = Preprocessing(width, height, RESIZES[resize], 0, (0, 0, 0), "linear", scale, offset)
    canvas = feed(model, preprocessing, sample_picture())
    out = model.call(canvas)
    boxes, scores = _outputs(model, out, options, reasons)
    raw_boxes, raw_scores = out[boxes.key], out[scores.key]
    if raw_boxes.ndim != 3 or raw_boxes.shape[2] != 4 or raw_boxes.shape[:2] != raw_scores.shape[:2]:
        raise ConvertError(
            f"{boxes.key} has shape {list(raw_boxes.shape)} and {scores.key} {list(raw_scores.shape)}; "
            "expected boxes [B, N, 4] and scores [B, N, C] or [B, N]: name others with --boxes and --scores"
        )
    columns = 1 if raw_scores.ndim == 2 else raw_scores.shape[2]
    ids = choose_classes(tuple(range(columns)), names, options.labels, reasons)
    logits = bool(raw_scores.min() < -1e-3 or raw_scores.max() > 1 + 1e-3)
    reasons.append(
        f"measured: {scores.key} is between {raw_scores.min():.3g} and {raw_scores.max():.3g} on the "
        f"sample picture, so they are {'logits' if logits else 'probabilities'}"
    )
    head = _generic_head(raw_boxes[0], ids, options, (width, height), logits, reasons)
    labels = tuple(names.get(i, str(i)) for i in ids)
    return Plan(
        GENERIC, tuple(reasons), model.input.name, model.input.dtype, (boxes, scores), head, labels, ids,
        DEFAULT_NMS_IOU, preprocessing,
    )  # fmt: skip


def _canvas_size(model: Model, options: ModelOptions) -> tuple[int, int]:
    assert model.input.shape is not None
    _, height, width, _ = model.input.shape
    if width is None or height is None:
        if options.size is None:
            raise ConvertError(f"the input is {model.input}: give its size with --size WIDTHxHEIGHT")
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
                    f"--{name.replace('_', '-')}: the input is uint8, so the model scales it itself; leave "
                    "the option out"
                )
        reasons.append("the input is uint8: bytes go in unchanged")
        return (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    if options.input_range is None:
        raise ConvertError(
            f"the input is {model.input}: give the numbers that it was trained on with --input-range 0..1, "
            "-1..1 or 0..255 (and --mean, --std); with a wrong range it finds faces badly, and nothing else "
            "would show that"
        )
    factor, summand = INPUT_RANGES[options.input_range]
    mean, std = np.array(options.mean or (0, 0, 0), float), np.array(options.std or (1, 1, 1), float)
    if (std <= 0).any():
        raise ConvertError("--std: expected three positive numbers")
    reasons.append(f"given: RGB in {options.input_range}, mean {mean.tolist()}, std {std.tolist()}")
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
            f"which outputs are boxes and scores? Add --boxes NAME --scores NAME; the outputs are {known}"
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
                f"--anchors {options.anchors} has {len(anchors)} anchors, but the model gives "
                f"{len(raw)} boxes"
            )
        box_format = options.box_format or "cxcywh"
        if box_format not in ("cxcywh", "cycxhw"):
            raise ConvertError(
                "--box-format: with --anchors it is the order of the offsets, cxcywh or cycxhw"
            )
        variances = options.variances or (0.1, 0.1, 0.2, 0.2)
        reasons.append(f"{len(anchors)} anchors given, offsets as {box_format}, variances {variances}")
        return Head(ids, box_format, unit, anchors, variances, logits)
    if options.variances is not None:
        raise ConvertError("--variances belongs to --anchors, which was not given")
    box_format = options.box_format or _ask_for_format(raw)
    fit = formats_that_fit(raw)
    if box_format not in fit:
        raise ConvertError(
            f"--box-format {box_format}: the model's own boxes on the sample picture say otherwise "
            f"({ordered_share(raw):.0%} have their second pair of numbers above the first); they look like "
            f"{' or '.join(fit) or 'offsets: give --anchors'}"
        )
    normalized = options.normalized
    if normalized is None:
        normalized = bool(np.abs(raw).max() <= 4)
        reasons.append(
            f"guessed: boxes up to {np.abs(raw).max():.3g} are "
            f"{'shares of the canvas' if normalized else 'pixels'}"
        )
    return Head(ids, box_format, unit if normalized else (1.0, 1.0), None, (1.0, 1.0, 1.0, 1.0), logits)


def _ask_for_format(raw: Array) -> str:
    ordered, fit = ordered_share(raw), formats_that_fit(raw)
    if ordered < ORDERED:
        raise ConvertError(
            f"only {ordered:.0%} of the boxes have their second corner below and right of the first: say "
            f"what the four numbers are with --box-format ({', '.join(BOX_FORMATS)}), or give --anchors if "
            f"they are offsets; they look like {' or '.join(fit) or 'offsets'}"
        )
    raise ConvertError(
        "boxes are corners; say whether x or y comes first: add --box-format yxyx (TensorFlow's custom) or "
        f"xyxy; they look like {' or '.join(fit)}"
    )


def feed(model: Model, preprocessing: Preprocessing, picture: Array) -> Array:
    """The model's input, ``[1, height, width, 3]``, for an RGB picture, uint8 ``[H, W, 3]``."""
    canvas = preprocessing.canvas(picture)[None]
    if model.input.dtype == "uint8":
        return canvas
    return preprocessing.normalise(canvas)
