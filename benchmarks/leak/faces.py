"""Face-frames of ``python -m benchmarks leak-rate``: what is counted, and the tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks import common

COVERED_SHARE = 0.6
"""A face is covered from this share of its reference box on."""
MIN_SIDE = 20
"""Shorter side of a reference box from which it counts in the headline, in pixels."""
SETTINGS = ("off", "after", "both")
LAST_LOOK = "both, last look"
COLUMNS = (*SETTINGS, LAST_LOOK)


@dataclass(eq=False)
class FaceFrame:
    """One face in one frame. ``box`` is ``x1 y1 x2 y2``, ``covered`` the share of it per column, 0..1;
    ``no_face`` says why a person judged it to be none, or is empty."""

    track: str
    frame: int
    box: list[int]
    seen_by: str
    no_face: str = ""
    covered: dict[str, float] = field(default_factory=dict)

    @property
    def large(self) -> bool:
        x1, y1, x2, y2 = self.box
        return min(x2 - x1, y2 - y1) >= MIN_SIDE

    def uncovered(self, column: str) -> bool:
        return self.covered[column] < COVERED_SHARE


def summary(faces: Iterable[FaceFrame]) -> dict[str, Any]:
    """Numbers of face-frames and of uncovered ones, and the share of these, per column."""
    chosen = list(faces)
    left = {column: sum(face.uncovered(column) for face in chosen) for column in COLUMNS}
    return {
        "face_frames": len(chosen),
        "interpolated": sum(face.seen_by == "." for face in chosen),
        "uncovered": left,
        "share": {column: round(number / max(len(chosen), 1), 6) for column, number in left.items()},
    }


def summaries(faces: list[FaceFrame]) -> dict[str, Any]:
    """By size, and with and without what a person judged to be no face."""
    return {
        "judged": summary(face for face in faces if face.large and not face.no_face),
        "as_detected": summary(face for face in faces if face.large),
        "small_judged": summary(face for face in faces if not face.large and not face.no_face),
        "small_as_detected": summary(face for face in faces if not face.large),
    }


def report(clips: dict[str, dict[str, Any]], total: dict[str, Any]) -> str:
    """The Markdown tables of one canvas; where a person's judgement changes nothing, one serves for both."""
    parts = []
    for small, size in (("", f"{MIN_SIDE} pixels or more"), ("small_", f"less than {MIN_SIDE} pixels")):
        judged, detected = f"{small}judged", f"{small}as_detected"
        titles = {judged: f"Faces of {size}:"}
        if total[judged] != total[detected]:
            titles[detected] = f"Faces of {size}, with what a person judged to be no face:"
        for key, title in titles.items():
            rows = [_row(name, figures[key]) for name, figures in clips.items()]
            rows.append(_row("**all**", total[key]))
            parts += [title, "", common.table(["clip", "face-frames", *COLUMNS], rows), ""]
    return "\n".join(parts)


def _row(name: str, figures: dict[str, Any]) -> list[object]:
    shares = [f"{n} ({figures['share'][column]:.2%})" for column, n in figures["uncovered"].items()]
    return [name, figures["face_frames"], *(shares if figures["face_frames"] else ["-"] * len(shares))]
