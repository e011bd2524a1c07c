"""SavedModel in, verified detectors out: load, recognise, cut, rewrite, compare, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

import edge
from convert import cut, families, inspect, parity, reference, report, sample, targets
from convert import model as tensorflow_model
from convert.errors import ConvertError, ParityError
from convert.graphs import Array
from convert.model import Model, Probe
from convert.optimize import Step, optimize
from convert.options import ModelOptions, from_record
from convert.parity import Parity
from convert.passes.half import UseHalf
from convert.passes.quantize import CALIBRATION_PICTURES, quantize
from convert.plan import Plan
from convert.source import Source, open_source
from edge import contract
from edge.contract import Contract

IR_VERSION = 9
"""Of the file format: the newest that ONNX Runtime 1.19 reads."""
PARITY_PICTURES = 200
"""At most so many pictures of a folder are compared."""
SCORE_BEGIN, SCORE_CONTINUE = 0.3, 0.2

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """The detectors to make."""

    targets: tuple[str, ...] = ("cpu",)
    precision: str = "fp32"
    batch: int = 1
    calibration: Path | None = None


@dataclass(frozen=True)
class Built:
    """One detector; ``path`` is where it lies, ``steps`` what each pass did."""

    path: Path
    target: str
    sha256: str
    steps: tuple[Step, ...]
    nodes: dict[str, int]
    notes: tuple[str, ...]
    parity: Parity


class Stages:
    """Names the stage that runs, and keeps how long each took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._progress(name)
        begin = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - begin, 2)


def build(
    path: Path,
    out: Path,
    options: ModelOptions,
    wanted: Wanted,
    progress: Progress = lambda stage: None,
    draft: Path | None = None,
) -> tuple[dict[str, float], list[Built]]:
    """Convert the SavedModel at ``path`` and publish detectors and a report in ``out``.

    ``draft`` is an empty folder on the same disk, for what is not published yet; without it one is made
    in ``out``. Returns the seconds of each stage, and the detectors. Nothing is published unless every target
    passed. Raises ConvertError; ParityError when a detector does not give TensorFlow's boxes.
    """
    _check(wanted)
    stages = Stages(progress)
    with contextlib.ExitStack() as opened:
        with stages("read the SavedModel"):
            source = opened.enter_context(open_source(path))
        with stages("load it in TensorFlow"):
            model = tensorflow_model.load(source.folder)
        with stages("recognise it"):
            probe = Probe(model.graph)
            plan = families.make_plan(model, probe, source.labels, options)
        job = _Job(source, model, probe, plan, options, wanted, stages)
        with stages("export to ONNX"):
            exported = export(model, plan, 1)
            batched = _export_batch(model, plan, wanted.batch) if wanted.batch != 1 else None
        out.mkdir(parents=True, exist_ok=True)
        if draft is None:
            folder = tempfile.TemporaryDirectory(prefix=".edge-convert-", dir=out)
            draft = Path(opened.enter_context(folder))
        made = [_make(job, draft, target, exported, batched) for target in dict.fromkeys(wanted.targets)]
        (draft / "report.json").write_text(report.as_json(job, exported, made), encoding="utf-8")
        (draft / "report.md").write_text(report.as_markdown(job, exported, made), encoding="utf-8")
        return stages.seconds, _publish(made, draft, out)


@dataclass(frozen=True)
class _Job:
    """What all targets of a build share."""

    source: Source
    model: Model
    probe: Probe
    plan: Plan
    options: ModelOptions
    wanted: Wanted
    stages: Stages


def _check(wanted: Wanted) -> None:
    for target in wanted.targets:
        if target not in targets.TARGETS:
            raise ConvertError(f"--target {target}: one of {', '.join(targets.TARGETS)}")
    if wanted.precision not in contract.PRECISIONS:
        raise ConvertError(f"--precision {wanted.precision}: one of {', '.join(contract.PRECISIONS)}")
    if wanted.precision == "int8" and wanted.calibration is None:
        raise ConvertError(
            "--precision int8 needs --calibration DIR: a folder of pictures like those of the camera"
        )
    if not 1 <= wanted.batch <= 64:
        raise ConvertError(f"--batch {wanted.batch}: 1 to 64")


def export(model: Model, plan: Plan, batch: int) -> onnx.ModelProto:
    """The cut graph as ONNX, with static shapes. Raises ConvertError."""
    rule = plan.preprocessing
    shape = (batch, rule.height, rule.width, 3)
    return cut.export(model.graph, plan.start, shape, plan.start_dtype, [plan.boxes.name, plan.scores.name])


def _export_batch(model: Model, plan: Plan, batch: int) -> onnx.ModelProto:
    refusal = (
        f"--batch {batch}: this model was exported for batches of another size, which is in its graph; "
        "leave the option out (the box looks at one frame at a time)"
    )
    try:
        exported = export(model, plan, batch)
    except ConvertError as error:  # a batch of 1 could be exported
        raise ConvertError(refusal) from error
    if any(
        output.type.tensor_type.shape.dim[0].dim_value not in (0, batch) for output in exported.graph.output
    ):
        raise ConvertError(refusal)
    return exported


def _make(
    job: _Job, draft: Path, target: str, exported: onnx.ModelProto, batched: onnx.ModelProto | None
) -> Built:
    precision, rule = job.wanted.precision, job.plan.preprocessing
    with job.stages(f"rewrite it for {target} in {precision}"):
        graph, steps, notes = _rewrite(job, exported, target)
    path = draft / f"{job.source.name}-{target}-{precision}.onnx"
    kept = _contract(job, target)
    _save(path, graph, kept)
    with job.stages(f"compare {target} with TensorFlow"):
        shown = pictures(job.wanted.calibration, rule.width, rule.height)
        result = _compare(path, job.model, job.probe, job.plan, shown, precision)
    if not result:
        raise ParityError(
            f"{path.name} is not published: it does not give TensorFlow's boxes ({result.text()})\n"
            + "\n".join(result.failures()[:20])
        )
    if batched is not None:
        with job.stages(f"rewrite it for {target} in batches"):
            single = path.read_bytes()
            graph, steps, notes = _rewrite(job, batched, target)
            _save(path, graph, kept)
            _compare_batches(single, path.read_bytes(), rule.canvas)
    measured = dataclasses.replace(kept, parity=json.dumps(result.figures(), sort_keys=True))
    sha256 = _save(path, graph, measured)
    nodes = dict(Counter(node.op_type for node in graph.graph))
    return Built(path, target, sha256, steps, nodes, notes, result)


def _compare(
    path: Path, model: Model, probe: Probe, plan: Plan, shown: Iterator[tuple[str, Array]], precision: str
) -> Parity:
    return parity.compare(
        parity.open_for_parity(path),
        lambda picture: reference.whole(model, plan, picture),
        lambda canvas: reference.raw(model, plan, probe, canvas),
        plan.preprocessing.canvas,
        shown,
        precision,
    )


def _rewrite(
    job: _Job, exported: onnx.ModelProto, target: str
) -> tuple[ir.Model, tuple[Step, ...], tuple[str, ...]]:
    rule, wanted = job.plan.preprocessing, job.wanted
    optimized = optimize(exported, job.plan.head, rule.scale, rule.offset, cast_first=target == "tensorrt")
    graph = optimized.model
    more: list[str] = []
    begin, before = time.perf_counter(), graph.graph.num_nodes()
    if wanted.precision == "fp16":
        lower = UseHalf()
        lower(graph)
        more = lower.notes
    elif wanted.precision == "int8":
        assert wanted.calibration is not None
        canvases = [
            rule.canvas(p) for _, p in sample.folder_pictures(wanted.calibration, CALIBRATION_PICTURES)
        ]
        graph, more = quantize(graph, canvases)
    steps = optimized.steps
    if more:
        seconds = round(time.perf_counter() - begin, 3)
        steps = (*steps, Step(wanted.precision, before, graph.graph.num_nodes(), True, seconds))
    found = targets.problems(graph, target)
    if found:
        raise ConvertError(f"the graph would not run on {target}: {'; '.join(found[:5])}")
    return graph, steps, (*optimized.notes, *more)


def pictures(folder: Path | None, width: int, height: int) -> Iterator[tuple[str, Array]]:
    """What is compared: the pictures of a folder, or the shipped ones."""
    if folder is None:
        return sample.sample_pictures(width, height)
    return sample.folder_pictures(folder, PARITY_PICTURES)


def _compare_batches(single: bytes, several: bytes, canvas: Callable[[Array], Array]) -> None:
    """Each row of the batched detector must be what the single one gives. Raises ParityError."""
    import onnxruntime as ort

    one, many = (ort.InferenceSession(data, providers=["CPUExecutionProvider"]) for data in (single, several))
    batch, height, width, _ = many.get_inputs()[0].shape
    shown = [canvas(picture) for _, picture in sample.sample_pictures(width, height)]
    rows = [shown[place % len(shown)] for place in range(batch)]
    together = many.run(None, {contract.INPUT: np.stack(rows)})
    for place, row in enumerate(rows):
        for name, mine, theirs in zip(
            (contract.BOXES, contract.SCORES),
            together,
            one.run(None, {contract.INPUT: row[None]}),
            strict=True,
        ):
            count = int((together[1][place] > 0.05).sum())
            if not np.allclose(mine[place][:count], theirs[0][:count], rtol=1e-3, atol=1e-2):
                raise ParityError(
                    f"--batch {batch}: {name} of picture {place + 1} differ from those of a batch of 1"
                )


def _contract(job: _Job, target: str) -> Contract:
    plan, rule = job.plan, job.plan.preprocessing
    tools = {
        "edge-anonymizer": edge.__version__,
        "options": job.options.record(),
        "classes": list(plan.classes),
        "tensorflow_of_source": job.model.tensorflow,
        "tensorflow": tensorflow_model.tensorflow_version(),
        **{name: metadata.version(name) for name in ("tf2onnx", "onnx", "onnxscript")},
    }
    return Contract(
        contract_version=contract.VERSION,
        name=job.source.name,
        family=plan.family,
        source_sha256=job.source.sha256,
        licence="that of the source",
        letterbox=rule.letterbox,
        letterbox_multiple=1,
        letterbox_short_side=rule.short_side,
        letterbox_rgb=",".join(str(part) for part in rule.padding),
        interpolation=rule.interpolation,
        labels=", ".join(plan.labels),
        normalisation=rule.text(),
        score_begin=SCORE_BEGIN,
        score_continue=SCORE_CONTINUE,
        score_last_look=SCORE_BEGIN,
        score_reason="a default, recall first; not measured on pictures with known faces",
        nms_iou=plan.nms_iou,
        precision=job.wanted.precision,
        target=target,
        tools=json.dumps(tools, sort_keys=True),
        parity="{}",
    )


def _save(path: Path, graph: ir.Model, kept: Contract) -> str:
    """Write a detector and the hash beside it; return the hash."""
    proto = ir.to_proto(graph)
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "edge-convert", edge.__version__
    proto.graph.name, proto.graph.doc_string = kept.name, ""
    del proto.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    helper.set_model_props(proto, kept.to_metadata())
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString(deterministic=True)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")
    return digest


def _publish(made: list[Built], draft: Path, out: Path) -> list[Built]:
    """Move everything to ``out``; the hashes, without which the box takes no detector, come last."""
    for name in [built.path.name for built in made] + ["report.json", "report.md"]:
        os.replace(draft / name, out / name)
    for built in made:
        name = built.path.with_suffix(".sha256").name
        os.replace(draft / name, out / name)
    return [dataclasses.replace(built, path=out / built.path.name) for built in made]


def verify(
    detector: Path, path: Path, folder: Path, anchors: Path | None, progress: Progress = lambda stage: None
) -> Parity:
    """Compare a published detector with its SavedModel on the pictures of ``folder``.

    Raises ConvertError, also when the detector was made from another SavedModel.
    """
    from edge.detection.session import read_detector

    stages = Stages(progress)
    kept = contract.from_metadata(inspect.metadata_of(read_detector(detector).data))
    options = from_record(json.loads(kept.tools).get("options", {}), anchors)
    with contextlib.ExitStack() as opened:
        with stages("read the SavedModel"):
            source = opened.enter_context(open_source(path))
        if source.sha256 != kept.source_sha256:
            raise ConvertError(
                f"{detector} was made from a SavedModel of sha256 {kept.source_sha256}, but {path} has "
                f"{source.sha256}"
            )
        with stages("load it in TensorFlow"):
            model = tensorflow_model.load(source.folder)
        with stages("recognise it"):
            probe = Probe(model.graph)
            plan = families.make_plan(model, probe, source.labels, options)
        with stages("compare"):
            shown = sample.folder_pictures(folder, PARITY_PICTURES)
            return _compare(detector, model, probe, plan, shown, kept.precision)
