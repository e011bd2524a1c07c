"""From an exported graph to the graph of one target and precision."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import onnx
import onnx_ir as ir

from convert import sample, targets
from convert.conversion import Conversion
from convert.errors import ConvertError
from convert.optimize import optimize
from convert.options import DetectorOptions
from convert.passes.free import frozen
from convert.passes.half import UseHalf
from convert.passes.quantize import CALIBRATION_PICTURES, quantize
from convert.passes.select import Head
from convert.plan import Plan
from convert.result import PassStep


@dataclass(frozen=True)
class Rewritten:
    """The detector's graph, without metadata; what each pass did, and what the passes found."""

    model: ir.Model
    steps: tuple[PassStep, ...]
    notes: tuple[str, ...]


class Form(NamedTuple):
    """What sets the graphs of two targets apart; targets of one form get the same graph. See ``optimize``."""

    cast_first: bool
    read_rows: bool


def form_of(plan: Plan, target: str) -> Form:
    """The form of the graph for ``target``."""
    rows = not isinstance(plan.head, Head) and target != "tensorrt"
    return Form(cast_first=target in targets.CASTS_ONLY, read_rows=rows)


def rewrite(
    exported: onnx.ModelProto, conversion: Conversion, options: DetectorOptions, form: Form
) -> Rewritten:
    """Run the passes and lower the precision. Raises ConvertError when a pass cannot keep its promise."""
    plan = conversion.plan
    optimized = optimize(
        exported,
        plan.head,
        plan.preprocessing.scale,
        plan.preprocessing.offset,
        cast_first=form.cast_first,
        read_rows=form.read_rows,
        free_sides=plan.free_sides,
    )
    begin, before = time.perf_counter(), optimized.model.graph.num_nodes()
    model, notes = _lower_precision(optimized.model, conversion, options)
    steps = optimized.steps
    if options.precision != "fp32":
        seconds = round(time.perf_counter() - begin, 3)
        steps = (*steps, PassStep(options.precision, before, model.graph.num_nodes(), True, seconds))
    return Rewritten(model, steps, (*optimized.notes, *notes))


def check_target(model: ir.Model, plan: Plan, target: str) -> None:
    """Raises ConvertError when the rewritten graph would not run on ``target``."""
    canvas = plan.preprocessing
    checked = frozen(model, canvas.width, canvas.height) if plan.free_sides else model
    problems = targets.problems(checked, target)
    if problems:
        raise ConvertError(f"the graph would not run on {target}: {'; '.join(problems[:5])}")


def _lower_precision(
    model: ir.Model, conversion: Conversion, options: DetectorOptions
) -> tuple[ir.Model, list[str]]:
    if options.precision == "fp16":
        half = UseHalf()
        half(model)
        return model, half.notes
    if options.precision == "int8":
        assert options.calibration is not None
        pictures = sample.folder_pictures(options.calibration, CALIBRATION_PICTURES)
        return quantize(model, [conversion.plan.preprocessing.canvas(picture) for _, picture in pictures])
    return model, []
