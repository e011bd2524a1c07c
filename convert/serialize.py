"""A rewritten graph and its contract as the bytes of a detector file."""

from __future__ import annotations

import json
from importlib import metadata

import onnx
import onnx_ir as ir
from onnx import helper

import edge
from convert import model as tensorflow_model
from convert.conversion import Conversion
from edge import contract
from edge.contract import Contract

IR_VERSION = 9
"""The version of the file format: the newest that ONNX Runtime 1.19 reads."""
SCORE_BEGIN, SCORE_CONTINUE = 0.3, 0.2


def contract_of(conversion: Conversion, target: str, precision: str) -> Contract:
    """The contract of a detector, without parity figures."""
    plan, preprocessing = conversion.plan, conversion.plan.preprocessing
    tools = {
        "edge-anonymizer": edge.__version__,
        "options": conversion.options.record(),
        "classes": list(plan.classes),
        "tensorflow_of_source": conversion.model.tensorflow,
        "tensorflow": tensorflow_model.tensorflow_version(),
        **{name: metadata.version(name) for name in ("tf2onnx", "onnx", "onnxscript")},
    }
    stated = conversion.source.stated
    reason = "a default that favours recall; not measured on labelled pictures"
    if stated.score_begin is not None:
        reason = stated.score_reason or "stated by the source"
    return Contract(
        contract_version=contract.VERSION,
        name=conversion.source.name,
        family=plan.family,
        source_sha256=conversion.source.sha256,
        licence=stated.licence or "that of the source",
        letterbox=preprocessing.letterbox,
        letterbox_multiple=preprocessing.multiple,
        letterbox_short_side=preprocessing.short_side,
        letterbox_rgb=",".join(str(part) for part in preprocessing.padding),
        interpolation=preprocessing.interpolation,
        labels=", ".join(plan.labels),
        normalisation=preprocessing.text(),
        score_begin=stated.score_begin or SCORE_BEGIN,
        score_continue=stated.score_continue or SCORE_CONTINUE,
        score_last_look=stated.score_last_look or SCORE_BEGIN,
        score_reason=reason,
        nms_iou=stated.nms_iou or plan.nms_iou,
        smallest_face=stated.smallest_face or 0,
        precision=precision,
        target=target,
        tools=json.dumps(tools, sort_keys=True),
        parity="{}",
    )


def to_bytes(graph: ir.Model, detector_contract: Contract) -> bytes:
    """The checked ONNX file, without the names and notes that the passes left in it."""
    proto = ir.to_proto(graph)
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "edge-convert", edge.__version__
    proto.graph.name, proto.graph.doc_string = detector_contract.name, ""
    del proto.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    helper.set_model_props(proto, detector_contract.to_metadata())
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
