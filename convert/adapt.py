"""Models of no known exporter that do not answer with raw boxes and scores: adapted, or refused.

A detector gives all boxes with their scores, and suppression runs on the host. Therefore

* suppression inside the graph is cut off: what goes into it are boxes and scores (convert/suppression.py);
* where each box has one score and the number of its class, the scores of other classes than faces become 0;
* whatever else chooses boxes inside the graph is refused, with its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from convert.adapted import Adapted, with_outputs
from convert.errors import ConvertError
from convert.model import Model, Tensor
from convert.options import ModelOptions
from convert.plan import choose_classes
from convert.suppression import CLASS_WORDS, RAW, without_suppression

_KERAS_HUB_HEADS = {"bbox_regression", "cls_logits"}


def adapt(model: Model, names: dict[int, str], options: ModelOptions) -> Adapted:
    """Adapt a model of no known exporter. Raises ConvertError, which names the kind that it cannot take."""
    _refuse_maps(model)
    _refuse_offsets(model, options)
    adapted = without_suppression(Adapted(model, names, options))
    _refuse_rows(adapted.model)
    return _without_class_numbers(adapted)


def _refuse_offsets(model: Model, options: ModelOptions) -> None:
    if {tensor.key for tensor in model.outputs} == _KERAS_HUB_HEADS and options.anchors is None:
        raise ConvertError(
            "the outputs bbox_regression and cls_logits are those of KerasHub's RetinaNet as its export() "
            "writes them: offsets from anchors that are not in the graph; export decode_predictions of the "
            "model as the signature (docs/convert.md shows how), or give --anchors FILE.npy and --variances "
            "1,1,1,1"
        )


def _shape(tensor: Tensor) -> tuple[int | None, ...]:
    return tensor.shape or ()


def _refuse_rows(model: Model) -> None:
    for tensor in model.outputs:
        shape = _shape(tensor)
        if len(model.outputs) <= 2 and len(shape) in (3, 4) and shape[-1] in (6, 7):
            raise ConvertError(
                f"the output {tensor} is a list of detections, {shape[-1]} numbers each (box, score, class, "
                f"perhaps the picture): the graph has chosen them already, which a detector must not; {RAW}"
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


def _without_class_numbers(adapted: Adapted) -> Adapted:
    """Where an output gives the class of each box, count only those of faces."""
    import tensorflow as tf

    model, options = adapted.model, adapted.options
    flat = [tensor for tensor in model.outputs if len(_shape(tensor)) == 2]
    numbers = [t for t in flat if any(word in t.key.lower() for word in CLASS_WORDS)]
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
