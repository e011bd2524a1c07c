"""What a file or folder is, and what a conversion would do with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from convert import families, source
from convert import model as tensorflow_model
from convert.errors import ConvertError
from convert.model import Probe
from convert.options import ModelOptions
from edge import contract
from edge.errors import ContractError

Lines = list[tuple[str, str]]


def inspect(path: Path, options: ModelOptions) -> Lines:
    """Facts about a SavedModel or an ONNX file, as pairs of a name and a text. Raises ConvertError."""
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
        raise ConvertError(f"{name} is no ONNX file, or a damaged one ({error}); get it again") from error
    if not model.graph.node:
        raise ConvertError(f"{name} is no ONNX file, or an empty one; get it again")
    return model


def _onnx(path: Path) -> Lines:
    model = _parse(path.read_bytes(), str(path))
    operators = Counter(node.op_type for node in model.graph.node)
    lines = [
        ("kind", "ONNX file"),
        ("made by", f"{model.producer_name or 'unknown'} {model.producer_version}".strip()),
        ("opset", ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)),
        *(("input", _tensor(value)) for value in model.graph.input),
        *(("output", _tensor(value)) for value in model.graph.output),
        ("nodes", f"{len(model.graph.node)}: " + ", ".join(f"{n} {op}" for op, n in operators.most_common())),
    ]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    try:
        contract.from_metadata(metadata)
    except ContractError as error:
        return [*lines, ("detector", f"no: {error}")]
    own = [(key.removeprefix(contract.PREFIX), value) for key, value in metadata.items()]
    return [*lines, ("detector", f"yes, contract version {contract.VERSION}"), *own]


def _tensor(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    sides = ", ".join(side.dim_param or str(side.dim_value or "?") for side in kind.shape.dim)
    return f"{value.name}: {onnx.TensorProto.DataType.Name(kind.elem_type).lower()} [{sides}]"


def _saved_model(path: Path, options: ModelOptions) -> Lines:
    with source.open_source(path) as opened:
        model = tensorflow_model.load(opened.folder)
        lines = [
            ("kind", "TensorFlow SavedModel"),
            ("name", opened.name),
            ("sha256", opened.sha256),
            ("saved with", f"TensorFlow {model.tensorflow}"),
            ("signature", model.signature),
            ("input", str(model.input)),
            *(("output", str(tensor)) for tensor in model.outputs),
            ("nodes", f"{len(model.graph.node)} after freezing"),
            (
                "labels",
                ", ".join(f"{i} {name}" for i, name in sorted(opened.labels.items())) or "no label map",
            ),
            ("family", families.recognise(model)),
        ]
        try:
            plan = families.make_plan(model, Probe(model.graph), opened.labels, options)
        except ConvertError as error:
            return [*lines, ("conversion", f"not as it is: {error}")]
        return [
            *lines,
            *(("because", reason) for reason in plan.reasons),
            ("cut", f"between {plan.start} and {plan.boxes.name}, {plan.scores.name}"),
            ("suppression", f"on the host, at IoU {plan.nms_iou}"),
        ]
