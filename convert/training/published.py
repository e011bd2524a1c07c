"""Weights of a published ONNX file for a network of ours, by shape and order, checked by running both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from convert.errors import ConvertError
from convert.graphs import Array
from convert.sample import sample_pictures

SIDE = 320
"""Of the canvas on which both are run, pixels."""
TOLERANCE = 1e-3
"""Largest difference of two values, as a share of the largest in their map: the order of sums differs."""


def load(network: Any, file: Path, outputs: Mapping[str, str], *, bgr: bool = False) -> float:
    """Put the weights of ``file`` into ``network``; return the largest difference between the maps of both.

    ``outputs`` has, for each of the network's maps, the name of the tensor ``[B, C, h, w]`` in the file; with
    ``bgr`` the file takes blue first, where ours take red. The difference is a share of the largest value of
    a map. Convolutions are taken in the order in which these tensors need them. Raises ConvertError for a
    file that cannot be read, is of another network, or computes something else.
    """
    try:
        model = onnx.load(file)
    except (OSError, ValueError, DecodeError) as error:
        raise ConvertError(f"--weights {file}: {error}; name the published ONNX file") from error
    produced = {name for node in model.graph.node for name in node.output}
    missing = sorted(set(outputs.values()) - produced)
    if missing:
        raise ConvertError(
            f"--weights {file}: there is no tensor {', '.join(missing)} in it, so it is not the published "
            f"file of {network.name}; docs/train.md says which one is"
        )
    try:
        given = list(_convolutions(model.graph, list(outputs.values())))
    except ConvertError as error:
        raise ConvertError(f"--weights {file}: {error}; name the published ONNX file") from error
    layers = [layer for layer in _in_order(network, list(outputs)) if layer.weights]
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in layers]
    if shapes != [[kernel.shape, bias.shape] for kernel, bias in given]:
        raise ConvertError(
            f"--weights {file}: its {len(given)} convolutions have other shapes than the {len(layers)} of "
            f"{network.name}; it is a file of another network"
        )
    for number, (layer, (kernel, bias)) in enumerate(zip(layers, given, strict=True)):
        first = kernel[:, :, ::-1] if bgr and number == 0 else kernel
        layer.set_weights([first, bias])
    difference = _difference(network, model, outputs, bgr=bgr)
    if not difference <= TOLERANCE:
        raise ConvertError(
            f"--weights {file}: with its weights {network.name} computes something else: maps differ by "
            f"{difference:.2g} of their largest value; it is a file of another network"
        )
    return difference


def _convolutions(graph: onnx.GraphProto, outputs: Sequence[str]) -> Iterator[tuple[Array, Array]]:
    """Kernel and bias of each convolution, in Keras's layouts, normalisation behind it folded in."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    norms = {node.input[0]: node for node in graph.node if node.op_type == "BatchNormalization"}
    for node in _needed(outputs, lambda name: producers.get(name), lambda node: node.input):
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        if any(name not in constants for name in node.input[1:]):
            raise ConvertError(
                f"the weights of its convolution {node.name or node.output[0]} are no initializers"
            )
        kernel = constants[node.input[1]]
        channels = kernel.shape[1 if node.op_type == "ConvTranspose" else 0]
        bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(channels, np.float32)
        grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
        # [out, in, kh, kw] to [kh, kw, in, out]; depth-wise, and a transposed one as `Double` has it
        axes = (0, 2, 3, 1) if node.op_type == "ConvTranspose" else (2, 3, 0, 1) if grouped else (2, 3, 1, 0)
        kernel = kernel.transpose(axes)
        if node.output[0] in norms:
            norm = norms[node.output[0]]
            gamma, beta, mean, variance = (constants[name] for name in norm.input[1:5])
            epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)  # ONNX's default
            factor = gamma / np.sqrt(variance + epsilon)
            kernel, bias = kernel * factor, (bias - mean) * factor + beta
        yield kernel.astype(np.float32), bias.astype(np.float32)


def _in_order(network: Any, outputs: Sequence[str]) -> Iterator[Any]:
    """The layers that these maps need, inputs first."""

    def feeding(layer: Any) -> list[Any]:
        return [layer] if layer is None else layer._inbound_nodes[0].input_tensors

    wanted = [network.output[name] for name in outputs]
    return _needed(wanted, lambda tensor: tensor._keras_history.operation, feeding)


def _needed(outputs: Sequence[Any], producer: Any, inputs: Any) -> Iterator[Any]:
    """What produces ``outputs``, inputs first, in the order in which they are asked for, each once."""
    seen: list[Any] = []

    def visit(tensor: Any) -> Iterator[Any]:
        node = producer(tensor)
        if node is None or any(node is other for other in seen):
            return
        seen.append(node)
        for one in inputs(node):
            yield from visit(one)
        yield node

    for output in outputs:
        yield from visit(output)


def _difference(network: Any, model: onnx.ModelProto, outputs: Mapping[str, str], *, bgr: bool) -> float:
    """Run both on a picture with faces."""
    _, picture = next(iter(sample_pictures(SIDE, SIDE)))
    canvas = np.zeros((1, SIDE, SIDE, 3), np.float32)
    canvas[0, : picture.shape[0], : picture.shape[1]] = picture[:SIDE, :SIDE]
    for tensor in [*model.graph.input, *model.graph.output]:
        for side in tensor.type.tensor_type.shape.dim:
            side.dim_param = ""
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs.values())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    fed = canvas[..., ::-1] if bgr else canvas
    theirs = session.run(list(outputs.values()), {name: fed.transpose(0, 3, 1, 2)})
    ours = network(canvas)
    return max(
        float(np.abs(np.asarray(ours[key]).transpose(0, 3, 1, 2) - value).max() / np.abs(value).max())
        for key, value in zip(outputs, theirs, strict=True)
    )
