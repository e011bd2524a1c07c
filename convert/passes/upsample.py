"""Nearest-neighbour upsampling, written as stacking and reshaping, becomes one Resize.

Requires: static shapes; a chain without them is left alone.

Rewrites:

1. A chain of operators that only move or copy data, from ``[N, H, W, C]`` to
   ``[N, H * rows, W * columns, C]``, becomes Transpose, Resize, Transpose, if it repeats every pixel. Whether
   it does is found by running it on numbered pixels, so it does not matter which operators it is made of.
2. A product with ones and a Concat of one value with itself count as copying.

Afterwards: no such chain is left.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert import graphs

_MOVES = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Tile", "Expand", "Transpose", "Identity"})
_NHWC_TO_NCHW, _NCHW_TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class NearestToResize(ir.passes.InPlacePass):
    """A chain that repeats every pixel of ``[N, H, W, C]`` becomes Resize; see the rules above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in reversed(list(model.graph)):
            found = _match(node)
            if found is not None:
                _rewrite(model.graph, node, *found)
                modified = True
        if modified:
            graphs.remove_unused(model.graph)
        return ir.passes.PassResult(model, modified=modified)

    def ensures(self, model: ir.Model) -> None:
        if any(_match(node) is not None for node in model.graph):
            raise ir.passes.PostconditionError("a nearest-neighbour upsampling is still a chain of copies")


def _match(node: ir.Node) -> tuple[ir.Value, int, int] | None:
    """The value that is upsampled, and how many times its rows and columns are repeated."""
    last = node.outputs[0]
    after = graphs.shape_of(last) if node.op_type in _MOVES else None
    if after is None or len(after) != 4:
        return None
    best = None
    value: ir.Value | None = last
    for _ in range(16):
        value = _step(value.producer()) if value is not None else None
        if value is None:
            break
        before = graphs.shape_of(value)
        if before is None or len(before) != 4 or before[0] != after[0] or before[3] != after[3]:
            continue
        rows, columns = after[1] / before[1], after[2] / before[2]
        if rows.is_integer() and columns.is_integer() and rows * columns > 1:
            best = (value, int(rows), int(columns))
    if best is None:
        return None
    value, rows_, columns_ = best
    shape = graphs.shape_of(value) or ()
    numbered = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    repeated = numbered.repeat(rows_, axis=1).repeat(columns_, axis=2)
    return best if np.array_equal(graphs.run([last], {value: numbered})[0], repeated) else None


def _step(node: ir.Node | None) -> ir.Value | None:
    """The one value that a node moves or copies; None when it does anything else."""
    if node is None:
        return None
    if node.op_type in _MOVES:
        return node.inputs[0]
    if node.op_type == "Concat":
        sources = set()
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            moved = producer is not None and producer.op_type == "Unsqueeze"
            sources.add(producer.inputs[0] if producer is not None and moved else value)
        return sources.pop() if len(sources) == 1 else None
    if node.op_type == "Mul":
        ones = [
            value for value in node.inputs if (a := graphs.constant(value)) is not None and (a == 1).all()
        ]
        others = [value for value in node.inputs if value not in ones]
        return others[0] if len(ones) == len(others) == 1 else None
    return None


def _rewrite(graph: ir.Graph, node: ir.Node, value: ir.Value, rows: int, columns: int) -> None:
    add = graphs.Editor(graph, node)
    scales = add.const(np.array([1, 1, rows, columns], np.float32))
    channels_first = add("Transpose", [value], perm=_NHWC_TO_NCHW)
    resized = add(
        "Resize",
        [channels_first, None, scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    graphs.replace(graph, node.outputs[0], add("Transpose", [resized], perm=_NCHW_TO_NHWC))
