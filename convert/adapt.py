"""Models of no known exporter that do not answer with raw boxes and scores: adapted, or refused.

A detector gives all boxes with their scores, and suppression runs on the host. Therefore

* suppression by ``tf.image.combined_non_max_suppression``, as in the RetinaNet of Keras' examples, is cut
  off: what goes into it are boxes and scores;
* where each box has one score and the number of its class, the scores of other classes than faces become 0;
* whatever else chooses boxes inside the graph is refused, with its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from convert.cut import node_of, reach
from convert.errors import ConvertError
from convert.model import Model, Tensor
from convert.options import ModelOptions
from convert.plan import choose_classes

_COMBINED = "CombinedNonMaxSuppression"
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_LOOPS = ("Enter", "While", "StatelessWhile")
_RAW = "export the model's boxes [B, N, 4] and scores [B, N, C] from before that step"


@dataclass(frozen=True)
class Adapted:
    """The model to convert, with the names of its classes and the options that are left to read.

    ``nms_iou`` is the overlap limit of a suppression that was cut off, if it is a constant.
    """

    model: Model
    names: dict[int, str]
    options: ModelOptions
    reasons: tuple[str, ...] = ()
    nms_iou: float | None = None


def adapt(model: Model, names: dict[int, str], options: ModelOptions) -> Adapted:
    """Adapt a model of no known exporter. Raises ConvertError, which names the kind that it cannot take."""
    _refuse_maps(model)
    adapted = _without_suppression(Adapted(model, names, options))
    _refuse_rows(adapted.model)
    return _without_class_numbers(adapted)


def _shape(tensor: Tensor) -> tuple[int | None, ...]:
    return tensor.shape or ()


def _refuse_rows(model: Model) -> None:
    for tensor in model.outputs:
        shape = _shape(tensor)
        if len(model.outputs) <= 2 and len(shape) in (3, 4) and shape[-1] in (6, 7):
            raise ConvertError(
                f"the output {tensor} is a list of detections, {shape[-1]} numbers each (box, score, class, "
                f"perhaps the picture): the graph has chosen them already, which a detector must not; {_RAW}"
            )


def _refuse_maps(model: Model) -> None:
    maps = [tensor for tensor in model.outputs if len(_shape(tensor)) == 4]
    pairs = [tensor for tensor in maps if _shape(tensor)[3] == 2]
    if len(pairs) >= 1 and len(maps) >= 2 and len(maps) == len(model.outputs):
        known = "; ".join(str(tensor) for tensor in model.outputs)
        raise ConvertError(
            f"the outputs are maps of CenterNet's kind ({known}), and nothing in the model says how they are "
            "decoded; either decode them in the exported function to boxes [B, N, 4] and scores [B, N, C], "
            "or train the family centre with edge-train"
        )


def _without_suppression(adapted: Adapted) -> Adapted:
    model, options = adapted.model, adapted.options
    nodes = {node.name: node for node in model.graph.node}
    behind = _behind_suppression(model, nodes)
    if not behind:
        return adapted
    raw = tuple(tensor for tensor in model.outputs if tensor.key not in behind)
    chosen = [key for key in (options.boxes, options.scores) if key is not None]
    if len(raw) >= 2 and not set(chosen) & set(behind):
        left = ", ".join(behind)
        reason = f"left out, because the graph suppresses boxes in front of them: {left}"
        return replace(adapted, model=replace(model, outputs=raw), reasons=(*adapted.reasons, reason))
    steps = sorted({step for found in behind.values() for step in found})
    combined = [name for name in steps if nodes[name].op == _COMBINED]
    if len(combined) != 1 or len(steps) != 1:
        kinds = sorted({nodes[name].op for name in steps})
        what = "a loop behind the network" if set(kinds) <= set(_LOOPS) else ", ".join(kinds)
        raise ConvertError(
            f"the graph chooses and suppresses boxes itself ({what}) for {', '.join(behind)}, and only "
            f"{_COMBINED} can be cut off; {_RAW}. A KerasHub or KerasCV detector gives those when its own "
            "call is exported, without decode_predictions"
        )
    return _cut_at(adapted, nodes[combined[0]])


def _behind_suppression(model: Model, nodes: dict[str, Any]) -> dict[str, set[str]]:
    """The outputs that depend on a step that chooses boxes, each with the names of these steps."""

    def above(names: list[str]) -> set[str]:
        return reach(names, lambda name: [node_of(i) for i in nodes[name].input if node_of(i) in nodes])

    behind: dict[str, set[str]] = {}
    for tensor in model.outputs:
        steps = set()
        for name in above([node_of(tensor.name)]):
            op = nodes[name].op
            if op.startswith(("NonMaxSuppression", _COMBINED)) or (
                op in _LOOPS and any(nodes[n].op in _CONVOLUTIONS for n in above([name]))
            ):
                steps.add(name)
        if steps:
            behind[tensor.key] = steps
    return behind


def _cut_at(adapted: Adapted, node: Any) -> Adapted:
    import tensorflow as tf

    def raw(tensor: Callable[[str], Any]) -> dict[str, Any]:
        boxes, scores = tensor(_full(node.input[0])), tensor(_full(node.input[1]))
        if boxes.shape.rank != 4 or boxes.shape[2] != 1:
            raise ConvertError(
                f"{_COMBINED} reads boxes of shape {boxes.shape}, one for each class; wanted [B, N, 1, 4]: "
                f"{_RAW}"
            )
        return {"boxes": tf.squeeze(boxes, axis=2), "scores": scores}

    model = with_outputs(adapted.model, raw)
    iou = _constant(adapted.model.graph, node.input[4])
    options = replace(adapted.options, boxes="boxes", scores="scores")
    reason = f"cut off: {_COMBINED}; what goes into it are boxes and scores, and the box suppresses itself"
    limit = iou if iou is not None and 0 < iou < 1 else None
    return replace(adapted, model=model, options=options, reasons=(*adapted.reasons, reason), nms_iou=limit)


def _without_class_numbers(adapted: Adapted) -> Adapted:
    """Where an output gives the class of each box, count only those of faces."""
    import tensorflow as tf

    model, options = adapted.model, adapted.options
    flat = [tensor for tensor in model.outputs if len(_shape(tensor)) == 2]
    numbers = [t for t in flat if any(word in t.key.lower() for word in ("class", "label", "categor"))]
    numbers = [t for t in numbers if t.key not in (options.boxes, options.scores)]
    if not numbers:
        return adapted
    if len(numbers) > 1 or len(flat) != 2:
        known = "; ".join(str(tensor) for tensor in model.outputs)
        raise ConvertError(
            f"which output says the class of each box? Export just one such; there are {known}"
        )
    kinds, scores = numbers[0], next(tensor for tensor in flat if tensor != numbers[0])
    known_ids = tuple(sorted(adapted.names)) or tuple(int(x) for x in options.labels if x.isdecimal())
    if not known_ids or (len(known_ids) == 1 and not options.labels):
        raise ConvertError(
            f"{kinds} says the class of each box, and not every class is a face; say which number is one "
            "with --label, repeated for several"
        )
    reasons = list(adapted.reasons)
    ids = choose_classes(known_ids, adapted.names, options.labels, reasons)
    reasons.append(f"boxes of which {kinds.key} is another class get the score 0")

    def masked(tensor: Callable[[str], Any]) -> dict[str, Any]:
        of_class = tf.cast(tf.round(tf.cast(tensor(kinds.name), tf.float32)), tf.int32)
        face = tf.reduce_any(tf.equal(of_class[..., None], tf.constant(ids, tf.int32)), axis=-1)
        rest = {t.key: tensor(t.name) for t in model.outputs if t not in (kinds, scores)}
        return {**rest, scores.key: tensor(scores.name) * tf.cast(face, tf.float32)}

    label = " or ".join(adapted.names.get(i, str(i)) for i in ids)
    return replace(
        adapted,
        model=with_outputs(model, masked),
        names={0: label},
        options=replace(options, labels=()),
        reasons=tuple(reasons),
    )


def with_outputs(model: Model, make: Callable[[Callable[[str], Any]], dict[str, Any]]) -> Model:
    """The model with other outputs: ``make`` computes them, by key, from the tensors of the frozen graph."""
    import tensorflow as tf
    from tensorflow.python.eager import wrap_function

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(model.graph, name="")
        made = make(graph.get_tensor_by_name)
        named = {key: tf.identity(value, name=f"adapted_{key}") for key, value in made.items()}
        outputs = tuple(
            Tensor(
                key, value.name, value.dtype.name, None if value.shape.rank is None else tuple(value.shape)
            )
            for key, value in named.items()
        )
    definition = graph.as_graph_def()
    wrapped = wrap_function.function_from_graph_def(
        definition, [model.input.name], [tensor.name for tensor in outputs]
    )

    def call(**feeds: Any) -> dict[str, Any]:
        results = wrapped(feeds[model.input.key])
        return dict(zip(named, results, strict=True))

    return replace(model, graph=definition, outputs=outputs, function=call)


def _constant(graph: Any, name: str) -> float | None:
    from tensorflow.python.framework.tensor_util import MakeNdarray

    node = next((node for node in graph.node if node.name == node_of(name)), None)
    return float(MakeNdarray(node.attr["value"].tensor)) if node is not None and node.op == "Const" else None


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:0"
