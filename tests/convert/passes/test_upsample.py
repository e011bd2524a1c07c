"""Repeated pixels become one Resize; maps are ``[1, 4, 5, 3]``, factors are rows and columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import graphs
from convert.passes.upsample import NearestToResize
from tests.convert.nets import Net, check_rewritten, check_unchanged, ops


def by_stacking(net: Net, x: str, rows: int, columns: int) -> str:
    tall = net("Concat", *[net("Unsqueeze", x, net.ints(2))] * rows, axis=2)
    tall = net("Reshape", tall, net.ints(1, 4 * rows, 5, 3))
    wide = net("Concat", *[net("Unsqueeze", tall, net.ints(3)) for _ in range(columns)], axis=3)
    return net("Reshape", wide, net.ints(1, 4 * rows, 5 * columns, 3))


def by_tile(net: Net, x: str, rows: int, columns: int) -> str:
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 1, 3))
    tiled = net("Tile", apart, net.ints(1, 1, rows, 1, columns, 1))
    return net("Reshape", tiled, net.ints(1, 4 * rows, 5 * columns, 3))


def by_expand(net: Net, x: str, rows: int, columns: int) -> str:
    apart = net("Unsqueeze", x, net.ints(2, 4))
    copies = net("Expand", apart, net.ints(1, 4, rows, 5, columns, 3))
    return net("Reshape", copies, net.ints(1, 4 * rows, 5 * columns, 3))


def by_ones(net: Net, x: str, rows: int, columns: int) -> str:
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 1, 3))
    copies = net("Mul", net.const(np.ones((1, 1, rows, 1, columns, 1))), apart)
    return net("Reshape", copies, net.ints(1, 4 * rows, 5 * columns, 3))


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 3), (1, 2), (3, 1)])
@pytest.mark.parametrize("upsample", [by_stacking, by_tile, by_expand, by_ones])
def test_repeated_pixels_become_one_resize(
    upsample: Callable[[Net, str, int, int], str], rows: int, columns: int
) -> None:
    net = Net()
    x = net("Relu", net.input(1, 4, 5, 3))
    model = net.model(net("Neg", upsample(net, x, rows, columns)))
    check_rewritten(NearestToResize(), model, tolerance=0)
    assert ops(model) == ["Relu", "Transpose", "Resize", "Transpose", "Neg"]
    (resize,) = [node for node in model.graph if node.op_type == "Resize"]
    scales = graphs.constant(resize.inputs[2])
    assert scales is not None
    assert scales.tolist() == [1, 1, rows, columns]


def test_a_map_that_is_read_half_way_stays() -> None:
    net = Net()
    x = net("Relu", net.input(1, 4, 5, 3))
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 1, 3))
    tiled = net("Tile", apart, net.ints(1, 1, 2, 1, 2, 1))
    model = net.model(net("Neg", net("Reshape", tiled, net.ints(1, 8, 10, 3))), net("Tanh", tiled))
    check_rewritten(NearestToResize(), model, tolerance=0)
    assert ops(model).count("Resize") == ops(model).count("Tile") == 1


def whole_picture_tiled(net: Net, x: str) -> str:
    return net("Tile", x, net.ints(1, 2, 3, 1))


def stacked_in_front(net: Net, x: str) -> str:
    twice = net("Concat", *[net("Unsqueeze", x, net.ints(1))] * 2, axis=1)
    return net("Reshape", twice, net.ints(1, 8, 5, 3))


def shuffled(net: Net, x: str) -> str:
    copies = net("Tile", net("Reshape", x, net.ints(1, 4, 5, 1, 3)), net.ints(1, 1, 1, 2, 1))
    turned = net("Transpose", copies, perm=[0, 1, 3, 2, 4])
    return net("Reshape", turned, net.ints(1, 4, 10, 3))


def two_sources(net: Net, x: str) -> str:
    both = [net("Unsqueeze", value, net.ints(2)) for value in (x, net("Neg", x))]
    return net("Reshape", net("Concat", *both, axis=2), net.ints(1, 8, 5, 3))


def by_twos(net: Net, x: str) -> str:
    apart = net("Reshape", x, net.ints(1, 4, 1, 5, 3))
    return net("Reshape", net("Mul", apart, net.const(np.full((1, 1, 2, 1, 1), 2))), net.ints(1, 8, 5, 3))


def repeated_channels(net: Net, x: str) -> str:
    copies = net("Tile", net("Reshape", x, net.ints(1, 4, 5, 3, 1)), net.ints(1, 1, 1, 1, 2))
    return net("Reshape", copies, net.ints(1, 4, 5, 6))


@pytest.mark.parametrize(
    "build", [whole_picture_tiled, stacked_in_front, shuffled, two_sources, by_twos, repeated_channels]
)
def test_copies_in_another_order_are_no_upsampling(build: Callable[[Net, str], str]) -> None:
    net = Net()
    x = net("Relu", net.input(1, 4, 5, 3))
    check_unchanged(NearestToResize(), net.model(net("Neg", build(net, x))))
