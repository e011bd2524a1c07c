"""SavedModel in, verified detectors out: open, plan, export, rewrite, compare, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from convert import cut, report
from convert.comparison import compare, compare_batches, pictures_for_parity
from convert.conversion import Conversion, prepare
from convert.errors import ConvertError, ParityError
from convert.model import Model
from convert.options import DetectorOptions
from convert.plan import Plan
from convert.publish import open_draft, publish, write_detector, write_report
from convert.request import BuildRequest, Progress, no_progress
from convert.result import BuildResult, BuiltDetector
from convert.rewrite import rewrite
from convert.serialize import contract_of, to_bytes
from convert.source import open_source
from convert.stages import Stages


@dataclass(frozen=True)
class _Job:
    """What the targets of a build share; ``batched`` is the export for ``--batch``, if that is not 1."""

    conversion: Conversion
    options: DetectorOptions
    stages: Stages
    draft: Path
    single: onnx.ModelProto
    batched: onnx.ModelProto | None


def build(request: BuildRequest, progress: Progress = no_progress) -> BuildResult:
    """Convert a SavedModel and publish its detectors and a report.

    Nothing is published unless every target passed. Raises ConvertError; ParityError when a detector does
    not give TensorFlow's boxes.
    """
    options = request.detector
    options.check()
    stages = Stages(progress)
    with contextlib.ExitStack() as opened:
        with stages("read the SavedModel"):
            source = opened.enter_context(open_source(request.saved_model))
        conversion = prepare(source, request.model, stages)
        with stages("export to ONNX"):
            single = export(conversion.model, conversion.plan, 1)
            batched = _export_batch(conversion, options.batch) if options.batch != 1 else None
        draft = request.draft or opened.enter_context(open_draft(request.out))
        job = _Job(conversion, options, stages, draft, single, batched)
        detectors = tuple(_build_one(job, target) for target in dict.fromkeys(options.targets))
        result = BuildResult(detectors, stages.seconds, len(single.graph.node))
        write_report(draft / "report.json", report.as_json(conversion, result))
        write_report(draft / "report.md", report.as_markdown(conversion, result))
        return dataclasses.replace(result, detectors=publish(detectors, draft, request.out))


def export(model: Model, plan: Plan, batch: int) -> onnx.ModelProto:
    """The cut graph as ONNX, for one canvas. Raises ConvertError."""
    canvas = plan.preprocessing
    shape = (batch, canvas.height, canvas.width, 3)
    return cut.export(
        model.graph, plan.start, shape, plan.start_dtype, [tensor.name for tensor in plan.outputs]
    )


def _export_batch(conversion: Conversion, batch: int) -> onnx.ModelProto:
    refusal = (
        f"--batch {batch}: this model was exported for batches of another size, and that size is in its "
        "graph; leave the option out (the box runs the detector on one picture at a time)"
    )
    try:
        exported = export(conversion.model, conversion.plan, batch)
    except ConvertError as error:  # a batch of 1 could be exported
        raise ConvertError(refusal) from error
    sizes = [output.type.tensor_type.shape.dim[0].dim_value for output in exported.graph.output]
    if any(size not in (0, batch) for size in sizes):
        raise ConvertError(refusal)
    return exported


def _build_one(job: _Job, target: str) -> BuiltDetector:
    conversion, options, stages = job.conversion, job.options, job.stages
    preprocessing = conversion.plan.preprocessing
    with stages(f"rewrite it for {target} in {options.precision}"):
        rewritten = rewrite(job.single, conversion, options, target)
    path = job.draft / f"{conversion.source.name}-{target}-{options.precision}.onnx"
    unmeasured = contract_of(conversion, target, options.precision)
    single = to_bytes(rewritten.model, unmeasured)
    write_detector(path, single)
    with stages(f"compare {target} with TensorFlow"):
        pictures = pictures_for_parity(options.calibration, preprocessing.width, preprocessing.height)
        parity = compare(path, conversion, pictures, options.precision)
    if not parity:
        raise ParityError(
            f"{path.name} is not published: it does not give TensorFlow's boxes ({parity.text()})\n"
            + "\n".join(parity.failures()[:20])
        )
    if job.batched is not None:
        with stages(f"rewrite it for {target} in batches"):
            rewritten = rewrite(job.batched, conversion, options, target)
            compare_batches(single, to_bytes(rewritten.model, unmeasured), preprocessing)
    measured = dataclasses.replace(unmeasured, parity=json.dumps(parity.figures(), sort_keys=True))
    sha256 = write_detector(path, to_bytes(rewritten.model, measured))
    operators = dict(Counter(node.op_type for node in rewritten.model.graph))
    return BuiltDetector(
        path, target, options.precision, sha256, rewritten.steps, operators, rewritten.notes, parity
    )
