"""What surrounds a convolution goes into its weights and its bias.

Requires: constant weights; a convolution without them is left alone.

Rewrites, with ``*`` and ``+`` per channel:

1. ``Conv(Pad(x))`` with zeros at rows and columns: the padding becomes an attribute (onnxscript's rule).
2. ``Conv(x * factor, w)`` becomes ``Conv(x, w * factor)``, for convolutions without groups.
3. ``Conv(x, w, bias) * factor``, ``+ shift`` and ``- shift`` become
   ``Conv(x, w * factor, bias * factor + shift)``, if nobody else reads the convolution.
4. ``BatchNormalization(Conv(x, w, bias))`` is rule 3 with ``factor = gamma / sqrt(variance + epsilon)`` and
   ``shift = beta - mean * factor``.

Afterwards: no batch normalisation is behind a convolution that it alone reads.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules.common import fuse_pad_into_conv_rule

from convert import graphs


class FuseConvolutions(ir.passes.InPlacePass):
    """Fuse padding, factors, shifts and batch normalisation; see the rules above."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = RewriteRuleSet([fuse_pad_into_conv_rule]).apply_to_model(model) > 0
        for node in list(model.graph):
            modified |= _factor_before(model.graph, node)
        changes = True
        while changes:  # a convolution may have a bias, a factor and a normalisation behind it
            changes = sum(_affine_after(model.graph, node) for node in list(model.graph)) > 0
            modified |= changes
            graphs.remove_unused(model.graph)
        return ir.passes.PassResult(model, modified=modified)

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            if node.op_type != "BatchNormalization":
                continue
            before = graphs.only_input(node).producer()
            if before is None or before.op_type != "Conv" or before.outputs[0].is_graph_output():
                continue
            if len(before.outputs[0].uses()) == 1:
                raise ir.passes.PostconditionError("a batch normalisation is still behind its convolution")


def _channels(value: ir.Value | None, count: int) -> graphs.Array | None:
    """A constant as one number per channel of NCHW; None when it varies along another axis."""
    array = graphs.constant(value)
    if array is None or array.dtype != np.float32:
        return None
    shape = (1,) * (4 - array.ndim) + array.shape
    if len(shape) != 4 or shape[0] != 1 or shape[1] not in (1, count) or shape[2:] != (1, 1):
        return None
    return np.array(np.broadcast_to(array.reshape(shape[1]), (count,)))


def _factor_before(graph: ir.Graph, conv: ir.Node) -> bool:
    """Rule 2; the zeros of the convolution's own padding stay zeros."""
    product = graphs.only_input(conv).producer() if conv.op_type == "Conv" else None
    weights = graphs.constant(conv.inputs[1]) if product is not None else None
    if (
        product is None
        or weights is None
        or product.op_type != "Mul"
        or graphs.integer(conv, "group", 1) != 1
    ):
        return False
    for position in (0, 1):
        factor = _channels(product.inputs[position], weights.shape[1])
        source = product.inputs[1 - position]
        same = source is not None and graphs.shape_of(source) == graphs.shape_of(product.outputs[0])
        if factor is not None and same:
            conv.replace_input_with(0, source)
            scaled = (weights * factor[None, :, None, None]).astype(np.float32)
            conv.replace_input_with(1, graphs.Editor(graph, conv).const(scaled))
            return True
    return False


def _affine_after(graph: ir.Graph, conv: ir.Node) -> bool:
    """Rules 3 and 4.

    Heads that several levels share have one weight and one normalisation per level, so the weight is
    copied and not changed; onnxscript's own rule leaves such convolutions alone.
    """
    if conv.op_type != "Conv" or len(conv.outputs[0].uses()) != 1 or conv.outputs[0].is_graph_output():
        return False
    weights = graphs.constant(conv.inputs[1])
    bias = (
        graphs.constant(conv.inputs[2])
        if len(conv.inputs) > 2 and conv.inputs[2] is not None
        else np.float32(0)
    )
    user, position = next(iter(conv.outputs[0].uses()))
    if weights is None or bias is None:
        return False
    change = _affine(user, position, weights.shape[0])
    if change is None:
        return False
    factor, shift = change
    make = graphs.Editor(graph, conv)
    changed = make(
        "Conv",
        [
            conv.inputs[0],
            make.const((weights * factor[:, None, None, None]).astype(np.float32)),
            make.const((bias * factor + shift).astype(np.float32)),
        ],
        **{name: attribute.value for name, attribute in conv.attributes.items()},
    )
    changed.shape, changed.type = conv.outputs[0].shape, conv.outputs[0].type
    graphs.replace(graph, user.outputs[0], changed)
    return True


def _affine(user: ir.Node, position: int, channels: int) -> tuple[graphs.Array, graphs.Array] | None:
    """Factor and shift, one number per channel each, if ``user`` computes ``x * factor + shift``."""
    if user.op_type == "BatchNormalization" and len(user.outputs) == 1 and position == 0:
        arrays = [graphs.constant(value) for value in user.inputs[1:5]]
        if any(array is None for array in arrays):
            return None
        gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in arrays)
        epsilon = user.attributes["epsilon"].as_float() if "epsilon" in user.attributes else 1e-5
        factor = gamma / np.sqrt(variance + epsilon)
        return factor, beta - mean * factor
    if user.op_type in ("Mul", "Add", "Sub") and (user.op_type != "Sub" or position == 0):
        change = _channels(user.inputs[1 - position], channels)
        if change is None:
            return None
        one, zero = np.ones(channels), np.zeros(channels)
        return {"Mul": (change, zero), "Add": (one, change), "Sub": (one, -change)}[user.op_type]
    return None
