"""A SavedModel on its way to a detector: opened, loaded in TensorFlow, recognised, and planned."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert import families
from convert import model as tensorflow_model
from convert.model import Model, Probe
from convert.options import ModelOptions
from convert.plan import Plan
from convert.source import Source
from convert.stages import Stages


@dataclass(frozen=True)
class Conversion:
    """Everything known about one SavedModel before its graph is exported."""

    source: Source
    model: Model
    probe: Probe
    plan: Plan
    options: ModelOptions


def prepare(source: Source, options: ModelOptions, stages: Stages) -> Conversion:
    """Load an opened SavedModel and plan its conversion. Raises ConvertError."""
    with stages("load it in TensorFlow"):
        model = tensorflow_model.load(source.folder, options.signature)
    with stages("recognise it"):
        model, probe, plan = planned(model, source.labels, options)
    return Conversion(source, model, probe, plan, options)


def planned(model: Model, labels: dict[int, str], options: ModelOptions) -> tuple[Model, Probe, Plan]:
    """The model as it is compared, and the plan for it. Raises ConvertError."""
    adapted = families.adapt(model, labels, options)
    probe = Probe(adapted.model.graph)
    plan = families.make_plan(adapted.model, probe, adapted.names, adapted.options)
    reasons = (*adapted.reasons, *plan.reasons)
    nms_iou = adapted.nms_iou or plan.nms_iou
    return adapted.model, probe, replace(plan, reasons=reasons, nms_iou=nms_iou, own=adapted.own)
