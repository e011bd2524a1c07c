"""``[detector]``: which detector runs, on which provider, and at which sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.section import Section

Score = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
ShippedName = Literal["face", "face-fast"]
"""The detectors that come with the program; their files are in edge/detection/shipped.py."""

CANVAS_PATTERN = r"^[1-9]\d{2,3}x[1-9]\d{2,3}$"


class DetectorConfig(Section):
    """The detector and how it runs."""

    name: ShippedName | None = Field(
        None,
        description="a shipped detector: face, or face-fast, which is faster; unset, like path: face",
    )
    path: Path | None = Field(None, description="a detector file (.onnx) in place of a shipped one")
    provider: Provider = Field(
        "auto", description="what runs the detector; a provider named here must really run, or nothing starts"
    )
    provider_fallback: bool = Field(
        False, description="if the named provider does not run, use the CPU and report the box as degraded"
    )
    cache_folder: Path = Field(
        Path("engines"), description="tensorrt: folder that keeps built engines for the next start"
    )
    canvas: str | None = Field(
        None,
        pattern=CANVAS_PATTERN,
        description="WIDTHxHEIGHT in pixels to which every view is scaled, for a detector without a size of "
        "its own; unset: what privacy.smallest_face_pixels needs",
    )
    score_begin: Score | None = Field(
        None, description="lowest score that begins a region; unset: the detector's own"
    )
    score_continue: Score | None = Field(
        None, description="lowest score that continues a region; unset: the detector's own"
    )
    timeout_seconds: float = Field(10, gt=0, le=600, description="longest time for one run of the detector")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of one run of the detector; 0: all cores, shared by two runs at most",
    )

    @property
    def canvas_size(self) -> tuple[int, int] | None:
        """Width and height of ``canvas`` in pixels, or None."""
        if self.canvas is None:
            return None
        width, height = self.canvas.split("x")
        return int(width), int(height)

    @model_validator(mode="after")
    def _ordered(self) -> DetectorConfig:
        check_scores(self.score_begin, self.score_continue)
        return self

    @model_validator(mode="after")
    def _one_file(self) -> DetectorConfig:
        check_one_file(self.name, self.path)
        return self


def check_scores(begin: float | None, keep_on: float | None) -> None:
    """Raise ValueError when a region would begin at a lower score than it continues at."""
    if begin and keep_on and keep_on > begin:
        raise ValueError("score_continue must not be higher than score_begin")


def check_one_file(name: str | None, path: Path | None) -> None:
    """Raise ValueError when both a shipped detector and a file are given."""
    if name is not None and path is not None:
        raise ValueError(
            f"name = {name!r} and path cannot both be set: name chooses a shipped detector, path a file; "
            "leave one of them out"
        )
