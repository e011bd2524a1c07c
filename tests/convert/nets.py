"""Tiny ONNX graphs, built operator by operator and computed by ONNX Runtime before and after a pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert import graphs

Array = npt.NDArray[Any]

NCHW, NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


class Net:
    """Builds a graph operator by operator; values are their names."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def input(self, *shape: int | str, name: str = "x", kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def const(self, array: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, kind), name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.const(numbers, np.int64)

    def many(self, op: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        names = [f"v{len(self.nodes)}_{place}" for place in range(count)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.many(op, inputs, 1, **attributes)[0]

    def proto(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
        return model

    def model(self, *outputs: str) -> ir.Model:
        return ir.from_proto(self.proto(*outputs))


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def compute(model: ir.Model, *feeds: Array) -> list[Array]:
    """The outputs, as plainly as ONNX Runtime can compute them."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return list(session.run(None, dict(zip(names, feeds, strict=True))))


def ops(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def wiring(model: ir.Model) -> list[Any]:
    """Every node with its inputs: equal before and after means that nothing was rewritten."""
    return [(n.op_type, *(v and v.name for v in n.inputs), *(v.name for v in n.outputs)) for n in model.graph]


def feeds_for(model: ir.Model) -> list[Array]:
    return [random(*(graphs.shape_of(v) or ()), seed=place) for place, v in enumerate(model.graph.inputs)]


def check_rewritten(rewrite: ir.passes.PassBase, model: ir.Model, tolerance: float = 1e-5) -> None:
    """The pass changes the graph but not its outputs, says so, and has nothing to do afterwards."""
    feeds = feeds_for(model)
    wanted, before = compute(model, *feeds), wiring(model)
    result = rewrite(model)
    assert wiring(model) != before
    for found, array in zip(compute(model, *feeds), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance)
    assert result.modified
    check_unchanged(rewrite, model)


def check_unchanged(rewrite: ir.passes.PassBase, model: ir.Model) -> None:
    """The pass finds nothing to do."""
    feeds = feeds_for(model)
    wanted, before = compute(model, *feeds), wiring(model)
    result = rewrite(model)
    assert wiring(model) == before
    assert not result.modified
    for found, array in zip(compute(model, *feeds), wanted, strict=True):
        np.testing.assert_array_equal(found, array)


def normalised(net: Net, x: str, channels: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(0.5, 2, channels) for _ in range(4)]
    return net("BatchNormalization", x, *map(net.const, arrays), epsilon=1e-3)


def convolution(net: Net, x: str, **attributes: Any) -> str:
    return net("Conv", x, net.const(random(3, 3, 3, 3)), pads=[1] * 4, **attributes)
