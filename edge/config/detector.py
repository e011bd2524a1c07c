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

SIZE_PATTERN = r"^(auto|native|[1-9]\d{2,3}x[1-9]\d{2,3})$"
TILES_PATTERN = r"^(auto|[1-8]x[1-8])$"


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
    size_pixels: str = Field(
        "auto",
        pattern=SIZE_PATTERN,
        description="WIDTHxHEIGHT: scale frames to this size, which is faster but misses small faces; auto: "
        "the detector's own size or, if it has none, the frame's, at most 1920 pixels long; native: the "
        "same, but at least 960 pixels long",
    )
    score_begin: Score | None = Field(
        None, description="lowest score that begins a region; unset: the detector's own"
    )
    score_continue: Score | None = Field(
        None, description="lowest score that continues a region; unset: the detector's own"
    )
    tiles: str = Field(
        "auto",
        pattern=TILES_PATTERN,
        description="COLUMNSxROWS: detect on each tile too, to find small faces (slower); auto: if a face of "
        "20 pixels would otherwise shrink to less than 14, unless size_pixels is WIDTHxHEIGHT; 1x1: never",
    )
    tile_overlap: float = Field(
        0.2, ge=0, le=0.5, description="share of a tile that its neighbour covers too"
    )
    timeout_seconds: float = Field(10, gt=0, le=600, description="longest time for one run of the detector")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of one run of the detector; 0: all cores, shared by two runs at most",
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, or None for ``auto`` and ``native``."""
        if self.size_pixels in ("auto", "native"):
            return None
        width, height = self.size_pixels.split("x")
        return int(width), int(height)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Columns and rows of tiles, or None for ``auto``."""
        if self.tiles == "auto":
            return None
        columns, rows = self.tiles.split("x")
        return int(columns), int(rows)

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
