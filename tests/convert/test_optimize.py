"""All passes together keep the numbers of a small detector."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")
import onnx_ir as ir

from convert.errors import ConvertError
from convert.optimize import optimize
from convert.passes.select import Head
from tests.convert.heads import check_selected
from tests.convert.nets import Net, compute, ops
from tests.convert.small_detector import SIDE, check_contract, export, pictures


@pytest.mark.parametrize("cast_first", [False, True])
def test_all_passes_together_keep_the_detector(cast_first: bool) -> None:
    exported = export()
    scale, offset = (1 / 127.5, 1 / 120, 1 / 100), (-1.0, -0.5, 0.25)
    picture = pictures(1)
    boxes, scores = compute(ir.from_proto(exported), (picture * np.array(scale) + offset).astype(np.float32))
    result = optimize(exported, Head((1,), "yxyx", (SIDE, SIDE)), scale, offset, cast_first=cast_first)
    check_contract(result.model)
    check_selected(result.model, [picture], boxes[..., [1, 0, 3, 2]] * SIDE, scores[..., 1])
    nodes = ops(result.model)
    assert "BatchNormalization" not in nodes
    assert nodes.count("Transpose") == 3  # the picture's and the two of the head
    assert any("measured" in note for note in result.notes)
    assert [step.name for step in result.steps if step.modified] != []


def test_a_graph_of_no_known_family_says_so() -> None:
    net = Net()
    image = net.input(1, 8, 4, name="image")
    with pytest.raises(ConvertError, match=r"SelectCandidates: .* no known family"):
        optimize(
            net.proto(net("Neg", image), net("Softmax", net("ReduceMean", image, keepdims=1))),
            Head((0,), "xyxy", (1.0, 1.0)),
            (1.0,) * 3,
            (0.0,) * 3,
        )
