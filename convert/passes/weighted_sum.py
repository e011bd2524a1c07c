"""BiFPN's weighted sums, written as a product of matrices, become scaled additions.

The fast normalised fusion of EfficientDet (Tan et al. 2020, arXiv:1911.09070, section 3.3) is
``sum(w_i * x_i)``. Exporters stack the maps along a new last axis and multiply by a column of weights: that
copies every map, and is a product with one column per pixel.

Requires: static shapes and constant weights; a product without them is left alone.

Rewrites:

1. ``Squeeze(MatMul(Concat(Unsqueeze(x_i)), w))`` along the last axis becomes
   ``w_1 * x_1 + w_2 * x_2 + ...``, for every Squeeze that reads the product.

Afterwards: no such product is left.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert import graphs


class ScaleAndAdd(ir.passes.InPlacePass):
    """Products with a column of weights become scaled additions; see the rule above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in list(model.graph):
            found = _match(node)
            if found is not None:
                _rewrite(model.graph, node, *found)
                modified = True
        if modified:
            graphs.remove_unused(model.graph)
        return ir.passes.PassResult(model, modified=modified)

    def ensures(self, model: ir.Model) -> None:
        if any(_match(node) is not None for node in model.graph):
            raise ir.passes.PostconditionError("a weighted sum is still a product of matrices")


def _match(node: ir.Node) -> tuple[list[ir.Value], graphs.Array, list[ir.Node]] | None:
    """The maps, their weights, and the Squeeze nodes behind the product."""
    if node.op_type != "MatMul":
        return None
    weights = graphs.constant(node.inputs[1])
    stack = graphs.only_input(node).producer()
    if (
        weights is None
        or weights.ndim != 2
        or weights.shape[1] != 1
        or stack is None
        or stack.op_type != "Concat"
    ):
        return None
    rank = len(graphs.shape_of(stack.outputs[0]) or ())
    if graphs.integer(stack, "axis", 0) % max(rank, 1) != rank - 1 or len(stack.inputs) != weights.shape[0]:
        return None
    maps = []
    for value in stack.inputs:
        unsqueeze = value.producer() if value is not None else None
        if unsqueeze is None or unsqueeze.op_type != "Unsqueeze" or not _is_last(unsqueeze, rank):
            return None
        maps.append(graphs.only_input(unsqueeze))
    squeezes = [user for user, _ in node.outputs[0].uses()]
    if not squeezes or not all(user.op_type == "Squeeze" and _is_last(user, rank) for user in squeezes):
        return None
    return maps, weights[:, 0], squeezes


def _is_last(node: ir.Node, rank: int) -> bool:
    axes = graphs.integers(node, "axes", 1)
    return axes is not None and len(axes) == 1 and axes[0] % rank == rank - 1


def _rewrite(
    graph: ir.Graph, product: ir.Node, maps: list[ir.Value], weights: graphs.Array, squeezes: list[ir.Node]
) -> None:
    add = graphs.Editor(graph, product)
    total: ir.Value | None = None
    for value, weight in zip(maps, weights, strict=True):
        scaled = add("Mul", [value, add.const(np.array(weight, weights.dtype))])
        scaled.shape, scaled.type = value.shape, value.type
        if total is not None:
            scaled = add("Add", [total, scaled])
            scaled.shape, scaled.type = value.shape, value.type
        total = scaled
    assert total is not None
    for squeeze in squeezes:
        graphs.replace(graph, squeeze.outputs[0], total)
