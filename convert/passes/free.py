"""Batch, height and width of a graph that was exported for one canvas become free, and fixed again.

Requires: one input ``[B, H, W, 3]``, and no node that states a side of the canvas.

Rewrites:

1. Sides of the input become the contract's symbols; a batch over 1 stays a number. Shapes are inferred anew.

Afterwards: the sides of the input are symbols.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common

from convert import graphs
from convert.passes.constants import FoldConstants
from edge import contract


class FreeSides(ir.passes.InPlacePass):
    """The sides of the input become the contract's symbols; see the rule above."""

    def requires(self, model: ir.Model) -> None:
        for node in model.graph:
            if node.op_type in ("Reshape", "Expand", "Tile") or (
                node.op_type == "Resize" and len(node.inputs) > 3
            ):
                raise ir.passes.PreconditionError(
                    f"{node.op_type} states a side of the canvas, so that its sides cannot stay free"
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        picture = model.graph.inputs[0]
        batch, *_ = graphs.shape_of(picture) or (1,)
        _set_sides(model, (batch if batch > 1 else contract.SYMBOLS[0], *contract.SYMBOLS[1:]))
        common.ShapeInferencePass(data_prop=True)(model)
        return ir.passes.PassResult(model, modified=True)


def frozen(model: ir.Model, width: int, height: int) -> ir.Model:
    """A copy for one canvas, in pixels, as a session makes it: batch 1, and constants folded."""
    copy = ir.from_proto(ir.to_proto(model))
    batch, *_ = copy.graph.inputs[0].shape or (1,)
    _set_sides(copy, (batch if isinstance(batch, int) else 1, height, width))
    FoldConstants()(copy)
    return copy


def _set_sides(model: ir.Model, sides: tuple[int | str, ...]) -> None:
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    model.graph.inputs[0].shape = ir.Shape([*sides, 3])
