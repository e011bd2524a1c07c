"""Tiny detectors that carry their own answers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge import contract
from edge.contract import Contract

GOOD = Contract(
    contract_version=contract.VERSION,
    name="tiny",
    family="test",
    source_sha256="0" * 64,
    licence="Apache-2.0",
    letterbox="pad-right-bottom",
    letterbox_multiple=32,
    letterbox_short_side=0,
    letterbox_rgb="0,0,0",
    interpolation="area",
    labels="face",
    normalisation="none",
    score_begin=0.5,
    score_continue=0.3,
    score_last_look=0.5,
    score_reason="made up",
    nms_iou=0.3,
    smallest_face=14,
    precision="fp32",
    target="any",
    tools="{}",
    parity="{}",
)


def tiny(
    boxes: Any,
    scores: Any,
    *,
    side: int = 64,
    metadata: dict[str, str] | None = None,
    input_type: int = TensorProto.UINT8,
) -> onnx.ModelProto:
    """A detector that returns the same boxes ``[K, 4]`` and scores ``[K]`` for every picture."""
    box = np.asarray(boxes, np.float32)[None]
    score = np.asarray(scores, np.float32)[None]
    nodes = [
        # Both outputs depend on the input, or ONNX Runtime would not ask for it.
        helper.make_node("Cast", [contract.INPUT], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["float"], ["least"], keepdims=0),
        helper.make_node("Mul", ["least", "zero"], ["nothing"]),
        helper.make_node("Add", ["box", "nothing"], [contract.BOXES]),
        helper.make_node("Add", ["score", "nothing"], [contract.SCORES]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(contract.INPUT, input_type, [1, side, side, 3])],
        [
            helper.make_tensor_value_info(contract.BOXES, TensorProto.FLOAT, list(box.shape)),
            helper.make_tensor_value_info(contract.SCORES, TensorProto.FLOAT, list(score.shape)),
        ],
        [
            numpy_helper.from_array(box, "box"),
            numpy_helper.from_array(score, "score"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, GOOD.to_metadata() if metadata is None else metadata)
    return model


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a detector and the hash beside it."""
    data = model.SerializeToString()
    path.write_bytes(data)
    path.with_suffix(".sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")
    return path
