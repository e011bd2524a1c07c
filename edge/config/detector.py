"""``[detector]``: which detector runs, on what, and how it looks at a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.section import Section

Score = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Grid = Annotated[str, Field(pattern=r"^(auto|[1-8]x[1-8])$")]


class DetectorConfig(Section):
    """The detector and how it runs."""

    path: Path | None = Field(None, description="a detector file; without it the shipped CenterFace is used")
    provider: Literal["auto", "cpu", "cuda", "tensorrt", "openvino"] = Field(
        "auto", description="execution provider; a named one must really run, or nothing starts"
    )
    provider_fallback: bool = Field(
        False, description="run on the CPU where the named provider does not run, and say so (degraded)"
    )
    cache_folder: Path = Field(
        Path("engines"), description="tensorrt: built engines are kept here, for the next start"
    )
    size_pixels: str = Field(
        "auto",
        pattern=r"^(auto|native|[1-9]\d{2,3}x[1-9]\d{2,3})$",
        description="WIDTHxHEIGHT that frames are scaled to, at the price of small faces; auto: the "
        "detector's own size, or that of the frame, at most 1920 pixels long; native: the same, at least 960",
    )
    score_begin: Score | None = Field(
        None, description="score that begins a region; default: the detector's own"
    )
    score_continue: Score | None = Field(
        None, description="score that continues a region; default: the detector's own"
    )
    tiles: Grid = Field(
        "auto",
        description="COLUMNSxROWS: also look at each tile, for small faces (slower); auto: where a face of "
        "20 pixels would otherwise shrink to less than 14, unless size_pixels is WIDTHxHEIGHT; 1x1: never",
    )
    tile_overlap: float = Field(0.2, ge=0, le=0.5, description="share of a tile that its neighbour has too")
    timeout_seconds: float = Field(10, gt=0, le=600, description="longest time for one run of the detector")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of a look; 0: all cores, which two looks at a time may share",
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
        if self.score_begin and self.score_continue and self.score_continue > self.score_begin:
            raise ValueError("score_continue must not be higher than score_begin")
        return self
