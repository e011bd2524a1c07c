"""Weighted sums of maps become scaled additions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert.passes.weighted_sum import ScaleAndAdd
from tests.convert.nets import Net, check_rewritten, check_unchanged, ops, random


def weighted_sum(
    net: Net, maps: Sequence[str], weights: str, *, axis: int = -1, stack: int | None = None
) -> str:
    stacked = [net("Unsqueeze", value, net.ints(axis)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=axis if stack is None else stack), weights)
    return net("Squeeze", product, net.ints(axis))


@pytest.mark.parametrize("axis", [-1, 4])
@pytest.mark.parametrize("count", [2, 3])
def test_a_weighted_sum_of_maps_needs_no_product_of_matrices(count: int, axis: int) -> None:
    net = Net()
    maps = [net.input(1, 4, 5, 3, name=f"x{place}") for place in range(count)]
    total = weighted_sum(net, maps, net.const(random(count, 1)), axis=axis)
    model = net.model(net("Relu", total))
    check_rewritten(ScaleAndAdd(), model)
    assert ops(model) == ["Mul", *["Mul", "Add"] * (count - 1), "Relu"]


def test_every_reader_of_a_weighted_sum_gets_it() -> None:
    net = Net()
    maps = [net.input(2, 3, name=f"x{place}") for place in range(2)]
    stacked = [net("Unsqueeze", value, net.ints(-1)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=-1), net.const(random(2, 1)))
    squeezed = [net("Squeeze", product, net.ints(axis)) for axis in (2, -1)]
    model = net.model(net("Relu", squeezed[0]), net("Neg", squeezed[1]))
    check_rewritten(ScaleAndAdd(), model)
    assert "MatMul" not in ops(model)


def weights_from_the_graph(net: Net, maps: list[str]) -> str:
    return weighted_sum(net, maps, net.input(2, 1, name="weights"))


def maps_one_behind_the_other(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(2)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=1), net.const(random(1, 1)))
    return net("Squeeze", product, net.ints(2))


def two_columns_of_weights(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(-1)) for value in maps]
    return net("MatMul", net("Concat", *stacked, axis=-1), net.const(random(2, 2)))


def weighted_rows(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(1)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=1), net.const(random(3, 1)))
    return net("Squeeze", product, net.ints(-1))


def product_without_squeeze(net: Net, maps: list[str]) -> str:
    stacked = [net("Unsqueeze", value, net.ints(-1)) for value in maps]
    product = net("MatMul", net("Concat", *stacked, axis=-1), net.const(random(2, 1)))
    return net(
        "Add", net("Relu", product), net("Unsqueeze", net("Squeeze", product, net.ints(-1)), net.ints(-1))
    )


@pytest.mark.parametrize(
    "build",
    [
        weights_from_the_graph,
        maps_one_behind_the_other,
        two_columns_of_weights,
        weighted_rows,
        product_without_squeeze,
    ],
)
def test_another_product_of_matrices_stays(build: Callable[[Net, list[str]], str]) -> None:
    net = Net()
    maps = [net.input(2, 3, name=f"x{place}") for place in range(2)]
    check_unchanged(ScaleAndAdd(), net.model(build(net, maps)))
