"""What each target accepts: operators, types and shapes. A graph is checked before it is published.

TensorRT's list is that of its ONNX parser for version 10 (operators.md of onnx-tensorrt, release
10.x), reduced to what detectors need; bytes may only be cast there (same document, UINT8).
"""

from __future__ import annotations

import onnx_ir as ir

from convert import graphs
from convert.choices import TARGETS
from convert.passes.select import MAX_CANDIDATES

_COMMON = frozenset(
    [
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Div",
        "Equal",
        "Exp",
        "Flatten",
        "Gather",
        "GatherND",
        "Gemm",
        "GlobalAveragePool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "Pow",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear"})

OPERATORS = dict.fromkeys(TARGETS, _COMMON | _QUANTIZED)
"""Operators that may be in a detector, per target."""

CASTS_ONLY = ("tensorrt", "any")
"""Targets on which bytes may be cast and nothing else."""

_INDEX_OPERATORS = frozenset({"TopK", "GatherND", "Gather", "Unsqueeze", "Reshape", "Squeeze"})
"""The only operators that may compute int64: TopK, for its index, and those that gather with it."""


def problems(model: ir.Model, target: str) -> list[str]:
    """Sentences that say why ``target`` could refuse the graph; empty when nothing is known to be wrong."""
    found = []
    for node in model.graph:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS[target]:
            found.append(
                f"operator {node.domain or 'ai.onnx'}.{node.op_type} is not on the list for {target}"
            )
        for value in node.outputs:
            if graphs.shape_of(value) is None:
                found.append(f"{node.op_type}: the shape of {value.name} is not static")
            if value.dtype == ir.DataType.INT64 and node.op_type not in _INDEX_OPERATORS:
                found.append(f"{node.op_type} computes with int64")
            if value.dtype == ir.DataType.DOUBLE:
                found.append(f"{node.op_type} computes with float64")
            if target in CASTS_ONLY and value.dtype == ir.DataType.UINT8 and node.op_type != "QuantizeLinear":
                found.append(f"{node.op_type} moves bytes; TensorRT only casts them")
        if (
            node.op_type == "TopK"
            and (k := graphs.constant(node.inputs[1])) is not None
            and k.max() > MAX_CANDIDATES
        ):
            found.append(f"TopK takes {int(k.max())} of its input; TensorRT takes at most {MAX_CANDIDATES}")
    for value in model.graph.inputs:
        if graphs.shape_of(value) is None:
            found.append(f"the shape of the input {value.name} is not static")
    return list(dict.fromkeys(found))
