"""Eight-bit convolutions by static calibration (QDQ), with onnxruntime's own quantizer.

Requires: a graph with the contract's input, in fp32.

Rewrites:

1. A convolution computes in eight bits: int8 weights with one scale per channel, uint8 activations with the
   range seen on the calibration pictures.
2. These convolutions stay float: the first, the last ones (scores and offsets), those of squeeze and
   excitation, and depthwise ones. All other operators stay float as well.
3. Weights use 7 of their 8 bits. A processor with AVX2 but without VNNI adds two products of bytes in 16
   bits, which would saturate, and the detector would find other faces there than where it was compared.

Afterwards: shapes are inferred anew; inputs and outputs are unchanged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from convert import graphs
from edge import contract

CALIBRATION_PICTURES = 64
_OPERATORS = ("Conv",)
"""The operators that are quantized. With Sigmoid, Mul and Add too, EfficientDet-D0 loses a third of its
faces."""


def quantize(model: ir.Model, canvases: Sequence[graphs.Array]) -> tuple[ir.Model, list[str]]:
    """Quantize to int8 by the rules above, with ``canvases`` (uint8 ``[H, W, 3]`` each) for calibration.

    Returns the model, and sentences that say which convolutions stay float and why.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[graphs.Array] = iter(canvases)

        def get_next(self) -> dict[str, Any] | None:
            canvas = next(self.rest, None)
            return None if canvas is None else {contract.INPUT: canvas[None]}

    for number, node in enumerate(model.graph):
        node.name = f"{node.op_type}_{number}"
    sensitive = _sensitive(model.graph)
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(ir.to_proto(model), before)
        quantize_static(
            str(before),
            str(after),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATORS),
            per_channel=True,
            reduce_range=True,  # rule 3
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
            nodes_to_exclude=list(sensitive),
        )
        result = ir.from_proto(onnx.load(after))
    common.ShapeInferencePass()(result)
    reasons: dict[str, int] = {}
    for reason in sensitive.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return result, [f"{count} convolutions stay float: {reason}" for reason, count in reasons.items()]


def _sensitive(graph: ir.Graph) -> dict[str, str]:
    """The convolutions of rule 2, by name, with the reason."""
    found: dict[str, str] = {}
    fed = graphs.dependent_on(graph.inputs)
    first = next((n for n in graph if n.op_type == "Conv" and n.inputs[0] in fed), None)
    for node in graph:
        if node.op_type not in _OPERATORS:
            continue
        shape = node.outputs[0].shape
        if node is first:
            found[str(node.name)] = "the first one, which reads the picture"
        elif "Conv" not in {user.op_type for user in _later_nodes(node)}:
            found[str(node.name)] = "the last ones: scores and offsets"
        elif shape is None or list(shape)[2:] == [1, 1]:
            found[str(node.name)] = "squeeze and excitation: a few numbers that scale whole maps"
        elif graphs.integer(node, "group", 1) > 1:
            found[str(node.name)] = "depthwise: few products per value, and ranges that differ by channel"
    return found


def _later_nodes(node: ir.Node) -> set[ir.Node]:
    """Every node that is computed from this one."""
    return {user for value in graphs.dependent_on(node.outputs) for user, _ in value.uses()}
