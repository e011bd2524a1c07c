"""A model of no known exporter with other outputs than it was saved with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from convert.model import Model, Tensor
from convert.options import ModelOptions


@dataclass(frozen=True)
class OwnAnswer:
    """What a model answers itself where its suppression was cut off: ``model`` as it was saved, and the keys
    of its boxes ``[B, K, 4]``, scores ``[B, K]``, and class numbers ``[B, K]``, if it has them."""

    model: Model
    boxes: str
    scores: str
    classes: str | None


@dataclass(frozen=True)
class Adapted:
    """The model to convert, with the names of its classes and the options that are left to read.

    ``nms_iou`` is the overlap limit of a suppression that was cut off, if it is a constant, and ``own`` what
    the model answers with it, if that can be read.
    """

    model: Model
    names: dict[int, str]
    options: ModelOptions
    reasons: tuple[str, ...] = ()
    nms_iou: float | None = None
    own: OwnAnswer | None = None


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
