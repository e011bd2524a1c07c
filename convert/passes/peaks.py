"""Heat map, size and offset become boxes: the peaks leave the graph, decoded.

CenterNet's decoding (Zhou et al. 2019, "Objects as Points", arXiv:1904.07850, section 3).

Requires: outputs heat ``[B, h, w, 1]``, 0..1; size ``[B, h, w, 2]``, the logarithm of height and width in
cells; offset ``[B, h, w, 2]``, row and column of the middle in its cell.

Rewrites:

1. A cell keeps its heat if that is the largest of the 3x3 cells around it, and becomes 0 otherwise.
2. TopK takes the best cells; size and offset of these alone are gathered.
3. The middle is ``(cell + offset + 0.5) * stride``, and half a side ``exp(size) * stride / 2``, in pixels.

Afterwards: the outputs are the contract's, in name and order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from convert import graphs
from convert.passes import rank


@dataclass(frozen=True)
class Peaks:
    """The head: ``stride`` is the side of a cell, in pixels of the canvas."""

    stride: int


class PickPeaks(ir.passes.InPlacePass):
    """Outputs 0 (heat), 1 (size) and 2 (offset) become the contract's outputs; see the rules above."""

    def __init__(self, head: Peaks) -> None:
        self.head = head
        self.notes: list[str] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        add = graphs.Editor(graph)
        heat, size, offset = graph.outputs
        stride = np.float32(self.head.stride)
        heat = rank.channels_first(add, heat)
        largest = add("MaxPool", [heat], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        peaks = add("Where", [add("Equal", [heat, largest]), heat, add.const(np.float32(0))])
        scores, index = rank.best(add, add("Reshape", [peaks, add.const(np.array([0, -1]))]))
        maps = add("Concat", [size, offset], axis=3)
        rows = rank.gather(add, add("Reshape", [maps, add.const(np.array([0, -1, 4]))]), index)
        parts = add.node("Split", [rows, add.const(np.array([2, 2]))], 2, axis=2)
        centre = add("Add", [self._grid(add, heat, index), parts.outputs[1]])
        centre = add("Mul", [add("Add", [centre, add.const(np.float32(0.5))]), add.const(stride)])
        half = add("Mul", [add("Exp", [parts.outputs[0]]), add.const(stride / 2)])
        boxes = add("Gather", [rank.corners(add, centre, half), add.const(np.array([1, 0, 3, 2]))], axis=2)
        rank.set_outputs(graph, boxes, scores)
        self.notes.append(
            f"cells that are the largest of 3x3 leave the graph, decoded at stride {self.head.stride}"
        )
        return ir.passes.PassResult(model, modified=True)

    def _grid(self, add: graphs.Editor, heat: ir.Value, index: ir.Value) -> ir.Value:
        """Row and column of the cells at ``index``, float32 ``[B, K, 2]``."""
        columns = rank.side_of(add, heat, 3)
        cell = add("Cast", [index], to=ir.DataType.INT32)
        row = add("Div", [cell, columns])
        column = add("Sub", [cell, add("Mul", [row, columns])])
        last = add.const(np.array([2]))
        pair = add("Concat", [add("Unsqueeze", [row, last]), add("Unsqueeze", [column, last])], axis=2)
        return add("Cast", [pair], to=ir.DataType.FLOAT)
