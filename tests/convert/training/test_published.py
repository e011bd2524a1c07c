"""A published file gives its weights to the network that it is of, and to no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")
pytest.importorskip("onnx", reason="needs the convert extra")

import keras
import onnx

from convert.errors import ConvertError
from convert.training import published
from convert.training.layers import convolve, depthwise, relu


def network(seed: int, channels: int = 6) -> Any:
    keras.utils.set_random_seed(seed)
    picture = keras.Input((None, None, 3))
    x = relu(convolve(picture, channels, 3, 2))
    x = relu(depthwise(x))
    heads = {"first": convolve(x, 2), "second": convolve(x, 1)}
    made = keras.Model(picture, heads, name="made")
    made.set_weights([np.random.default_rng(seed).normal(0, 0.3, w.shape) for w in made.get_weights()])
    return made


def file_of(made: Any, path: Path, *, bgr: bool = False, relus: bool = True) -> Path:
    """The network as an ONNX file whose tensors are ``a`` and ``b``."""
    layers = [layer for layer in made.layers if layer.weights]
    nodes, constants, before = [], [], "picture"
    for number, (layer, (output, source)) in enumerate(
        zip(layers, [("x", None), ("y", None), ("a", "y"), ("b", "y")], strict=True)
    ):
        kernel, bias = layer.get_weights()
        grouped = number == 1
        kernel = kernel.transpose(2, 3, 0, 1) if grouped else kernel.transpose(3, 2, 0, 1)
        kernel = kernel[:, ::-1] if bgr and number == 0 else kernel
        for name, value in ((f"k{number}", kernel), (f"b{number}", bias)):
            constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        pads = [1, 1, 1, 1] if number < 2 else [0, 0, 0, 0]
        inner = f"{output}_" if relus and number < 2 else output
        nodes.append(
            onnx.helper.make_node(
                "Conv",
                [source or before, f"k{number}", f"b{number}"],
                [inner],
                pads=pads,
                strides=[2, 2] if number == 0 else [1, 1],
                group=kernel.shape[0] if grouped else 1,
            )
        )
        if inner != output:
            nodes.append(onnx.helper.make_node("Relu", [inner], [output]))
        before = output
    tensor = onnx.helper.make_tensor_value_info
    inputs = [tensor("picture", onnx.TensorProto.FLOAT, [1, 3, 32, 32])]
    outputs = [tensor(name, onnx.TensorProto.FLOAT, None) for name in ("a", "b")]
    graph = onnx.helper.make_graph(nodes, "made", inputs, outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


NAMES = {"first": "a", "second": "b"}


@pytest.mark.parametrize("bgr", [False, True])
def test_weights_arrive_and_both_compute_the_same(tmp_path: Path, bgr: bool) -> None:
    theirs, ours = network(1), network(2)
    file = file_of(theirs, tmp_path / "made.onnx", bgr=bgr)
    assert published.load(ours, file, NAMES, bgr=bgr) < 1e-5
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_other_files_are_refused_with_their_name(tmp_path: Path) -> None:
    file = file_of(network(1), tmp_path / "made.onnx")
    with pytest.raises(ConvertError, match=r"made\.onnx: there is no tensor c in it"):
        published.load(network(2), file, {"first": "a", "second": "c"})
    with pytest.raises(ConvertError, match=r"made\.onnx: its 4 convolutions have other shapes"):
        published.load(network(2, channels=8), file, NAMES)
    with pytest.raises(ConvertError, match=r"missing\.onnx: .*name the published ONNX file"):
        published.load(network(2), tmp_path / "missing.onnx", NAMES)
    (tmp_path / "text.onnx").write_bytes(b"no model at all")
    with pytest.raises(ConvertError, match=r"text\.onnx"):
        published.load(network(2), tmp_path / "text.onnx", NAMES)
    other = file_of(network(1), tmp_path / "other.onnx", relus=False)
    with pytest.raises(ConvertError, match="computes something else"):
        published.load(network(2), other, NAMES)


def test_a_kernel_that_is_computed_is_refused(tmp_path: Path) -> None:
    model = onnx.load(file_of(network(1), tmp_path / "made.onnx"))
    model.graph.node[0].input[1] = "picture"
    onnx.save(model, tmp_path / "computed.onnx")
    with pytest.raises(ConvertError, match="are no initializers; name the published ONNX file"):
        published.load(network(2), tmp_path / "computed.onnx", NAMES)
