"""Small helpers to read and edit an ONNX graph in ``onnx_ir`` form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[Any]


def constant(value: ir.Value | None) -> Array | None:
    """The array of an initializer or a Constant node; None for any other value."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else tensor.numpy()


def shape_of(value: ir.Value) -> tuple[int, ...] | None:
    """The shape, or None when a side is unknown."""
    if value.shape is None or not all(isinstance(side, int) for side in value.shape):
        return None
    return tuple(int(side) for side in value.shape)  # type: ignore[arg-type]


def only_input(node: ir.Node) -> ir.Value:
    """The first input of a node. Raises AssertionError when it has none."""
    value = node.inputs[0]
    assert value is not None, f"{node.op_type} has no input"
    return value


def integers(node: ir.Node, name: str, position: int | None = None) -> list[int] | None:
    """A list of integers given as an attribute, or as a constant input at ``position``."""
    attribute = node.attributes.get(name)
    if attribute is not None:
        return [int(number) for number in attribute.as_ints()]
    if position is not None and position < len(node.inputs):
        array = constant(node.inputs[position])
        return None if array is None else [int(number) for number in array.reshape(-1)]
    return None


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


class Editor:
    """Adds nodes and constants to a graph: nodes in front of ``before``, or at the end when it is None."""

    def __init__(self, graph: ir.Graph, before: ir.Node | None = None) -> None:
        self.graph = graph
        self.before = before

    def const(self, array: Array) -> ir.Value:
        """A new initializer."""
        taken = self.graph.initializers
        name = f"const_{len(taken)}"
        while name in taken:
            name += "_"
        array = np.array(array, order="C")
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape = ir.Shape(array.shape)
        value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
        self.graph.register_initializer(value)
        return value

    def node(
        self, op: str, inputs: Sequence[ir.Value | None], outputs: int = 1, **attributes: Any
    ) -> ir.Node:
        """A new node of the default domain; its outputs have no shape until inference runs."""
        node = ir.node(op, inputs, attributes=attributes, num_outputs=outputs)
        if self.before is None:
            self.graph.append(node)
        else:
            self.graph.insert_before(self.before, node)
        return node

    def __call__(self, op: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        return self.node(op, inputs, **attributes).outputs[0]


def replace(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Make every reader of ``old``, and the graph's outputs, take ``new``."""
    if new.shape is None:
        new.shape = old.shape
    if new.type is None:
        new.type = old.type
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def remove_unused(graph: ir.Graph) -> None:
    """Remove nodes and initializers that no output needs."""
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]


def dependent_on(sources: Iterable[ir.Value]) -> set[ir.Value]:
    """Every value that is computed from one of ``sources``, the sources included."""
    found = set(sources)
    stack = list(found)
    while stack:
        for user, _ in stack.pop().uses():
            for value in user.outputs:
                if value not in found:
                    found.add(value)
                    stack.append(value)
    return found


def ancestors_of(value: ir.Value) -> set[ir.Value]:
    """Every value from which ``value`` is computed, itself included."""
    found = {value}
    stack = [value]
    while stack:
        node = stack.pop().producer()
        for source in node.inputs if node is not None else ():
            if source is not None and source not in found:
                found.add(source)
                stack.append(source)
    return found


def run(outputs: Sequence[ir.Value], feeds: dict[ir.Value, Array]) -> list[Array]:
    """Compute values of a graph from other values of it, with ONNX Runtime on the CPU.

    The nodes between them are copied, so the graph does not change.
    """
    import onnxruntime as ort

    owner = next(node.graph for value in outputs if (node := value.producer()) is not None)
    assert owner is not None
    part = ir.convenience.extract(owner, list(feeds), list(outputs))
    for value, array in zip(part.inputs, feeds.values(), strict=True):
        value.shape = ir.Shape(array.shape)
        value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        ir.to_proto(ir.Model(part, ir_version=9)).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    named = dict(zip((value.name for value in part.inputs), feeds.values(), strict=True))
    return list(session.run([value.name for value in part.outputs], named))
