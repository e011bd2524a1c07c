"""Transposes sink and cancel, and no number changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.passes.layout import SinkTransposes
from tests.convert.nets import (
    NCHW,
    NHWC,
    Net,
    check_rewritten,
    check_unchanged,
    compute,
    feeds_for,
    ops,
    random,
)


def test_a_block_of_tensorflow_needs_no_transpose() -> None:
    net = Net()
    x = net.input(1, 3, 6, 5)
    weights = [net.const(random(4, inputs, 3, 3, seed=inputs)) for inputs in (3, 4)]
    last = net("Transpose", net("Conv", x, weights[0]), perm=NHWC)
    last = net("Add", last, net.const(random(4)))
    last = net("Mul", last, net("Sigmoid", last))
    factors = net("Sigmoid", net("ReduceMean", last, net.ints(1, 2), keepdims=1))
    last = net("Pad", net("Mul", last, factors), net.ints(0, 1, 2, 0, 0, 1, 0, 0))
    last = net("Concat", net("Relu", last), net("Neg", last), axis=3)
    shrink = net.const(random(4, 8, 1, 1))
    last = net("Conv", net("Conv", net("Transpose", last, perm=NCHW), shrink), weights[1])
    model = net.model(last)
    check_rewritten(SinkTransposes(), model)
    assert "Transpose" not in ops(model)


def test_a_transpose_that_only_moves_further_is_a_change() -> None:
    net = Net()
    model = net.model(net("Relu", net("Transpose", net.input(1, 3, 6, 5), perm=NHWC)))
    check_rewritten(SinkTransposes(), model)
    assert ops(model) == ["Relu", "Transpose"]


def test_a_transpose_that_moves_nothing_is_a_reshape() -> None:
    net = Net()
    x = net("Relu", net.input(1, 3, 1, 1))
    model = net.model(net("Softmax", net("Transpose", x, perm=NHWC), axis=3))
    check_rewritten(SinkTransposes(), model)
    assert ops(model) == ["Relu", "Reshape", "Softmax"]


def test_two_transposes_become_one() -> None:
    net = Net()
    x = net("Relu", net.input(2, 3, 6, 5))
    turned = net("Transpose", net("Transpose", x, perm=NHWC), perm=[1, 0, 2, 3])
    model = net.model(net("Softmax", turned))
    check_rewritten(SinkTransposes(), model)
    assert ops(model) == ["Relu", "Transpose", "Softmax"]


def needed_before_softmax(net: Net, x: str) -> str:
    return net("Softmax", net("Transpose", x, perm=NHWC), axis=-1)


def needed_before_reshape(net: Net, x: str) -> str:
    return net("Reshape", net("Transpose", x, perm=NHWC), net.ints(1, -1, 3))


def two_layouts(net: Net, x: str) -> str:
    second = net.input(1, 6, 5, 3, name="second")
    return net("Add", net("Transpose", x, perm=NHWC), second)


def two_permutations(net: Net, x: str) -> str:
    second = net.input(1, 6, 3, 5, name="second")
    return net("Add", net("Transpose", x, perm=NHWC), net("Transpose", second, perm=[0, 1, 3, 2]))


def order_of_what_is_left(net: Net, x: str) -> str:
    return net("ReduceMean", net("Transpose", x, perm=NHWC), net.ints(1), keepdims=0)


@pytest.mark.parametrize(
    "build",
    [needed_before_softmax, needed_before_reshape, two_layouts, two_permutations, order_of_what_is_left],
)
def test_a_transpose_that_is_needed_stays(build: Callable[[Net, str], str]) -> None:
    net = Net()
    x = net("Exp", net.input(1, 3, 6, 5))
    model = net.model(build(net, x))
    check_unchanged(SinkTransposes(), model)
    assert "Transpose" in ops(model)


def test_shapes_must_be_known_to_sink_transposes() -> None:
    net = Net()
    model = net.model(net("Transpose", net.input(1, 3, "height", 5), perm=NHWC))
    with pytest.raises(ir.passes.PreconditionError, match="no static shape"):
        SinkTransposes()(model)


@st.composite
def layouts(draw: st.DrawFn) -> ir.Model:
    """A random chain of what SinkTransposes knows, with a few branches."""
    net = Net()
    shape: tuple[int, ...] = draw(st.sampled_from([(1, 3, 4, 2), (2, 3, 3, 2), (1, 4, 1, 3), (1, 1, 1, 3)]))
    last = net("Mul", net.input(*shape), net.const(1.5))
    axes = st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)
    perms = st.sampled_from([NCHW, NHWC]) | st.permutations(range(4))
    outputs = []

    def turn(value: str, perm: Sequence[int]) -> str:
        return net("Transpose", value, perm=perm)

    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.integers(0, 10))
        perm = draw(perms)
        turned = tuple(shape[axis] for axis in perm)
        if kind <= 1:
            last, shape = turn(last, perm), turned
        elif kind == 2:
            last = net(draw(st.sampled_from(["Relu", "Sigmoid", "Neg"])), last)
        elif kind == 3:
            sides = [side if draw(st.booleans()) else 1 for side in shape][draw(st.integers(0, 4)) :]
            pair = [last, net.const(random(*sides, seed=1))]
            last = net(
                draw(st.sampled_from(["Add", "Mul", "Sub"])), *(pair if draw(st.booleans()) else pair[::-1])
            )
        elif kind == 4:  # two branches, mostly in the same layout
            other = draw(perms)
            if tuple(shape[axis] for axis in other) != turned:
                other = perm
            last = net("Add", turn(net("Relu", last), perm), net("Sigmoid", turn(last, other)))
            shape = turned
        elif kind == 5:
            axis = draw(st.integers(-4, 3))
            last = net("Concat", turn(last, perm), turn(net("Relu", last), perm), axis=axis)
            shape = tuple(s * (2 if place == axis % 4 else 1) for place, s in enumerate(turned))
        elif kind == 6:
            pads = draw(st.lists(st.integers(0, 1), min_size=8, max_size=8))
            value = [net.const(draw(st.sampled_from([0.0, 2.0])))] if draw(st.booleans()) else []
            last = net("Pad", last, net.ints(*pads), *value)
            shape = tuple(s + pads[place] + pads[place + 4] for place, s in enumerate(shape))
        elif kind == 7:
            chosen = draw(axes)
            keep = draw(st.booleans())
            signed = [axis - 4 if draw(st.booleans()) else axis for axis in chosen]
            last = net("ReduceMean", last, net.ints(*signed), keepdims=int(keep))
            shape = tuple(1 if place in chosen else s for place, s in enumerate(shape))
            if not keep and draw(st.booleans()):
                last = net("Unsqueeze", last, net.ints(*sorted(chosen)))
            elif not keep:
                last = net("Reshape", last, net.ints(*shape))
        elif kind == 8:  # squeeze and excitation
            mean = net("ReduceMean", last, net.ints(*draw(axes)), keepdims=1)
            last = net("Mul", last, net("Sigmoid", mean))
        elif kind == 9:
            last, shape = net("Reshape", last, net.ints(*turned)), turned
        else:
            outputs.append(net("Tanh", last))
    return net.model(*outputs, net("Tanh", last))


@given(layouts())
def test_sinking_transposes_changes_no_number(model: ir.Model) -> None:
    feeds = feeds_for(model)
    wanted = compute(model, *feeds)
    SinkTransposes()(model)
    for found, array in zip(compute(model, *feeds), wanted, strict=True):
        np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-5)
    check_unchanged(SinkTransposes(), model)
