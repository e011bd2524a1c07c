"""Find the suppression in a graph, and cut the graph off in front of it.

Three kinds of step are known. ``tf.image.combined_non_max_suppression`` and ``tf.image.non_max_suppression``
read boxes and scores as inputs. KerasHub and KerasCV suppress in a loop that is made of other operators; in
front of it they take the best score of each box, and these scores then mask and sort the boxes. What is
wanted is found by that: the scores are what the one maximum over classes reads, and the boxes are the last
ones that do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from convert.adapted import Adapted, OwnAnswer, with_outputs
from convert.cut import node_of, reach
from convert.errors import ConvertError
from convert.model import Model, Tensor

_COMBINED = "CombinedNonMaxSuppression"
_SINGLE = "NonMaxSuppressionV"
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_LOOPS = ("Enter", "While", "StatelessWhile")
_LAID_OUT = ("Identity", "Reshape", "Squeeze", "StridedSlice", "GatherV2", "Max")
"""Operators between the boxes of a batch and those of a picture, or between scores by class and the best."""
RAW = "export the model's boxes [B, N, 4] and scores [B, N, C] from before that step"
CLASS_WORDS = ("class", "label", "categor")
"""In the name of an output that says the class of each box."""


def without_suppression(adapted: Adapted) -> Adapted:
    """The model without the step that chooses boxes, if it has one. Raises ConvertError if it cannot be cut
    off."""
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
    steps = _first_steps(nodes, {step for found in behind.values() for step in found})
    kinds = sorted({nodes[name].op for name in steps})
    loop = set(kinds) <= set(_LOOPS)
    try:
        if loop:
            return _cut_loop(adapted, nodes, steps)
        if len(steps) == 1:
            return _cut_at(adapted, nodes, nodes[steps[0]])
        raise ConvertError("there is more than one such step")
    except ConvertError as error:
        what = "a loop behind the network" if loop else ", ".join(kinds)
        raise ConvertError(
            f"the graph chooses and suppresses boxes itself ({what}) for {', '.join(behind)}, and that "
            f"cannot be cut off: {error}; {RAW}"
        ) from error


def _above(nodes: dict[str, Any], names: list[str]) -> set[str]:
    return reach(names, lambda name: [node_of(i) for i in nodes[name].input if node_of(i) in nodes])


def _behind_suppression(model: Model, nodes: dict[str, Any]) -> dict[str, set[str]]:
    """The outputs that depend on a step that chooses boxes, each with the names of these steps."""
    behind: dict[str, set[str]] = {}
    for tensor in model.outputs:
        steps = set()
        for name in _above(nodes, [node_of(tensor.name)]):
            op = nodes[name].op
            if op.startswith(("NonMaxSuppression", _COMBINED)) or (
                op in _LOOPS and any(nodes[n].op in _CONVOLUTIONS for n in _above(nodes, [name]))
            ):
                steps.add(name)
        if steps:
            behind[tensor.key] = steps
    return behind


def _first_steps(nodes: dict[str, Any], steps: set[str]) -> list[str]:
    """Those that no other one is in front of; the loops inside of a loop are behind its entrance."""
    return sorted(name for name in steps if not (_above(nodes, [name]) - {name}) & steps)


def _cut_at(adapted: Adapted, nodes: dict[str, Any], node: Any) -> Adapted:
    """Cut off one operator, which reads boxes and scores."""
    import tensorflow as tf

    tensor = _for_one_picture(adapted.model)
    single = node.op.startswith(_SINGLE)
    boxes, scores = (tensor(_full(name)) for name in node.input[:2])
    if single:
        boxes, scores = _of_batch(boxes, 3), _of_batch(scores, 2)
    elif boxes.shape.rank != 4 or boxes.shape[2] != 1:
        raise ConvertError(
            f"{_COMBINED} reads boxes of shape {boxes.shape}, one for each class; wanted [B, N, 1, 4]"
        )

    def raw(get: Callable[[str], Any]) -> dict[str, Any]:
        found = get(boxes.name)
        return {"boxes": found if single else tf.squeeze(found, axis=2), "scores": get(scores.name)}

    limit = _limit(nodes, [node.input[3 if single else 4]])
    return _adapted(adapted, with_outputs(adapted.model, raw), node.op, limit)


def _for_one_picture(model: Model) -> Callable[[str], Any]:
    """The tensors of the graph, by name, with the shapes that they have for one picture."""
    import tensorflow as tf

    assert model.input.shape is not None
    with tf.Graph().as_default() as graph:
        shape = (1, *model.input.shape[1:])
        one = tf.compat.v1.placeholder(tf.as_dtype(model.input.dtype), shape, name="one_picture")
        tf.import_graph_def(model.graph, input_map={model.input.name: one}, name="")
    get: Callable[[str], Any] = graph.get_tensor_by_name
    return get


def _of_batch(tensor: Any, least: int) -> Any:
    """What a tensor of one picture was taken from, for all pictures and classes; its rank is ``least`` or 3.

    Raises ConvertError when that has another number of boxes.
    """
    count = tensor.shape[0]
    while tensor.shape.rank < 3 and tensor.op.type in _LAID_OUT:
        tensor = tensor.op.inputs[0]
    if least <= tensor.shape.rank <= 3 and count is not None and tensor.shape[1] == count:
        return tensor
    raise ConvertError(
        f"it reads {count or 'an unknown number of'} boxes, which were chosen from {tensor.name} of shape "
        f"{tensor.shape} before"
    )


def _cut_loop(adapted: Adapted, nodes: dict[str, Any], steps: list[str]) -> Adapted:
    """Cut off the loop of KerasHub and KerasCV, and the masking and sorting in front of it."""
    tensor = _for_one_picture(adapted.model)
    readers: dict[str, list[str]] = {}
    for node in nodes.values():
        for name in node.input:
            readers.setdefault(node_of(name), []).append(node.name)
    before = _above(nodes, steps) - set(steps)
    maxima = [name for name in before if nodes[name].op == "Max" and tensor(f"{name}:0").shape.rank == 2]
    if len(maxima) != 1:
        raise ConvertError(f"{len(maxima)} maxima over classes are in front of it, and one is expected")
    scores = _full(nodes[maxima[0]].input[0])
    count = tensor(scores).shape[1]
    masked = reach([maxima[0]], lambda name: readers.get(name, []))
    shaped = {name for name in before - masked if _is_boxes(tensor, nodes[name], count)}
    last = [name for name in shaped if _above(nodes, [name]) >= shaped]  # they are decoded step by step
    if len(last) != 1:
        raise ConvertError(f"none of {len(shaped)} tensors in front of it is the last with its boxes")
    model = with_outputs(adapted.model, lambda get: {"boxes": get(f"{last[0]}:0"), "scores": get(scores)})
    frames = {nodes[name].attr["frame_name"].s for name in steps}
    entries = [n for n in nodes.values() if n.op in _LOOPS and n.attr["frame_name"].s in frames]
    limit = _limit(nodes, [name for node in entries for name in node.input])
    cut = _adapted(adapted, model, "the loop that suppresses boxes", limit)
    if cut.options.box_format is not None:
        return cut
    options = replace(cut.options, box_format="yxyx")
    return replace(
        cut, options=options, reasons=(*cut.reasons, "its boxes are yxyx, as in KerasHub and KerasCV")
    )


def _is_boxes(tensor: Callable[[str], Any], node: Any, count: int | None) -> bool:
    if node.op in ("NoOp", "Assert"):  # without an output
        return False
    first = tensor(f"{node.name}:0")
    shape = first.shape
    return bool(first.dtype.is_floating and shape.rank == 3 and shape[1] == count and shape[2] == 4)


def _adapted(adapted: Adapted, model: Model, what: str, limit: float | None) -> Adapted:
    own = _own_answer(adapted.model)
    reasons = [f"cut off: {what}; what goes into it are boxes and scores, and the box suppresses itself"]
    if own is None:
        reasons.append("its own answer is not compared: it is not boxes [B, K, 4] and scores [B, K]")
    return replace(
        adapted,
        model=model,
        options=replace(adapted.options, boxes="boxes", scores="scores"),
        reasons=(*adapted.reasons, *reasons),
        nms_iou=limit,
        own=own,
    )


def _own_answer(model: Model) -> OwnAnswer | None:
    def of(rank: int, *, classes: bool | None = None) -> list[Tensor]:
        found = [tensor for tensor in model.outputs if tensor.shape is not None and len(tensor.shape) == rank]
        named = [any(word in tensor.key.lower() for word in CLASS_WORDS) for tensor in found]
        return [t for t, is_class in zip(found, named, strict=True) if classes in (None, is_class)]

    boxes, scores, classes = of(3), of(2, classes=False), of(2, classes=True)
    if len(boxes) != 1 or boxes[0].shape is None or boxes[0].shape[2] != 4:
        return None
    if len(scores) != 1 or len(classes) > 1:
        return None
    return OwnAnswer(model, boxes[0].key, scores[0].key, classes[0].key if classes else None)


def _limit(nodes: dict[str, Any], names: list[str]) -> float | None:
    """The only constant among these tensors that can be a limit of overlaps."""
    from tensorflow.python.framework.tensor_util import MakeNdarray

    constants = [nodes[node_of(name)] for name in names if nodes[node_of(name)].op == "Const"]
    values = [MakeNdarray(node.attr["value"].tensor) for node in constants]
    found = [float(value) for value in values if value.dtype.kind == "f" and value.size == 1]
    found = [value for value in found if 0 < value < 1]
    return found[0] if len(found) == 1 else None


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:0"
