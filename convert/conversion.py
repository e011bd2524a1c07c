"""A SavedModel on its way to a detector: opened, loaded in TensorFlow, recognised, and planned."""

from __future__ import annotations

from dataclasses import dataclass

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
        model = tensorflow_model.load(source.folder)
    with stages("recognise it"):
        probe = Probe(model.graph)
        plan = families.make_plan(model, probe, source.labels, options)
    return Conversion(source, model, probe, plan, options)
