"""What does not depend on the picture is computed once."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import graphs
from convert.passes.constants import FoldConstants
from tests.convert.nets import Net, check_rewritten, check_unchanged, ops, random


def test_what_does_not_depend_on_the_picture_is_computed() -> None:
    net = Net()
    x = net.input(1, 4, 6)
    top, bottom = net.many("Split", [net.const(random(4, 6)), net.ints(2, 2)], 2, axis=0)
    table = net("Add", net("Mul", net.const(random(1, 4, 6, seed=1)), net.const(3.0)), net.const(1.0))
    sides = net("Shape", x)
    rows = net("Gather", sides, net.ints(1))
    flat = net("Reshape", net("Add", x, table), net("Concat", rows, net.ints(-1), axis=0))
    added = net("Add", flat, net("Concat", bottom, top, axis=0))
    twice = net("Add", net("Relu", added), net("Relu", added))
    net("Sigmoid", added)  # nobody reads it
    model = net.model(net("Identity", twice), net("Tanh", flat))
    check_rewritten(FoldConstants(), model)
    assert sorted(ops(model)) == ["Add", "Add", "Add", "Relu", "Reshape", "Tanh"]
    assert all(graphs.shape_of(value) is not None for node in model.graph for value in node.outputs)


def test_a_graph_of_the_picture_alone_is_not_folded() -> None:
    net = Net()
    x = net.input(2, 3)
    model = net.model(net("Mul", net("Add", x, net.const(random(3))), net("Relu", x)))
    check_unchanged(FoldConstants(), model)
