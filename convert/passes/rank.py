"""What the heads that predict maps share: the K best cells leave the graph, with what belongs to them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert import graphs
from convert.passes.select import MAX_CANDIDATES
from edge import contract

_NHWC_TO_NCHW, _NCHW_TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def channels_first(add: graphs.Editor, value: ir.Value) -> ir.Value:
    """A map ``[B, H, W, C]`` as ``[B, C, H, W]``: what is behind its Transpose, if it has one."""
    node = value.producer()
    if node is not None and node.op_type == "Transpose" and graphs.integers(node, "perm") == _NCHW_TO_NHWC:
        return graphs.only_input(node)
    return add("Transpose", [value], perm=_NHWC_TO_NCHW)


def best(add: graphs.Editor, scores: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The best of scores ``[B, N]``, sorted, and their places: ``[B, K]``, K at most ``MAX_CANDIDATES``.

    K is computed from the canvas, as a small one may have fewer cells.
    """
    cells = add("Gather", [add("Shape", [scores]), add.const(np.array([1]))], axis=0)
    count = add("Min", [cells, add.const(np.array([MAX_CANDIDATES]))])
    top = add.node("TopK", [scores, count], 2, axis=1, largest=1, sorted=1)
    return top.outputs[0], top.outputs[1]


def gather(add: graphs.Editor, rows: ir.Value, index: ir.Value) -> ir.Value:
    """The rows ``[B, N, C]`` at ``index`` ``[B, K]``: ``[B, K, C]``."""
    return add("GatherND", [rows, add("Unsqueeze", [index, add.const(np.array([2]))])], batch_dims=1)


def side_of(add: graphs.Editor, value: ir.Value, axis: int) -> ir.Value:
    """One side of a value, int32, without axes; a constant as soon as the canvas is fixed."""
    side = add("Gather", [add("Shape", [value]), add.const(np.array(axis))], axis=0)
    return add("Cast", [side], to=ir.DataType.INT32)


def corners(add: graphs.Editor, centre: ir.Value, half: ir.Value) -> ir.Value:
    """Boxes ``[B, K, 4]`` from centres and half sides ``[B, K, 2]``, in the order of these."""
    return add("Concat", [add("Sub", [centre, half]), add("Add", [centre, half])], axis=2)


def set_outputs(graph: ir.Graph, boxes: ir.Value, scores: ir.Value) -> None:
    """These become the outputs, with the contract's names; nodes that serve neither are removed."""
    batch = (graph.inputs[0].shape or ("batch",))[0]
    for value, name, sides in ((boxes, contract.BOXES, (4,)), (scores, contract.SCORES, ())):
        value.name = name
        value.shape = ir.Shape([batch, "candidates", *sides])
        value.type = ir.TensorType(ir.DataType.FLOAT)
    graph.outputs.clear()
    graph.outputs.extend([boxes, scores])
    graphs.remove_unused(graph)
