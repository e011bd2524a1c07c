"""The plan for one conversion, which each family makes in its own way."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert.adapted import OwnAnswer
from convert.errors import ConvertError
from convert.model import Tensor
from convert.optimize import AnyHead
from convert.preprocessing import Preprocessing

OBJECT_DETECTION = "tf-object-detection-api"
GENERIC = "generic"
CENTRE = "centre"
TINY = "tiny"
DEFAULT_NMS_IOU = 0.5
FREE_CANVASES = ((640, 384), (1280, 736))
"""Width and height of the canvases on which a detector with free sides is compared, in pixels."""
_FACE_WORDS = ("face", "mask")


@dataclass(frozen=True)
class Plan:
    """How one SavedModel becomes a detector.

    ``start`` is the tensor at which the detector's graph begins, and ``start_dtype`` its type; at ``outputs``
    it ends, and ``head`` says what they mean: boxes and scores, or the maps of a family. ``classes`` are the
    ids of the classes that are faces, and ``labels`` their names.
    ``reasons`` are sentences that say what was recognised or guessed, and why. With ``free_sides`` the
    detector takes a canvas of any size, and ``preprocessing`` has the size that it is exported at. ``own`` is
    the model's own answer where its suppression was cut off.
    """

    family: str
    reasons: tuple[str, ...]
    start: str
    start_dtype: str
    outputs: tuple[Tensor, ...]
    head: AnyHead
    labels: tuple[str, ...]
    classes: tuple[int, ...]
    nms_iou: float
    preprocessing: Preprocessing
    free_sides: bool = False
    own: OwnAnswer | None = None

    def canvases(self) -> tuple[Preprocessing, ...]:
        """The canvases on which detector and SavedModel are compared."""
        if not self.free_sides:
            return (self.preprocessing,)
        return tuple(replace(self.preprocessing, width=w, height=h) for w, h in FREE_CANVASES)


def choose_classes(
    ids: tuple[int, ...], names: dict[int, str], chosen_by_user: tuple[str, ...], reasons: list[str]
) -> tuple[int, ...]:
    """The classes that are faces: those of ``--label``, the only one, or by their names.

    Adds the reason to ``reasons``. Raises ConvertError, which asks for ``--label``.
    """
    known = ", ".join(f"{i} ({names[i]})" if i in names else str(i) for i in ids)
    if chosen_by_user:
        chosen = []
        for text in chosen_by_user:
            found = [i for i in ids if text == str(i) or text == names.get(i)]
            if not found:
                raise ConvertError(f"--label {text}: this model has the classes {known}")
            chosen.append(found[0])
        reasons.append(f"counted as a face, because of --label: {', '.join(chosen_by_user)}")
        return tuple(sorted(set(chosen)))
    if len(ids) == 1:
        reasons.append(f"counted as a face: the only class, {known}")
        return ids
    chosen = [i for i in ids if any(word in names.get(i, "").lower() for word in _FACE_WORDS)]
    if not chosen:
        raise ConvertError(
            f"this model has the classes {known}, and their names do not show which are faces; give "
            "--label for each that is"
        )
    reasons.append(f"counted as a face, by their names: {', '.join(names[i] for i in chosen)} of {known}")
    return tuple(chosen)
