"""Inner convolutions compute in eight bits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert import graphs
from convert.passes.quantize import quantize
from tests.convert.nets import compute, ops
from tests.convert.small_detector import check_contract, check_near, optimized, pictures


def test_inner_convolutions_are_quantized() -> None:
    model = optimized()
    wanted = [compute(model, picture[None]) for picture in pictures(3)]
    quantized, notes = quantize(model, list(pictures(8)))
    check_contract(quantized)
    for picture, outputs in zip(pictures(3), wanted, strict=True):
        check_near(compute(quantized, picture[None]), outputs, pixels=0.5, score=0.05)
    convolutions = [node for node in quantized.graph if node.op_type == "Conv"]
    by_bytes = []
    for node in convolutions:
        producers = [value.producer() for value in node.inputs[:2] if value is not None]
        by_bytes.append([p is not None and p.op_type == "DequantizeLinear" for p in producers])
    # First, depthwise, two inner ones, and the two heads.
    assert sorted(map(all, by_bytes)) == [False] * 4 + [True] * 2
    assert [all(both) for both in by_bytes[:2]] == [False, False]
    assert all(any(both) == all(both) or not both[1] for both in by_bytes)
    assert all(kind in " ".join(notes) for kind in ("first", "last", "depthwise"))
    assert "QuantizeLinear" in ops(quantized)
    stored = [node.inputs[0] for node in quantized.graph if node.op_type == "DequantizeLinear"]
    weights = [graphs.constant(value) for value in stored]
    eight_bits = [w for w in weights if w is not None and w.dtype == np.int8]
    assert len(eight_bits) >= 2
    for weight in eight_bits:
        # Two products of 8-bit activations must fit into 16 bits, where processors without VNNI add them.
        assert np.abs(weight.astype(int)).max() * 255 * 2 < 2**15
