"""The families that ``edge-train`` makes: networks that predict maps, and take a canvas of any size."""

from __future__ import annotations

from convert import cut
from convert.errors import ConvertError
from convert.model import Model
from convert.optimize import AnyHead
from convert.options import ModelOptions
from convert.passes.grids import Grids
from convert.passes.peaks import Peaks
from convert.plan import CENTRE, FREE_CANVASES, TINY, Plan, choose_classes
from convert.preprocessing import Preprocessing

MULTIPLE = 32
"""Both sides of the canvas are multiples of the networks' largest stride, pixels."""
NMS_IOU = 0.3
STRIDES = (8, 16, 32)

FAMILIES: dict[str, tuple[AnyHead, dict[str, int]]] = {
    CENTRE: (Peaks(4), {"heat": 1, "size": 2, "offset": 2}),
    TINY: (Grids(STRIDES), {f"{name}_{s}": n for name, n in (("score", 1), ("box", 4)) for s in STRIDES}),
}
"""The head of each family, and its outputs with their channels, in the order that the head takes."""


def family_of(model: Model) -> str | None:
    """The family, by the signature alone; None for other models."""
    if model.input.dtype != "uint8":
        return None
    for family, (_, channels) in FAMILIES.items():
        if {tensor.key for tensor in model.outputs} == set(channels) and all(
            tensor.dtype == "float32"
            and tensor.shape is not None
            and len(tensor.shape) == 4
            and tensor.shape[3] == channels[tensor.key]
            for tensor in model.outputs
        ):
            return family
    return None


def make_plan(model: Model, family: str, names: dict[int, str], options: ModelOptions) -> Plan:
    """Decide by the family; ``names`` is the label map. Raises ConvertError."""
    superfluous = options.given_generic()
    if superfluous:
        raise ConvertError(
            f"{', '.join(superfluous)}: this model is of the family {family}, which states all of that; "
            "leave it out"
        )
    head, channels = FAMILIES[family]
    outputs = tuple(tensor for key in channels for tensor in model.outputs if tensor.key == key)
    reasons = [f"a network of edge-train: uint8 input and the outputs {', '.join(channels)}"]
    size = _size(model, options)
    width, height = size or FREE_CANVASES[0]
    reasons.append(
        f"given: a canvas of {width}x{height}" if size else f"a canvas of any multiple of {MULTIPLE} pixels"
    )
    ids = choose_classes((1,), names, options.labels, reasons)
    return Plan(
        family=family,
        reasons=tuple(reasons),
        start=cut.first_tensor(model.graph, model.input.name, [tensor.name for tensor in outputs]),
        start_dtype="float32",
        outputs=outputs,
        head=head,
        labels=tuple(names.get(i, str(i)) for i in ids),
        classes=ids,
        nms_iou=NMS_IOU,
        preprocessing=Preprocessing(
            width, height, "pad-right-bottom", 0, (0, 0, 0), "area", (1.0,) * 3, (0.0,) * 3,
            multiple=1 if size else MULTIPLE,
        ),
        free_sides=size is None,
    )  # fmt: skip


def _size(model: Model, options: ModelOptions) -> tuple[int, int] | None:
    """Width and height when they are not free. Raises ConvertError."""
    assert model.input.shape is not None
    _, height, width, _ = model.input.shape
    if width is not None and height is not None:
        if options.size not in (None, (width, height)):
            raise ConvertError(
                f"--size: the input of this model is fixed to {width}x{height}; leave the option out"
            )
        return width, height
    if options.size is not None and any(side % MULTIPLE for side in options.size):
        raise ConvertError(
            f"--size {options.size[0]}x{options.size[1]}: both sides must be multiples of {MULTIPLE}"
        )
    return options.size
