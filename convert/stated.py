"""What a SavedModel states about itself: thresholds and figures that were measured, and its licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from convert.errors import ConvertError

STATED = Path("assets.extra") / "detector.json"
"""Where it lies in the SavedModel; TensorFlow leaves that folder to others."""


@dataclass(frozen=True)
class Stated:
    """Values for the contract; ``edge.contract.Contract`` says what they mean. None: not stated."""

    score_begin: float | None = None
    score_continue: float | None = None
    score_last_look: float | None = None
    score_reason: str | None = None
    nms_iou: float | None = None
    smallest_face: int | None = None
    licence: str | None = None

    def given(self) -> dict[str, Any]:
        """The values that are stated."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str) -> Stated:
        """Check types and limits of ``values``. Raises ConvertError, which names ``where`` and the key."""
        kinds = {field.name: str(field.type).split(" ")[0] for field in fields(cls)}
        for key, value in values.items():
            if key not in kinds:
                raise ConvertError(f"{where}: unknown key {key!r}; known are {', '.join(kinds)}")
            if not _CHECKS[kinds[key]](value):
                raise ConvertError(f"{where}: {key} is {value!r}; wanted {_WANTED[kinds[key]]}")
        checked: dict[str, Any] = {
            key: float(value) if kinds[key] == "float" else value for key, value in values.items()
        }
        found = cls(**checked)
        scores = [found.score_continue, found.score_begin, found.score_last_look]
        if any(score is None for score in scores) and any(score is not None for score in scores):
            raise ConvertError(
                f"{where}: score_continue, score_begin and score_last_look belong together; state all three"
            )
        if scores != sorted(scores, key=lambda score: score or 0):
            raise ConvertError(f"{where}: wanted score_continue <= score_begin <= score_last_look")
        return found


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 8192


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= 1000


_CHECKS = {"float": _is_share, "int": _is_count, "str": _is_text}
_WANTED = {
    "float": "a number between 0 and 1",
    "int": "a whole number of pixels, 0 to 8192",
    "str": "one line of text",
}


def read_stated(folder: Path) -> Stated:
    """What the SavedModel in ``folder`` states; nothing, if there is no such file. Raises ConvertError."""
    path = folder / STATED
    if not path.is_file():
        return Stated()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConvertError(f"{path} cannot be read ({error}); correct it or remove it") from error
    if not isinstance(values, dict):
        raise ConvertError(f"{path} is not a JSON object; correct it or remove it")
    return Stated.parse(values, str(path))
