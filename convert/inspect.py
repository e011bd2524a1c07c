"""Describe a SavedModel or an ONNX file, and what a build would do with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from convert import families, source
from convert import model as tensorflow_model
from convert.conversion import planned
from convert.errors import ConvertError
from convert.options import ModelOptions
from convert.plan import Plan
from convert.result import Fact
from edge import contract
from edge.errors import ContractError


def inspect(path: Path, options: ModelOptions) -> list[Fact]:
    """Facts about a SavedModel or an ONNX file, in the order to show them. Raises ConvertError."""
    if path.is_file() and source.kind(path) == "onnx":
        return _onnx(path)
    return _saved_model(path, options)


def metadata_of(data: bytes) -> dict[str, str]:
    """The metadata of an ONNX file. Raises ConvertError when it cannot be read."""
    return {entry.key: entry.value for entry in _parse(data, "the file").metadata_props}


def _parse(data: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ConvertError(f"{name} is not an ONNX file, or is damaged ({error}); get it again") from error
    if not model.graph.node:
        raise ConvertError(f"{name} is not an ONNX file, or is empty; get it again")
    return model


def _onnx(path: Path) -> list[Fact]:
    model = _parse(path.read_bytes(), str(path))
    operators = Counter(node.op_type for node in model.graph.node)
    counted = ", ".join(f"{count} {operator}" for operator, count in operators.most_common())
    facts = [
        Fact("kind", "ONNX file"),
        Fact("made by", f"{model.producer_name or 'unknown'} {model.producer_version}".strip()),
        Fact("opset", ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)),
        *(Fact("input", _tensor(value)) for value in model.graph.input),
        *(Fact("output", _tensor(value)) for value in model.graph.output),
        Fact("nodes", f"{len(model.graph.node)}: {counted}"),
    ]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        contract.from_metadata(metadata)
    except ContractError as error:
        return [*facts, Fact("detector", f"no: {error}")]
    in_contract = [Fact(key.removeprefix(contract.PREFIX), value) for key, value in metadata.items()]
    return [*facts, Fact("detector", f"yes, contract version {contract.VERSION}"), *in_contract]


def _tensor(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    sides = ", ".join(side.dim_param or str(side.dim_value or "?") for side in kind.shape.dim)
    return f"{value.name}: {onnx.TensorProto.DataType.Name(kind.elem_type).lower()} [{sides}]"


def _canvas(plan: Plan) -> str:
    rule = plan.preprocessing
    return f"any multiple of {rule.multiple} pixels" if plan.free_sides else f"{rule.width}x{rule.height}"


def _saved_model(path: Path, options: ModelOptions) -> list[Fact]:
    with source.open_source(path) as opened:
        model = tensorflow_model.load(opened.folder, options.signature)
        labels = ", ".join(f"{i} {name}" for i, name in sorted(opened.labels.items()))
        facts = [
            Fact("kind", "TensorFlow SavedModel"),
            Fact("name", opened.name),
            Fact("sha256", opened.sha256),
            Fact("saved with", f"TensorFlow {model.tensorflow}"),
            Fact("signature", model.signature),
            Fact("input", str(model.input)),
            *(Fact("output", str(tensor)) for tensor in model.outputs),
            Fact("nodes", f"{len(model.graph.node)} after freezing"),
            Fact("labels", labels or "no label map"),
            Fact("family", families.recognise(model)),
        ]
        try:
            plan = planned(model, opened.labels, options)[2]
        except ConvertError as error:
            return [*facts, Fact("conversion", f"not as it is: {error}")]
        return [
            *facts,
            *(Fact("because", reason) for reason in plan.reasons),
            Fact("cut", f"between {plan.start} and {', '.join(tensor.name for tensor in plan.outputs)}"),
            Fact("canvas", _canvas(plan)),
            Fact("suppression", f"on the host, at IoU {plan.nms_iou}"),
        ]
