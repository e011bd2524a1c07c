"""Half precision inside, the contract's types outside.

onnxruntime's own converter casts to fp16 and back between any two nodes that are to stay fp32, which
loses what they stay for, and names two casts alike; so the few lines are here.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir

from convert import graphs


class UseHalf(ir.passes.InPlacePass):
    """Everything between normalisation and TopK computes in fp16.

    Decoding stays fp32: half precision has 11 bits, so a corner at 700 pixels would move by half a
    pixel. So does the normalisation: bytes times a factor are exact in fp32. Needs weights that fp16 can
    hold. Ensures that outputs are fp32. ``notes`` says afterwards what stayed.
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
            wanted = ir.DataType.FLOAT16 if node in inside else ir.DataType.FLOAT
            for place, value in enumerate(node.inputs):
                if value is None or value.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
                    continue
                if value.dtype == wanted or (node.op_type == "Resize" and place > 0):  # scales stay fp32
                    continue
                if (value, wanted) not in casts:
                    casts[value, wanted] = _cast(add, value, wanted)
                node.replace_input_with(place, casts[value, wanted])
                modified = True
            if node.op_type == "Cast":  # its output is what it says
                continue
            if node in inside:
                for value in node.outputs:
                    if value.dtype == ir.DataType.FLOAT:
                        value.type = ir.TensorType(ir.DataType.FLOAT16)
                        modified = True
        graphs.remove_unused(graph)
        kept = Counter(node.op_type for node in graph if node not in inside and node.op_type != "Cast")
        listed = ", ".join(f"{count} {name}" for name, count in sorted(kept.items()))
        self.notes.append(f"stay fp32: {listed} (normalisation, TopK and decoding)")
        return ir.passes.PassResult(model, modified=modified)

    def ensures(self, model: ir.Model) -> None:
        for value in model.graph.outputs:
            if value.dtype != ir.DataType.FLOAT:
                raise ir.passes.PostconditionError(f"the output {value.name} is {value.dtype}")


def _cast(add: graphs.Editor, value: ir.Value, wanted: ir.DataType) -> ir.Value:
    array = graphs.constant(value)
    if array is not None:
        return add.const(array.astype(np.float16 if wanted == ir.DataType.FLOAT16 else np.float32))
    cast = add("Cast", [value], to=wanted)
    cast.shape, cast.type = value.shape, ir.TensorType(wanted)
    return cast


def _inside(graph: ir.Graph) -> list[ir.Node]:
    """From the first convolution to the last value in front of TopK and of what decodes."""
    convolved = graphs.dependent_on(v for n in graph if n.op_type in ("Conv", "MatMul") for v in n.outputs)
    ranked = graphs.dependent_on(v for n in graph if n.op_type == "TopK" for v in n.outputs)
    return [
        node
        for node in graph
        if node.outputs[0] in convolved and node.outputs[0] not in ranked and node.op_type != "TopK"
    ]
