"""Transposes between TensorFlow's and ONNX's layouts sink through the graph until pairs cancel.

Requires: every Transpose has a static shape.

Rewrites, until nothing changes:

1. ``_merge``: two Transposes become one, or none when the second undoes the first.
2. ``_to_reshape``: a Transpose that only moves sides of 1, Squeeze, Unsqueeze and Flatten become Reshape.
3. ``_reshapes``: a Reshape of a Reshape becomes one; a Reshape to the same shape is removed.
4. ``_reshape_sinks``: equal Reshapes sink through elementwise operators, to meet the next Reshape.
5. ``_through_unary``: a Transpose sinks through an elementwise operator with one input.
6. ``_through_nary``: equal Transposes sink through an elementwise operator; constants are transposed, and
   inputs with only one side over 1 are reshaped.
7. ``_through_reduce``: a Transpose sinks through ReduceMean, ReduceMax and ReduceSum.
8. ``_to_global_pool``: the mean over rows and columns of NCHW becomes GlobalAveragePool.
9. ``_through_concat``: equal Transposes sink through Concat.
10. ``_through_pad``: a Transpose sinks through Pad.

Afterwards: no Transpose reads a Transpose, and none only moves sides of 1 (unless sides stay free).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from convert import graphs

_UNARY = frozenset(
    {"Abs", "Cast", "Clip", "Elu", "Exp", "HardSigmoid", "HardSwish", "LeakyRelu", "Neg", "Relu", "Sigmoid"}
    | {"Softplus", "Sqrt", "Tanh"}
)
_NARY = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum"})


class SinkTransposes(ir.passes.InPlacePass):
    """Move every Transpose behind the operators that can compute in the other layout; see the rules above.

    With ``free_sides`` rule 2 is left out: a Reshape would state the sides of a canvas that is to stay free.
    """

    def __init__(self, *, free_sides: bool = False) -> None:
        self.free_sides = free_sides
        self._rules = [rule for rule in _RULES if not (free_sides and rule is _to_reshape)]

    def requires(self, model: ir.Model) -> None:
        for node in model.graph:
            if node.op_type == "Transpose" and graphs.shape_of(node.outputs[0]) is None:
                raise ir.passes.PreconditionError(f"{node.outputs[0].name} has no static shape")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        modified, changed = False, True
        while changed:
            changed = False
            for node in list(graph):
                if node.graph is not None and any(rule(graph, node) for rule in self._rules):
                    changed = modified = True
            graphs.remove_unused(graph)
        return ir.passes.PassResult(model, modified=modified)

    def ensures(self, model: ir.Model) -> None:
        for node in model.graph:
            moves_nothing = not self.free_sides and _moves_nothing(node)
            if node.op_type == "Transpose" and (_permutation(_producer(node)) or moves_nothing):
                raise ir.passes.PostconditionError(f"a Transpose that is not needed is still there: {node}")


def _producer(node: ir.Node, position: int = 0) -> ir.Node | None:
    value = node.inputs[position] if position < len(node.inputs) else None
    return value.producer() if value is not None else None


def _permutation(node: ir.Node | None) -> list[int] | None:
    if node is None or node.op_type != "Transpose":
        return None
    return graphs.integers(node, "perm")


def _new(graph: ir.Graph, old: ir.Node, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    value.shape = ir.Shape(shape)
    value.type = old.outputs[0].type
    return value


def _sunk(graph: ir.Graph, node: ir.Node, result: ir.Value, perm: list[int]) -> bool:
    """Put the Transpose behind ``result``, which replaces the output of ``node``."""
    outer = graphs.shape_of(node.outputs[0])
    assert outer is not None
    inner = [0] * len(perm)
    for to, source in enumerate(perm):
        inner[source] = outer[to]
    _new(graph, node, result, tuple(inner))
    behind = _new(graph, node, graphs.Editor(graph, node)("Transpose", [result], perm=perm), outer)
    graphs.replace(graph, node.outputs[0], behind)
    return True


def _merge(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 1."""
    second, first = _permutation(node), _permutation(_producer(node))
    if second is None or first is None:
        return False
    producer = _producer(node)
    assert producer is not None
    source = graphs.only_input(producer)
    perm = [first[axis] for axis in second]
    if perm == sorted(perm):
        graphs.replace(graph, node.outputs[0], source)
    else:
        merged = graphs.Editor(graph, node)("Transpose", [source], perm=perm)
        graphs.replace(graph, node.outputs[0], merged)
    return True


def _moves_nothing(node: ir.Node) -> bool:
    perm = _permutation(node)
    shape = graphs.shape_of(graphs.only_input(node)) if perm is not None else None
    if perm is None or shape is None:
        return False
    order = [axis for axis in perm if shape[axis] != 1]
    return order == sorted(order)


def _to_reshape(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 2."""
    shape = graphs.shape_of(node.outputs[0])
    if shape is None or not (node.op_type in ("Squeeze", "Unsqueeze", "Flatten") or _moves_nothing(node)):
        return False
    return _reshape(graph, node, graphs.only_input(node), shape)


def _reshape(graph: ir.Graph, node: ir.Node, source: ir.Value, shape: tuple[int, ...]) -> bool:
    if graphs.shape_of(source) == shape:
        graphs.replace(graph, node.outputs[0], source)
        return True
    add = graphs.Editor(graph, node)
    value = add("Reshape", [source, add.const(np.array(shape, np.int64))])
    graphs.replace(graph, node.outputs[0], _new(graph, node, value, shape))
    return True


def _reshapes(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 3."""
    shape = graphs.shape_of(node.outputs[0])
    if node.op_type != "Reshape" or shape is None:
        return False
    before = _producer(node)
    source = graphs.only_input(node)
    if before is not None and before.op_type == "Reshape":
        return _reshape(graph, node, graphs.only_input(before), shape)
    if graphs.shape_of(source) == shape:
        return _reshape(graph, node, source, shape)
    return False


def _reshape_sinks(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 4."""
    if node.op_type not in _UNARY | _NARY or not node.inputs:
        return False
    count = 1 if node.op_type in _UNARY else len(node.inputs)
    before = [_producer(node, place) for place in range(count)]
    if any(reshape is None or reshape.op_type != "Reshape" for reshape in before):
        return False
    sources = [graphs.only_input(reshape) for reshape in before if reshape is not None]
    shapes = {graphs.shape_of(source) for source in sources}
    outer = {graphs.shape_of(node.inputs[place]) for place in range(count)}  # type: ignore[arg-type]
    shape = shapes.pop()
    after = graphs.shape_of(node.outputs[0])
    if shapes or len(outer) != 1 or shape is None or after is None:
        return False
    inner = _new(graph, node, _copy(graph, node, [*sources, *node.inputs[count:]]), shape)
    return _reshape(graph, node, inner, after)


def _through_unary(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 5."""
    perm = _permutation(_producer(node)) if node.op_type in _UNARY else None
    if perm is None:
        return False
    source = graphs.only_input(_producer(node))  # type: ignore[arg-type]
    return _sunk(graph, node, _copy(graph, node, [source, *node.inputs[1:]]), perm)


def _copy(graph: ir.Graph, node: ir.Node, inputs: list[ir.Value | None], **changed: object) -> ir.Value:
    attributes = {name: attribute.value for name, attribute in node.attributes.items()} | changed
    return graphs.Editor(graph, node)(node.op_type, inputs, **attributes)


def _through_nary(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 6."""
    if node.op_type not in _NARY:
        return False
    perms = [_permutation(_producer(node, i)) for i in range(len(node.inputs))]
    perm = next((p for p in perms if p is not None), None)
    if perm is None:
        return False
    add = graphs.Editor(graph, node)
    inputs: list[ir.Value | None] = []
    for position, value in enumerate(node.inputs):
        constant = graphs.constant(value)
        if perms[position] == perm:
            inputs.append(graphs.only_input(_producer(node, position)))  # type: ignore[arg-type]
        elif constant is not None and constant.ndim <= len(perm):
            if constant.size == 1:
                inputs.append(value)
                continue
            full = constant.reshape((1,) * (len(perm) - constant.ndim) + constant.shape)
            inputs.append(add.const(full.transpose(np.argsort(perm))))
        elif value is not None and _is_small(value, len(perm)):
            # A few numbers, such as the factors of squeeze and excitation: no data moves.
            shape = graphs.shape_of(value) or ()
            back = tuple(shape[axis] for axis in np.argsort(perm))
            small = add("Reshape", [value, add.const(np.array(back, np.int64))])
            small.shape, small.type = ir.Shape(back), value.type
            inputs.append(small)
        else:
            return False
    return _sunk(graph, node, _copy(graph, node, inputs), perm)


def _is_small(value: ir.Value, rank: int) -> bool:
    shape = graphs.shape_of(value)
    return shape is not None and len(shape) == rank and sum(side != 1 for side in shape) <= 1


def _through_reduce(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 7; without ``keepdims`` only where the sides that remain keep their order."""
    perm = _permutation(_producer(node)) if node.op_type in ("ReduceMean", "ReduceMax", "ReduceSum") else None
    axes = graphs.integers(node, "axes", 1) if perm is not None else None
    if perm is None or axes is None:
        return False
    axes = [axis % len(perm) for axis in axes]
    remaining = [perm[axis] for axis in range(len(perm)) if axis not in axes]
    keep = graphs.integer(node, "keepdims", 1)
    if not keep and remaining != sorted(remaining):
        return False
    add = graphs.Editor(graph, node)
    source = graphs.only_input(_producer(node))  # type: ignore[arg-type]
    moved = add.const(np.array([perm[axis] for axis in axes], np.int64))
    result = add(node.op_type, [source, moved], keepdims=keep)
    if keep:
        return _sunk(graph, node, result, perm)
    graphs.replace(graph, node.outputs[0], result)
    return True


def _to_global_pool(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 8; unlike ReduceMean, GlobalAveragePool also runs in blocked layouts."""
    axes = graphs.integers(node, "axes", 1) if node.op_type == "ReduceMean" else None
    source = node.inputs[0]
    shape = graphs.shape_of(source) if axes is not None and source is not None else None
    after = graphs.shape_of(node.outputs[0])
    if source is None or shape is None or after is None or len(shape) != 4 or axes is None:
        return False
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        return False
    pooled = graphs.Editor(graph, node)("GlobalAveragePool", [source])
    _new(graph, node, pooled, (*shape[:2], 1, 1))
    return _reshape(graph, node, pooled, after)


def _through_concat(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 9."""
    if node.op_type != "Concat":
        return False
    perms = [_permutation(_producer(node, i)) for i in range(len(node.inputs))]
    perm = perms[0]
    if perm is None or any(other != perm for other in perms):
        return False
    axis = perm[graphs.integer(node, "axis", 0) % len(perm)]
    sources = [graphs.only_input(_producer(node, i)) for i in range(len(node.inputs))]  # type: ignore[arg-type]
    return _sunk(graph, node, graphs.Editor(graph, node)("Concat", sources, axis=axis), perm)


def _through_pad(graph: ir.Graph, node: ir.Node) -> bool:
    """Rule 10."""
    perm = _permutation(_producer(node)) if node.op_type == "Pad" and len(node.inputs) <= 3 else None
    pads = graphs.constant(node.inputs[1]) if perm is not None else None
    if perm is None or pads is None or pads.size != 2 * len(perm):
        return False
    moved = pads.reshape(2, -1)[:, np.argsort(perm)].reshape(-1)
    source = graphs.only_input(_producer(node))  # type: ignore[arg-type]
    inputs = [source, graphs.Editor(graph, node).const(moved), *node.inputs[2:]]
    return _sunk(graph, node, _copy(graph, node, inputs), perm)


_RULES: tuple[Callable[[ir.Graph, ir.Node], bool], ...] = (
    _merge,
    _to_reshape,
    _reshapes,
    _reshape_sinks,
    _through_unary,
    _through_nary,
    _through_reduce,
    _to_global_pool,
    _through_concat,
    _through_pad,
)
