"""The first convolution reads the picture as it comes, with its channels side by side in a row.

A convolution over ``[B, 3, H, W]`` is one over ``[B, 1, H, 3 W]``, with kernels and strides three times as
wide. The bytes of the picture lie like that already, so nothing has to be transposed, which took an eighth of
the time of a small network on a large canvas.

Requires: nothing.

Rewrites:

1. ``Conv(Cast(Transpose(image)))`` or ``Conv(Transpose(Cast(image)))``, in one group, without dilation and
   with constant weights, becomes ``Conv(Unsqueeze(Reshape(Cast(image))))``.

Afterwards: the graph computes the same.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert import graphs

_TO_NCHW = [0, 3, 1, 2]


class ReadRows(ir.passes.InPlacePass):
    """The first convolution reads rows of pixels; see the rule above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph, picture = model.graph, model.graph.inputs[0]
        convolutions = [node for node in graph if _reads_pixels(node, picture)]
        for conv in convolutions:
            _rewrite(graph, conv, picture)
        graphs.remove_unused(graph)
        return ir.passes.PassResult(model, modified=bool(convolutions))


def _reads_pixels(conv: ir.Node, picture: ir.Value) -> bool:
    if conv.op_type != "Conv" or graphs.integer(conv, "group", 1) != 1:
        return False
    weights = graphs.constant(conv.inputs[1])
    padding = conv.attributes.get("auto_pad")
    if weights is None or weights.ndim != 4 or (padding is not None and padding.as_string() != "NOTSET"):
        return False
    if any(step != 1 for step in graphs.integers(conv, "dilations") or []):
        return False
    value: ir.Value | None = conv.inputs[0]
    found = []
    for _ in range(2):
        node = value.producer() if value is not None else None
        if node is None:
            return False
        if node.op_type == "Transpose" and graphs.integers(node, "perm") != _TO_NCHW:
            return False
        found.append(node.op_type)
        value = node.inputs[0]
    return value is picture and sorted(found) == ["Cast", "Transpose"]


def _rewrite(graph: ir.Graph, conv: ir.Node, picture: ir.Value) -> None:
    weights = graphs.constant(conv.inputs[1])
    assert weights is not None
    outputs, channels, height, width = weights.shape
    add = graphs.Editor(graph, conv)
    pixels = add("Cast", [picture], to=ir.DataType.from_numpy(weights.dtype))
    rows = add("Reshape", [pixels, add.const(np.array([0, 0, -1]))])
    wide = weights.transpose(0, 2, 3, 1).reshape(outputs, 1, height, width * channels)
    strides = graphs.integers(conv, "strides") or [1, 1]
    top, left, bottom, right = graphs.integers(conv, "pads") or [0, 0, 0, 0]
    changed = add(
        "Conv",
        [add("Unsqueeze", [rows, add.const(np.array([1]))]), add.const(wide), *conv.inputs[2:]],
        strides=[strides[0], strides[1] * channels],
        pads=[top, left * channels, bottom, right * channels],
    )
    graphs.replace(graph, conv.outputs[0], changed)
