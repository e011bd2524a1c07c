"""SavedModel in, verified detectors out: open, plan, export, rewrite, compare, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from convert import cut, report
from convert.answers import Answers
from convert.comparison import answers_of, compare, compare_batches
from convert.conversion import Conversion, prepare
from convert.errors import ConvertError, ParityError
from convert.model import Model
from convert.options import DetectorOptions
from convert.parity import Parity
from convert.plan import Plan
from convert.publish import open_draft, publish, write_detector, write_report
from convert.request import BuildRequest, Progress, no_progress
from convert.result import BuildResult, BuiltDetector
from convert.rewrite import Form, Rewritten, check_target, form_of, rewrite
from convert.serialize import contract_of, to_bytes
from convert.source import open_source
from convert.stages import Stages
from edge.contract import Contract


@dataclass(frozen=True)
class _Job:
    """What the targets of a build share; ``batched`` is the export for ``--batch``, if that is not 1."""

    conversion: Conversion
    answers: Answers
    options: DetectorOptions
    stages: Stages
    draft: Path
    single: onnx.ModelProto
    batched: onnx.ModelProto | None
    made: dict[Form, _Graph] = field(default_factory=dict)


@dataclass(frozen=True)
class _Graph:
    """The graph of all targets of one form, and how it compares with TensorFlow; ``target`` is the first."""

    target: str
    rewritten: Rewritten
    parity: Parity


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
        job = _Job(conversion, answers_of(conversion), options, stages, draft, single, batched)
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
    conversion, options = job.conversion, job.options
    path = job.draft / f"{conversion.source.name}-{target}-{options.precision}.onnx"
    contract = contract_of(conversion, target, options.precision)
    form = form_of(conversion.plan, target)
    if form in job.made:
        with job.stages(f"check the graph of {job.made[form].target} for {target}"):
            check_target(job.made[form].rewritten.model, conversion.plan, target)
    else:
        job.made[form] = _make_graph(job, target, path, contract)
    rewritten, parity = job.made[form].rewritten, job.made[form].parity
    measured = dataclasses.replace(contract, parity=json.dumps(parity.figures(), sort_keys=True))
    sha256 = write_detector(path, to_bytes(rewritten.model, measured))
    operators = dict(Counter(node.op_type for node in rewritten.model.graph))
    return BuiltDetector(
        path, target, options.precision, sha256, rewritten.steps, operators, rewritten.notes, parity
    )


def _make_graph(job: _Job, target: str, path: Path, contract: Contract) -> _Graph:
    """Rewrite the export for the first target of a form, and compare it, from a file at ``path``."""
    conversion, options, stages = job.conversion, job.options, job.stages
    form = form_of(conversion.plan, target)
    with stages(f"rewrite it for {target} in {options.precision}"):
        rewritten = rewrite(job.single, conversion, options, form)
        check_target(rewritten.model, conversion.plan, target)
    single = to_bytes(rewritten.model, contract)
    write_detector(path, single)
    with stages(f"compare {target} with TensorFlow"):
        parity = compare(path, job.answers, options.calibration, options.precision)
    if not parity:
        raise ParityError(
            f"{path.name} is not published: it does not give TensorFlow's boxes ({parity.text()})\n"
            + "\n".join(parity.failures()[:20])
        )
    if job.batched is not None:
        with stages(f"rewrite it for {target} in batches"):
            rewritten = rewrite(job.batched, conversion, options, form)
            check_target(rewritten.model, conversion.plan, target)
            compare_batches(single, to_bytes(rewritten.model, contract), conversion.plan.preprocessing)
    return _Graph(target, rewritten, parity)
