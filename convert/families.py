"""Recognise what kind of detector a SavedModel is, and let its family plan the conversion."""

from __future__ import annotations

from convert import adapt as adapting
from convert import generic, maps, object_detection
from convert.adapted import Adapted
from convert.errors import ConvertError
from convert.model import Model, Probe
from convert.options import ModelOptions
from convert.plan import GENERIC, OBJECT_DETECTION, Plan


def recognise(model: Model) -> str:
    """The name of the family, by the signature alone."""
    if object_detection.is_export(model):
        return OBJECT_DETECTION
    return maps.family_of(model) or GENERIC


def adapt(model: Model, names: dict[int, str], options: ModelOptions) -> Adapted:
    """The model as it is planned and compared; ``names`` is the label map. Raises ConvertError."""
    _check_input(model)
    if recognise(model) != GENERIC:
        return Adapted(model, names, options)
    return adapting.adapt(model, names, options)


def make_plan(model: Model, probe: Probe, names: dict[int, str], options: ModelOptions) -> Plan:
    """Decide everything about the conversion; ``names`` is the label map.

    Raises ConvertError, which says which option to add.
    """
    _check_input(model)
    family = recognise(model)
    if family == OBJECT_DETECTION:
        return object_detection.make_plan(model, probe, names, options)
    if family in maps.FAMILIES:
        return maps.make_plan(model, family, names, options)
    return generic.make_plan(model, names, options)


def _check_input(model: Model) -> None:
    shape = model.input.shape
    if shape is None or len(shape) != 4 or model.input.dtype not in ("uint8", "float32"):
        raise ConvertError(
            f"the input is {model.input}; expected one batch of pictures, uint8 or float32 [B, H, W, 3] (a "
            "signature that takes encoded files or tf.Example must be exported again with "
            "--input_type image_tensor)"
        )
    if shape[3] != 3:
        raise ConvertError(
            f"the input is {model.input}; the last side must be 3: export it with channels last, RGB"
        )
