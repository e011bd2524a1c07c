"""Padding, factors and normalisation go into convolutions; pictures are ``[1, 3, 6, 5]``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.passes.fuse import FuseConvolutions
from tests.convert.nets import (
    Net,
    check_rewritten,
    check_unchanged,
    convolution,
    normalised,
    ops,
    random,
    wiring,
)


def conv_and_normalisation(net: Net, x: str) -> str:
    return normalised(net, net("Conv", x, net.const(random(4, 3, 3, 3)), strides=[2, 2], pads=[1] * 4), 4)


def depthwise_and_normalisation(net: Net, x: str) -> str:
    return normalised(net, net("Conv", x, net.const(random(6, 1, 3, 3)), group=3, pads=[0, 0, 1, 1]), 6)


def a_shared_weight(net: Net, x: str) -> str:
    weights, bias = net.const(random(4, 3, 3, 3)), net.const(random(4, seed=1))
    levels = [normalised(net, net("Conv", x, weights, bias), 4, seed) for seed in (1, 2)]
    return net("Concat", *levels, axis=1)


def bias_factor_and_shift(net: Net, x: str) -> str:
    conv = net("Conv", x, net.const(random(4, 3, 3, 3)), net.const(random(4, seed=1)))
    scaled = net("Mul", net.const(random(4, 1, 1, seed=2)), conv)
    shifted = net("Sub", net("Add", scaled, net.const(random(1, 4, 1, 1, seed=3))), net.const(0.5))
    return normalised(net, shifted, 4)


def padding(net: Net, x: str) -> str:
    padded = net("Pad", x, net.ints(0, 0, 1, 0, 0, 0, 2, 1), net.const(0.0))
    return net("Conv", padded, net.const(random(4, 3, 3, 3)), pads=[0, 1, 0, 1], strides=[2, 1])


def factor_in_front(net: Net, x: str) -> str:
    scaled = net("Mul", x, net.const(random(3, 1, 1, seed=2)))
    return net("Conv", scaled, net.const(random(4, 3, 3, 3)), net.const(random(4)), pads=[1] * 4)


@pytest.mark.parametrize(
    ("build", "convolutions"),
    [
        (conv_and_normalisation, 1),
        (depthwise_and_normalisation, 1),
        (a_shared_weight, 2),
        (bias_factor_and_shift, 1),
        (padding, 1),
        (factor_in_front, 1),
    ],
)
def test_what_surrounds_a_convolution_goes_into_it(
    build: Callable[[Net, str], str], convolutions: int
) -> None:
    net = Net()
    model = net.model(net("Relu", build(net, net("Neg", net.input(1, 3, 6, 5)))))
    check_rewritten(FuseConvolutions(), model)
    inner = [op for op in ops(model) if op not in ("Neg", "Relu", "Concat")]
    assert inner == ["Conv"] * convolutions


def read_twice(net: Net, x: str) -> str:
    conv = convolution(net, x)
    return net("Add", normalised(net, conv, 3), net("Relu", conv))


def weights_that_are_no_constant(net: Net, x: str) -> str:
    conv = net("Conv", x, net.input(3, 3, 3, 3, name="weights"))
    return net("Mul", conv, net.const(random(3, 1, 1)))


def shift_per_pixel(net: Net, x: str) -> str:
    return net("Add", convolution(net, x), net.const(random(1, 1, 6, 5)))


def shift_per_column(net: Net, x: str) -> str:
    return net("Add", convolution(net, x), net.const(random(5)))


def subtracted_from(net: Net, x: str) -> str:
    return net("Sub", net.const(random(3, 1, 1)), convolution(net, x))


def factor_per_picture_row(net: Net, x: str) -> str:
    return convolution(net, net("Mul", x, net.const(random(6, 1))))


def factor_before_groups(net: Net, x: str) -> str:
    scaled = net("Mul", x, net.const(random(3, 1, 1)))
    return net("Conv", scaled, net.const(random(3, 1, 3, 3)), group=3)


def factor_that_makes_channels(net: Net, x: str) -> str:
    one = net("ReduceMean", x, net.ints(1), keepdims=1)
    return convolution(net, net("Mul", one, net.const(random(3, 1, 1))))


def padding_with_ones(net: Net, x: str) -> str:
    return convolution(net, net("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 1, 1), net.const(1.0)))


def padded_channels(net: Net, x: str) -> str:
    padded = net("Pad", x, net.ints(0, 1, 0, 0, 0, 0, 0, 0))
    return net("Conv", padded, net.const(random(2, 4, 3, 3)))


def reflected_padding(net: Net, x: str) -> str:
    return convolution(net, net("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"))


@pytest.mark.parametrize(
    "build",
    [
        read_twice,
        weights_that_are_no_constant,
        shift_per_pixel,
        shift_per_column,
        subtracted_from,
        factor_per_picture_row,
        factor_before_groups,
        factor_that_makes_channels,
        padding_with_ones,
        padded_channels,
        reflected_padding,
    ],
)
def test_what_is_no_part_of_a_convolution_stays(build: Callable[[Net, str], str]) -> None:
    net = Net()
    check_unchanged(FuseConvolutions(), net.model(net("Relu", build(net, net("Neg", net.input(1, 3, 6, 5))))))


def test_a_convolution_that_is_an_output_itself_stays() -> None:
    net = Net()
    conv = convolution(net, net.input(1, 3, 6, 5))
    check_unchanged(FuseConvolutions(), net.model(conv, normalised(net, conv, 3)))


def test_a_factor_that_others_read_as_well_is_still_a_change() -> None:
    net = Net()
    scaled = net("Mul", net.input(1, 3, 6, 5), net.const(random(3, 1, 1)))
    model = net.model(convolution(net, scaled), net("Relu", scaled))
    before = wiring(model)
    result = FuseConvolutions()(model)
    assert result.modified == (wiring(model) != before)


def test_a_normalisation_that_cannot_be_fused_is_reported() -> None:
    net = Net()
    conv = net("Conv", net.input(1, 3, 6, 5), net.input(3, 3, 3, 3, name="weights"))
    with pytest.raises(ir.passes.PostconditionError, match="batch normalisation"):
        FuseConvolutions()(net.model(normalised(net, conv, 3)))
