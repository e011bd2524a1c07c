"""Half precision inside, the contract's types outside.

Requires: no weight over 65504, the limit of fp16, where fp16 will compute.

Rewrites:

1. Nodes that depend on a convolution or a matrix product, but not on TopK, compute in fp16: their float
   inputs are cast, once per value, and constants are converted.
2. All other nodes compute in fp32. Decoding does, because half precision has 11 bits, so that a corner at
   700 pixels would move by half a pixel; normalisation does, because bytes times a factor are exact in fp32.
3. The scales of a Resize stay fp32, as the operator demands.

Afterwards: the graph's outputs are fp32.

onnxruntime's own converter casts to fp16 and back between any two nodes that are to stay fp32, which loses
the precision that they stay in fp32 for, and it gives two casts the same name. Hence this one.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir

from convert import graphs


class UseHalf(ir.passes.InPlacePass):
    """Everything between normalisation and TopK computes in fp16; see the rules above.

    ``notes`` lists afterwards the nodes that stayed fp32.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def requires(self, model: ir.Model) -> None:
        for node in _inside(model.graph):
            for value in node.inputs:
                array = graphs.constant(value)
                if array is not None and array.dtype == np.float32 and np.abs(array).max(initial=0) > 65504:
                    raise ir.passes.PreconditionError(
                        f"{node.op_type} has weights over 65504, the limit of fp16"
                    )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        inside = set(_inside(graph))
        modified = False
        casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        for node in list(graph):
            add = graphs.Editor(graph, node)
            precision = ir.DataType.FLOAT16 if node in inside else ir.DataType.FLOAT
            for place, value in enumerate(node.inputs):
                if value is None or value.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
                    continue
                if value.dtype == precision or (node.op_type == "Resize" and place > 0):  # rule 3
                    continue
                if (value, precision) not in casts:
                    casts[value, precision] = _cast(add, value, precision)
                node.replace_input_with(place, casts[value, precision])
                modified = True
            if node.op_type == "Cast":  # its output type is an attribute
                continue
            if node in inside:
                for value in node.outputs:
                    if value.dtype == ir.DataType.FLOAT:
                        value.type = ir.TensorType(ir.DataType.FLOAT16)
                        modified = True
        graphs.remove_unused(graph)
        unchanged = Counter(node.op_type for node in graph if node not in inside and node.op_type != "Cast")
        listed = ", ".join(f"{count} {name}" for name, count in sorted(unchanged.items()))
        self.notes.append(f"these stay fp32: {listed} (normalisation, TopK and decoding)")
        return ir.passes.PassResult(model, modified=modified)

    def ensures(self, model: ir.Model) -> None:
        for value in model.graph.outputs:
            if value.dtype != ir.DataType.FLOAT:
                raise ir.passes.PostconditionError(f"the output {value.name} is {value.dtype}")


def _cast(add: graphs.Editor, value: ir.Value, precision: ir.DataType) -> ir.Value:
    array = graphs.constant(value)
    if array is not None:
        return add.const(array.astype(np.float16 if precision == ir.DataType.FLOAT16 else np.float32))
    cast = add("Cast", [value], to=precision)
    cast.shape, cast.type = value.shape, ir.TensorType(precision)
    return cast


def _inside(graph: ir.Graph) -> list[ir.Node]:
    """The nodes of rule 1: from the first convolution to TopK and the decoding."""
    convolved = graphs.dependent_on(v for n in graph if n.op_type in ("Conv", "MatMul") for v in n.outputs)
    ranked = graphs.dependent_on(v for n in graph if n.op_type == "TopK" for v in n.outputs)
    return [
        node
        for node in graph
        if node.outputs[0] in convolved and node.outputs[0] not in ranked and node.op_type != "TopK"
    ]
