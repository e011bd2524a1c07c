"""What does not depend on the picture is computed once, with the passes of onnx_ir and onnxscript.

Requires: nothing.

Rewrites:

1. Constant nodes become initializers.
2. A node whose inputs are all constants becomes its value: by onnxscript, and here where a node has several
   outputs, which onnxscript leaves alone.
3. Identity nodes, equal subexpressions, equal initializers, and nodes that nobody reads are removed.
4. Shapes are inferred, before and after.

Afterwards: no node has only constants for inputs, and every value has a static shape wherever inference can
tell one.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer

from convert import graphs


class FoldConstants(ir.passes.InPlacePass):
    """Compute what does not depend on the picture, and infer shapes; see the rules above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        before = model.graph.num_nodes()
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.ShapeInferencePass(data_prop=True)(model)
        optimizer.fold_constants(model, input_size_limit=1 << 26, output_size_limit=1 << 26)
        _fold_the_rest(model.graph)
        common.IdentityEliminationPass()(model)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        common.CommonSubexpressionEliminationPass()(model)
        common.DeduplicateInitializersPass()(model)
        graphs.remove_unused(model.graph)
        common.RemoveUnusedOpsetsPass()(model)
        common.ShapeInferencePass(data_prop=True)(model)
        return ir.passes.PassResult(model, modified=model.graph.num_nodes() != before)

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if _is_constant(node):
                raise ir.passes.PostconditionError(f"all inputs of {node.op_type} {node.name} are constants")


def _is_constant(node: ir.Node) -> bool:
    given = [value for value in node.inputs if value is not None]
    return bool(given) and all(graphs.constant(value) is not None for value in given)


def _fold_the_rest(graph: ir.Graph) -> None:
    """Fold what onnxscript leaves alone: nodes with several outputs."""
    for node in list(graph):
        if _is_constant(node):
            make = graphs.Editor(graph, node)
            for old, array in zip(node.outputs, graphs.run(node.outputs, {}), strict=True):
                graphs.replace(graph, old, make.const(array))
            graph.remove(node, safe=True)
