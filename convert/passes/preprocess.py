"""The picture comes as bytes: cast, normalisation and layout move into the graph.

Requires: one input, ``[B, H, W, 3]`` with static sides.

Rewrites:

1. A float input becomes the contract's uint8 input, followed by Transpose to NCHW, Cast,
   ``+ offset / scale`` and ``* scale``. The bytes are transposed before the Cast, which moves a quarter as
   much, unless the target cannot move bytes (``cast_first``). An offset of 0 and a scale of 1 add no node.
2. Transposes to NCHW behind the input are removed; any other reader gets the value transposed back.
3. A uint8 input only takes the contract's name: such a model scales bytes itself.

Afterwards: the input is the contract's, in name and type.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from convert import graphs
from edge import contract

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class TakeBytes(ir.passes.InPlacePass):
    """The input ``[B, H, W, 3]`` becomes the contract's uint8 input; see the rules above.

    ``scale`` and ``offset`` are those of ``convert.preprocessing.Preprocessing``.
    """

    def __init__(
        self,
        scale: tuple[float, float, float],
        offset: tuple[float, float, float],
        *,
        cast_first: bool = False,
    ) -> None:
        self.cast_first = cast_first
        self.scale = np.array(scale, np.float64)
        self.offset = np.array(offset, np.float64)

    def requires(self, model: ir.Model) -> None:
        shape = graphs.shape_of(model.graph.inputs[0])
        if len(model.graph.inputs) != 1 or shape is None or len(shape) != 4 or shape[3] != 3:
            raise ir.passes.PreconditionError(f"the input has shape {shape}; expected one input [B, H, W, 3]")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        old = graph.inputs[0]
        if old.dtype == ir.DataType.UINT8:  # the model scales bytes itself
            renamed = old.name != contract.INPUT
            old.name = contract.INPUT
            return ir.passes.PassResult(model, modified=renamed)
        picture = ir.Value(name=contract.INPUT, shape=old.shape, type=ir.TensorType(ir.DataType.UINT8))
        old.name = "canvas"
        add = graphs.Editor(graph, graph[0])
        if self.cast_first:
            value = add("Transpose", [add("Cast", [picture], to=ir.DataType.FLOAT)], perm=_TO_NCHW)
        else:
            value = add("Cast", [add("Transpose", [picture], perm=_TO_NCHW)], to=ir.DataType.FLOAT)
        # byte * scale + offset = (byte + offset / scale) * scale: in this order the factor can go into the
        # weights of the first convolution, whatever its padding.
        shift = (self.offset / self.scale).astype(np.float32).reshape(1, 3, 1, 1)
        factor = self.scale.astype(np.float32).reshape(1, 3, 1, 1)
        if (shift != 0).any():
            value = add("Add", [value, add.const(shift)])
        if (factor != 1).any():
            value = add("Mul", [value, add.const(factor)])
        back = None
        for user, position in list(old.uses()):
            if user.op_type == "Transpose" and graphs.integers(user, "perm") == _TO_NCHW:
                graphs.replace(graph, user.outputs[0], value)
                continue
            if back is None:
                back = add("Transpose", [value], perm=_TO_NHWC)
            user.replace_input_with(position, back)
        graph.inputs[0] = picture
        graphs.remove_unused(graph)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        picture = model.graph.inputs[0]
        if picture.name != contract.INPUT or picture.dtype != ir.DataType.UINT8:
            raise ir.passes.PostconditionError(f"the input is {picture}")
