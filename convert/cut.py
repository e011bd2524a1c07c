"""Find where the detector proper begins in a TensorFlow graph, and export just that part to ONNX."""

from __future__ import annotations

from typing import Any

import onnx

from convert.errors import ConvertError

OPSET = 18
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_PASSES_THROUGH = ("Identity", "Pad", "PadV2", "Transpose", "StopGradient")


def first_tensor(graph: Any, source: str, outputs: list[str]) -> str:
    """The name of the tensor that the first convolution between ``source`` and ``outputs`` reads.

    Padding and transposing in front of the convolution count as part of it. Raises ConvertError unless
    exactly one tensor is read by a first convolution.
    """
    nodes = {node.name: node for node in graph.node}
    needed = reach([node_of(name) for name in outputs], lambda name: [node_of(i) for i in nodes[name].input])
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(node_of(name), []).append(node.name)
    reachable = reach([node_of(source)], lambda name: readers.get(name, []))
    convolutions = [name for name in needed & reachable if nodes[name].op in _CONVOLUTIONS]
    behind: set[str] = set()
    for name in convolutions:
        behind |= reach(readers.get(name, []), lambda n: readers.get(n, []), behind)
    first = {_walk_up(nodes, nodes[name].input[0]) for name in convolutions if name not in behind}
    if len(first) != 1:
        raise ConvertError(
            f"{len(first)} tensors are read by a first convolution ({sorted(first)[:3]}), but a detector has "
            "one: this model is of no known family"
        )
    return first.pop()


def reach(start: list[str], step: Any, known: set[str] | None = None) -> set[str]:
    """The names that ``step`` leads to from ``start``, those included; it does not go beyond ``known``."""
    found = set() if known is None else set(known)
    stack = list(start)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(step(name))
    return found


def _walk_up(nodes: dict[str, Any], tensor: str) -> str:
    while nodes[node_of(tensor)].op in _PASSES_THROUGH:
        tensor = nodes[node_of(tensor)].input[0]
    return tensor if ":" in tensor else tensor + ":0"


def node_of(name: str) -> str:
    """The name of the node that makes a tensor."""
    return name.lstrip("^").split(":")[0]


def export(
    graph: Any, start: str, shape: tuple[int, int, int, int], dtype: str, outputs: list[str]
) -> onnx.ModelProto:
    """Export the part of a frozen ``GraphDef`` between the tensors ``start`` and ``outputs``.

    The input of the result is ``image``, with ``shape`` and the type that TensorFlow calls ``dtype``; its
    outputs are ``output_0`` and so on. tf2onnx's own optimizers do not run: they hide the patterns that
    ``convert.passes`` look for, and take ten times as long as the conversion. Raises ConvertError.
    """
    import tensorflow as tf
    from tf2onnx import tf_loader, tfonnx

    try:
        with tf.Graph().as_default() as joined:
            picture = tf.compat.v1.placeholder(tf.as_dtype(dtype), shape, name="image")
            results = tf.graph_util.import_graph_def(
                graph, input_map={start: picture}, return_elements=outputs, name="source"
            )
            named = [tf.identity(tensor, name=f"output_{i}") for i, tensor in enumerate(results)]
        part = tf.compat.v1.graph_util.extract_sub_graph(
            joined.as_graph_def(), [tensor.op.name for tensor in named]
        )
        names = [tensor.name for tensor in named]
        with tf.Graph().as_default():
            part = tf_loader.tf_optimize(["image:0"], names, part)
        with tf.Graph().as_default() as part_graph:
            tf.import_graph_def(part, name="")
            converted = tfonnx.process_tf_graph(
                part_graph, opset=OPSET, input_names=["image:0"], output_names=names
            )
        model: onnx.ModelProto = converted.make_model("detector")
    except (tf.errors.OpError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
        raise ConvertError(
            f"tf2onnx cannot convert this graph: {str(error).splitlines()[0][:300]}"
        ) from error
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    if foreign:
        raise ConvertError(
            f"operators without an ONNX form: {', '.join(foreign)}; this model cannot be converted"
        )
    return model
