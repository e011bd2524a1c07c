"""The first convolution reads the bytes of the picture in the order in which they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.passes.rows import ReadRows
from tests.convert.nets import NCHW, NHWC, Net, compute, ops, random, wiring


def first_convolution(
    kernel: tuple[int, int] = (3, 3), cast_first: bool = False, **attributes: Any
) -> ir.Model:
    net = Net()
    picture = net.input("batch", "height", "width", 3, name="image", kind=TensorProto.UINT8)
    if cast_first:
        value = net("Transpose", net("Cast", picture, to=TensorProto.FLOAT), perm=NCHW)
    else:
        value = net("Cast", net("Transpose", picture, perm=NCHW), to=TensorProto.FLOAT)
    group = attributes.get("group", 1)
    weights = net.const(random(6, 3 // group, *kernel))
    return net.model(net("Conv", value, weights, net.const(random(6)), **attributes))


CASES: list[dict[str, Any]] = [
    {},
    {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    {"pads": [0, 1, 2, 3], "strides": [1, 2]},
    {"pads": [1, 0, 1, 0], "kernel": (3, 1)},
    {"kernel": (5, 7), "strides": [3, 2], "cast_first": True},
]


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_transposed(case: dict[str, Any]) -> None:
    model = first_convolution(**case)
    picture = np.random.default_rng(3).integers(0, 256, (2, 20, 17, 3), np.uint8)
    (wanted,) = compute(model, picture)
    assert ReadRows()(model).modified
    assert ops(model) == ["Cast", "Reshape", "Unsqueeze", "Conv"]
    (found,) = compute(model, picture)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-2)
    assert not ReadRows()(model).modified


@pytest.mark.parametrize("attributes", [{"group": 3}, {"dilations": [2, 2]}, {"auto_pad": "SAME_UPPER"}])
def test_other_convolutions_stay(attributes: dict[str, Any]) -> None:
    model = first_convolution(**attributes)
    before = wiring(model)
    assert not ReadRows()(model).modified
    assert wiring(model) == before


def test_a_picture_that_is_scaled_first_stays() -> None:
    net = Net()
    picture = net.input(1, 8, 8, 3, name="image", kind=TensorProto.UINT8)
    value = net("Cast", net("Transpose", picture, perm=NCHW), to=TensorProto.FLOAT)
    scaled = net("Mul", value, net.const(random(3, 1, 1)))
    model = net.model(net("Transpose", net("Conv", scaled, net.const(random(6, 3, 3, 3))), perm=NHWC))
    assert not ReadRows()(model).modified
