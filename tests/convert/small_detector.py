"""A small detector as tf2onnx exports it, for the passes that need a whole one."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.optimize import optimize
from convert.passes.select import Head
from edge import contract
from tests.convert.heads import BOXES, SCORES, anchors_of, corners, faster_rcnn
from tests.convert.nets import NCHW, NHWC, Array, Net, normalised, random

SIDE, CELLS, CHANNELS = 32, 8, 8

ANCHORS = anchors_of(CELLS * CELLS)


def export() -> onnx.ModelProto:
    """What tf2onnx makes of a small detector: NHWC between convolutions in NCHW, decoded at the end."""
    net = Net()

    def layer(value: str, inputs: int, seed: int, group: int = 1, stride: int = 1) -> str:
        weights = random(CHANNELS, inputs // group, 3, 3, seed=seed) / np.sqrt(9 * inputs / group)
        edges = [0, 0, 1, 1] if stride == 2 else [1] * 4
        turned = net("Transpose", value, perm=NCHW)
        conv = net("Conv", turned, net.const(weights), group=group, strides=[stride] * 2, pads=edges)
        return net("Relu", net("Transpose", normalised(net, conv, CHANNELS, seed), perm=NHWC))

    def head(value: str, outputs: int, seed: int) -> str:
        weights = net.const(random(outputs, CHANNELS, 1, 1, seed=seed) / 4)
        maps = net("Transpose", net("Conv", net("Transpose", value, perm=NCHW), weights), perm=NHWC)
        return net("Reshape", maps, net.ints(1, CELLS * CELLS, outputs))

    last = layer(net.input(1, SIDE, SIDE, 3, name="image"), 3, 1, stride=2)
    last = layer(last, CHANNELS, 2, group=CHANNELS, stride=2)
    last = layer(layer(last, CHANNELS, 3), CHANNELS, 4)
    boxes = faster_rcnn(net, head(last, 4, 5), corners(ANCHORS)[:, [1, 0, 3, 2]], "yxyx")
    return net.proto(boxes, net("Sigmoid", head(last, 2, 6)))


def optimized() -> ir.Model:
    head = Head((1,), "yxyx", (SIDE, SIDE))
    return optimize(export(), head, (1 / 127.5,) * 3, (-1.0,) * 3).model


def pictures(count: int) -> Array:
    return np.random.default_rng(4).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def check_near(found: list[Array], wanted: list[Array], pixels: float, score: float) -> None:
    """Equal scores may change places, so every box is compared with the nearest one."""
    np.testing.assert_allclose(found[SCORES], wanted[SCORES], atol=score)
    apart = np.abs(found[BOXES][0][:, None] - wanted[BOXES][0][None]).max(axis=2)
    assert apart.min(axis=1).max() < pixels
    assert apart.min(axis=0).max() < pixels


def check_contract(model: ir.Model) -> None:
    tensors = [
        [(v.name, "uint8" if v.dtype == ir.DataType.UINT8 else "float", v.shape) for v in values]
        for values in (model.graph.inputs, model.graph.outputs)
    ]
    checked = [[(n, f"tensor({kind})", list(s)) for n, kind, s in part if n and s] for part in tensors]
    contract.check_tensors(*checked)
