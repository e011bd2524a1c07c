"""Scores and boxes of every cell of several grids become boxes: the best leave the graph, decoded.

YuNet's decoding (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector",
doi:10.1007/s11633-023-1423-y).

Requires: for each stride, outputs score ``[B, h, w, 1]``, 0..1, and box ``[B, h, w, 4]``: ``dx dy log(w)
log(h)`` in cells; first all scores, then all boxes.

Rewrites:

1. The cells of all grids form one row, and TopK takes the best of them; their boxes alone are gathered.
2. The grid of a cell follows from its place in the row, and its row and column from its place in the grid.
3. The middle is ``(column + dx, row + dy) * stride``, and half a side ``exp(log) * stride / 2``, in pixels.

Afterwards: the outputs are the contract's, in name and order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from convert import graphs
from convert.passes import rank


@dataclass(frozen=True)
class Grids:
    """The head: ``strides`` are the sides of the grids' cells, in pixels of the canvas, smallest first."""

    strides: tuple[int, ...]


class DecodeGrids(ir.passes.InPlacePass):
    """The scores and boxes of all grids become the contract's outputs; see the rules above."""

    def __init__(self, head: Grids) -> None:
        self.head = head
        self.notes: list[str] = []

    def requires(self, model: ir.Model) -> None:
        if len(model.graph.outputs) != 2 * len(self.head.strides):
            raise ir.passes.PreconditionError(f"{len(model.graph.outputs)} outputs for {self.head}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        add = graphs.Editor(graph)
        count = len(self.head.strides)
        maps = [rank.channels_first(add, value) for value in graph.outputs[:count]]
        flat, flat4 = add.const(np.array([0, -1])), add.const(np.array([0, -1, 4]))
        every = add("Concat", [add("Reshape", [value, flat]) for value in maps], axis=1)
        scores, index = rank.best(add, every)
        rows = [add("Reshape", [value, flat4]) for value in graph.outputs[count:]]
        chosen = rank.gather(add, add("Concat", rows, axis=1), index)
        parts = add.node("Split", [chosen, add.const(np.array([2, 2]))], 2, axis=2)
        grid, stride = self._grid(add, maps, index)
        centre = add("Mul", [add("Add", [grid, parts.outputs[0]]), stride])
        half = add("Mul", [add("Exp", [parts.outputs[1]]), add("Mul", [stride, add.const(np.float32(0.5))])])
        rank.set_outputs(graph, rank.corners(add, centre, half), scores)
        strides = ", ".join(map(str, self.head.strides))
        self.notes.append(f"the best cells of the grids of strides {strides} leave the graph, decoded")
        return ir.passes.PassResult(model, modified=True)

    def _grid(self, add: graphs.Editor, maps: list[ir.Value], index: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Column and row of the cells at ``index``, ``[B, K, 2]``, and their strides, ``[B, K, 1]``."""
        first, one = add.const(np.array([0])), add.const(np.array(1, np.int32))
        cell = add("Cast", [index], to=ir.DataType.INT32)
        start = add.const(np.array(0, np.int32))
        level: ir.Value | None = None
        starts, columns = [start], []
        for place, value in enumerate(maps):
            columns.append(rank.side_of(add, value, 3))
            if place + 1 < len(maps):
                start = add("Add", [start, add("Mul", [columns[-1], rank.side_of(add, value, 2)])])
                starts.append(start)
                # 0 before the start of the next grid, and 1 from there on
                beyond = add("Min", [add("Div", [cell, start]), one])
                level = beyond if level is None else add("Add", [level, beyond])
        assert level is not None
        table = [
            add("Concat", [add("Unsqueeze", [value, first]) for value in values], axis=0)
            for values in (starts, columns)
        ]
        inside = add("Sub", [cell, add("Gather", [table[0], level], axis=0)])
        width = add("Gather", [table[1], level], axis=0)
        row = add("Div", [inside, width])
        column = add("Sub", [inside, add("Mul", [row, width])])
        last = add.const(np.array([2]))
        pair = add("Concat", [add("Unsqueeze", [column, last]), add("Unsqueeze", [row, last])], axis=2)
        stride = add("Gather", [add.const(np.array(self.head.strides, np.float32)), level], axis=0)
        return add("Cast", [pair], to=ir.DataType.FLOAT), add("Unsqueeze", [stride, last])
