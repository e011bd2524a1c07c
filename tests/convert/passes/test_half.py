"""Half precision inside, the contract outside."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.passes.half import UseHalf
from tests.convert.nets import Net, check_unchanged, compute, convolution, feeds_for, random, wiring
from tests.convert.small_detector import check_contract, check_near, optimized, pictures


def test_half_precision_stops_before_decoding() -> None:
    model = optimized()
    wanted = [compute(model, picture[None]) for picture in pictures(3)]
    rewrite = UseHalf()
    assert rewrite(model).modified
    check_contract(model)
    for picture, outputs in zip(pictures(3), wanted, strict=True):
        check_near(compute(model, picture[None]), outputs, pixels=1e-2, score=1e-2)
    kinds: dict[str, set[ir.DataType | None]] = {}
    for node in model.graph:
        kinds.setdefault(node.op_type, set()).add(node.outputs[0].dtype)
    assert kinds["Conv"] == kinds["Relu"] == kinds["Sigmoid"] == {ir.DataType.FLOAT16}
    for op in ("TopK", "GatherND", "Exp", "Split", "Sub", "Concat"):
        assert kinds[op] == {ir.DataType.FLOAT}, op
    assert "1 TopK" in " ".join(rewrite.notes)


def test_half_precision_is_applied_once() -> None:
    model = optimized()
    UseHalf()(model)
    before = wiring(model)
    result = UseHalf()(model)
    assert wiring(model) == before
    assert not result.modified


def test_the_scales_of_a_resize_stay_fp32() -> None:
    net = Net()
    conv = convolution(net, net.input(1, 3, 6, 5))
    larger = net("Resize", conv, "", net.const([1, 1, 2, 3]), mode="nearest")
    flat = net("Reshape", net("Mul", larger, net.const(random(3, 1, 1))), net.ints(1, -1))
    model = net.model(net.many("TopK", [flat, net.ints(7)], 2, axis=1)[0])
    feeds = feeds_for(model)
    (wanted,) = compute(model, *feeds)
    assert UseHalf()(model).modified
    np.testing.assert_allclose(compute(model, *feeds)[0], wanted, rtol=1e-2)
    (resize,) = [node for node in model.graph if node.op_type == "Resize"]
    assert [value and value.dtype for value in resize.inputs] == [
        ir.DataType.FLOAT16,
        None,
        ir.DataType.FLOAT,
    ]


def test_a_cast_inside_gives_half_precision_as_well() -> None:
    net = Net()
    whole = net(
        "Cast", net("Mul", convolution(net, net.input(1, 3, 6, 5)), net.const(9.0)), to=TensorProto.INT32
    )
    flat = net("Reshape", net("Cast", whole, to=TensorProto.FLOAT), net.ints(1, -1))
    model = net.model(net.many("TopK", [flat, net.ints(7)], 2, axis=1)[0])
    feeds = feeds_for(model)
    (wanted,) = compute(model, *feeds)
    UseHalf()(model)
    np.testing.assert_allclose(compute(model, *feeds)[0], wanted, atol=1)


def test_without_a_convolution_nothing_becomes_half() -> None:
    net = Net()
    x = net("Relu", net.input(1, 8))
    check_unchanged(UseHalf(), net.model(net.many("TopK", [x, net.ints(3)], 2, axis=1)[0]))


def test_weights_that_half_precision_cannot_hold_are_refused() -> None:
    net = Net()
    conv = net("Conv", net.input(1, 3, 6, 5), net.const(np.full((1, 3, 1, 1), -7e4)))
    with pytest.raises(ir.passes.PreconditionError, match="65504"):
        UseHalf()(net.model(conv))


def test_an_output_in_half_precision_is_refused() -> None:
    net = Net()
    with pytest.raises(ir.passes.PostconditionError, match="output"):
        UseHalf()(net.model(convolution(net, net.input(1, 3, 6, 5))))
