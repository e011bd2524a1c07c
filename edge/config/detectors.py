"""``[detectors.NAME]``: further detectors, which find more than the faces of ``[detector]``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.detector import (
    CANVAS_PATTERN,
    DetectorConfig,
    Provider,
    Score,
    ShippedName,
    check_one_file,
    check_scores,
)
from edge.config.section import Section

BoxRegion = Literal["head", "box"]
"""What is covered for a box: the head around it, or little more than the box itself."""
LABEL_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
Label = Annotated[str, Field(pattern=LABEL_PATTERN)]

_INHERITED = (
    "provider", "provider_fallback", "cache_folder", "timeout_seconds", "threads",
)  # fmt: skip
"""Keys that are taken from ``[detector]`` where they are not set."""


class FurtherDetectorConfig(Section):
    """A further detector. What it finds is covered together with the faces that [detector] finds.

    NAME stands for it in messages: lower-case letters, digits, - and _. Either path or name is needed.
    """

    name: ShippedName | None = Field(None, description="a shipped detector")
    path: Path | None = Field(None, description="detector file (.onnx)")
    label: Label | None = Field(
        None,
        description="what it finds, as reports call it: face, plate, ...; unset: the detector's own label, "
        "or NAME if that is not one word",
    )
    region: BoxRegion | None = Field(
        None,
        description="head: the box and the margins of [blur]; box: the box and a tenth of its sides; unset: "
        "head for the label face, box for others",
    )
    score_begin: Score | None = Field(
        None, description="lowest score that begins a region; unset: the detector's own"
    )
    score_continue: Score | None = Field(
        None, description="lowest score that continues a region; unset: the detector's own"
    )
    score_last_look: Score | None = Field(
        None,
        description="lowest score that counts on an image that is covered already, at least score_begin; "
        "unset: the detector's own",
    )
    hold_before_frames: int | None = Field(
        None, ge=0, le=250, description="as in [blur], for this detector; unset: that of [blur]"
    )
    hold_after_seconds: float | None = Field(
        None, ge=0, le=60, description="as in [blur], for this detector; unset: that of [blur]"
    )
    example: Path | None = Field(
        None,
        description="picture on which it must find something, at the start and every "
        "privacy.known_face_interval_seconds; unset: it is not checked, and the status says so",
    )
    canvas: str | None = Field(
        None, pattern=CANVAS_PATTERN, description="as in [detector], whatever [detector] has"
    )
    provider: Provider | None = Field(None, description="as in [detector]; unset: that of [detector]")
    provider_fallback: bool | None = Field(None, description="as in [detector]; unset: that of [detector]")
    cache_folder: Path | None = Field(None, description="as in [detector]; unset: that of [detector]")
    timeout_seconds: float | None = Field(
        None, gt=0, le=600, description="as in [detector]; unset: that of [detector]"
    )
    threads: int | None = Field(
        None, ge=0, le=256, description="as in [detector]; unset: those of [detector]"
    )

    def completed(self, first: DetectorConfig) -> DetectorConfig:
        """The file, sizes and scores as a section of their own; ``first`` is ``[detector]``, which gives what
        is unset here."""
        own = {key: getattr(self, key) for key in _INHERITED}
        return first.model_copy(
            update={key: value for key, value in own.items() if value is not None}
            | {
                "name": self.name,
                "path": self.path,
                "canvas": self.canvas,
                "score_begin": self.score_begin,
                "score_continue": self.score_continue,
            }
        )

    @model_validator(mode="after")
    def _complete(self) -> FurtherDetectorConfig:
        check_one_file(self.name, self.path)
        if self.name is None and self.path is None:
            raise ValueError("key 'path' is missing: give the detector's file, or the name of a shipped one")
        check_scores(self.score_begin, self.score_continue)
        return self
