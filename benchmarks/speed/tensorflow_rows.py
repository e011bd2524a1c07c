"""Rows of the SavedModel itself, and of tf2onnx's plain conversion of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.speed.rows import MIN_SCORE, Row, bench_picture, count_nodes
from convert import families, reference
from convert.graphs import Array
from convert.model import Model, Probe
from convert.options import from_record
from convert.plan import GENERIC, Plan
from edge.detection.detector import Detector
from edge.frames import Pixels

OPSET = 18
PLAIN_SECONDS = 900
MODEL_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@dataclass(frozen=True, kw_only=True)
class _PlainModel(Model):
    """A model whose signature runs in ONNX Runtime."""

    session: Any

    def call(self, picture: Array) -> dict[str, Array]:
        given = {self.session.get_inputs()[0].name: picture}
        return dict(zip(self.keys(), self.session.run(None, given), strict=True))

    def keys(self) -> list[str]:
        """The outputs' keys, whichever way tf2onnx named its outputs."""
        known = {tensor.name: tensor.key for tensor in self.outputs}
        return [known.get(output.name, output.name) for output in self.session.get_outputs()]


def prepare_tensorflow(threads: int) -> None:
    """Fix TensorFlow's threads. It makes its pools once per process, with the first operation."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        set_to = (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        )
        if set_to != (threads, threads):
            raise common.give_up(
                f"TensorFlow runs in this process already, with {set_to} threads instead of {threads}"
            ) from None
    # The sessions that the conversion opens would otherwise make the pools, with threads of their own.
    tf.linalg.matmul(tf.ones((8, 8)), tf.ones((8, 8))).numpy()


def signature_row(name: str, model: Model, plan: Plan | None, picture: Pixels) -> Row:
    """``model``'s signature as a row; ``plan`` is that of a generic model."""
    rgb = np.ascontiguousarray(picture[..., ::-1])

    def whole() -> int:
        return int((model.call(rgb[None])["detection_scores"][0] >= MIN_SCORE).sum())

    def around() -> int:
        assert plan is not None
        return int((reference.detect_picture(model, plan, rgb)[1] >= MIN_SCORE).sum())

    return Row(name, whole if plan is None else around, nodes=len(model.graph.node))


def xla_row(model: Model, picture: Pixels) -> Row:
    """The SavedModel's signature compiled by XLA for this size of picture, or why that does not work."""
    import tensorflow as tf

    rgb = tf.constant(np.ascontiguousarray(picture[None, ..., ::-1]))
    compiled = tf.function(lambda x: model.function(**{model.input.key: x}), jit_compile=True)

    def run() -> int:
        return int((compiled(rgb)["detection_scores"].numpy()[0] >= MIN_SCORE).sum())

    # What XLA cannot compile raises any of TensorFlow's errors, and some of Python's.
    try:
        run()
    except Exception as error:
        # Before this, names and numbers that differ from run to run.
        text = _one_line(error).rpartition(" on XLA_CPU_JIT: ")[2]
        return Row("tf-xla", None, error=f"{type(error).__name__}: {text}")
    return Row("tf-xla", run)


def convert_plain(model: Model, plan: Plan | None, folder: Path, draft: Path) -> tuple[Path | None, str]:
    """The whole model as converted by tf2onnx: the file and how it was made, or None and why not.

    First the frozen graph that this project works on, with the outputs that locate faces; where that is
    refused, tf2onnx's own command line on the SavedModel, as its users would call it.
    """
    keys = MODEL_OUTPUTS if plan is None else tuple(tensor.key for tensor in model.outputs)
    errors: list[str] = []
    ways: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("tf2onnx.convert.from_graph_def of the frozen graph", lambda: _from_frozen(model, keys)),
        ("python -m tf2onnx.convert --saved-model", lambda: _from_command(model, folder, draft)),
    )
    for way, convert in ways:
        # Neither tf2onnx nor ONNX Runtime has a common base for its errors: a refusal is a result here.
        try:
            data = convert()
            row = _plain_row(data, model, plan, bench_picture(), 1)
            assert row.run is not None
            row.run()
        except Exception as error:
            errors.append(f"{way}: {type(error).__name__}: {_one_line(error)}")
            continue
        file = draft / "plain.onnx"
        file.write_bytes(data)
        return file, "; ".join([way, *(f"refused: {text}" for text in errors)])
    return None, "; ".join(errors)


def plain_row(
    file: Path | None, note: str, model: Model, plan: Plan | None, picture: Pixels, threads: int
) -> Row:
    """The result of ``convert_plain`` as a row."""
    if file is None:
        return Row("plain-tf2onnx", None, error=note)
    return dataclasses.replace(_plain_row(file.read_bytes(), model, plan, picture, threads), note=note)


def _plain_row(data: bytes, model: Model, plan: Plan | None, picture: Pixels, threads: int) -> Row:
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(Model)}
    plain = _PlainModel(**fields, session=_open(data, threads))
    row = signature_row("plain-tf2onnx", plain, plan, picture)
    return dataclasses.replace(row, nodes=count_nodes(data), bytes=len(data))


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else "no message")[:300]


def _from_frozen(model: Model, keys: Iterable[str]) -> bytes:
    import tf2onnx

    # What it refuses is in the result; its log repeats that with a stack for every node.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    names = [tensor.name for tensor in map(model.output, keys) if tensor is not None]
    proto, _ = tf2onnx.convert.from_graph_def(
        model.graph, input_names=[model.input.name], output_names=names, opset=OPSET
    )
    return bytes(proto.SerializeToString())


def _from_command(model: Model, folder: Path, draft: Path) -> bytes:
    file = draft / "plain.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(folder), "--output", str(file)]
    command += ["--opset", str(OPSET), "--tag", "serve", "--signature_def", model.signature]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PLAIN_SECONDS, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"exit code {done.returncode}")
    return file.read_bytes()


def _open(data: bytes, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def plan_of(model: Model, names: dict[int, str], detector: Detector, anchors: Path | None) -> Plan | None:
    """How a generic model is fed and read: as the detector made from it records; None for other models."""
    if families.recognise(model) != GENERIC:
        return None
    options = from_record(json.loads(detector.session.contract.tools).get("options", {}), anchors)
    return families.make_plan(model, Probe(model.graph), names, options)
