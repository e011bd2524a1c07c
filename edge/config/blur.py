"""``[blur]``: what covers a face, the margins around it, and how long it stays covered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge.config.section import Section

Fill = Literal["infill", "solid", "gaussian", "mosaic"]
Region = Literal["head", "top"]

REIDENTIFIABLE_FILLS = ("gaussian", "mosaic")

Share = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]


class BlurConfig(Section):
    """What covers a face, how large the covered region is, and how long it stays."""

    fill: Fill = Field(
        "infill",
        description="infill and solid hide the face; gaussian and mosaic need privacy.allow_reidentifiable",
    )
    region: Region = Field(
        "head",
        description="head: the face's box and the margins; top: the upper part of the box (needs "
        "privacy.allow_reidentifiable)",
    )
    top_fraction: float = Field(
        0.6, gt=0, le=1, description="region = top: covered share of the box's height"
    )
    margin_sides: Share = Field(0.2, description="share of the box's width added left and right")
    margin_top: Share = Field(0.6, description="share of the box's height added above")
    margin_bottom: Share = Field(0.2, description="share of the box's height added below")
    solid_rgb: tuple[int, int, int] = Field(
        (128, 128, 128), description="fill = solid: the colour, as red, green and blue from 0 to 255"
    )
    gaussian_sigma: float = Field(
        0.5, gt=0, le=2, description="fill = gaussian: sigma as a share of the region's width"
    )
    mosaic_cells: int = Field(4, ge=1, le=16, description="fill = mosaic: cells along each side")
    hold_before_frames: int = Field(
        10, ge=0, le=250, description="a new region also covers this many earlier frames"
    )
    hold_after_seconds: float = Field(
        1.0, ge=0, le=60, description="how long a region stays after its last detection"
    )

    @field_validator("solid_rgb")
    @classmethod
    def _bytes(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if not all(0 <= part <= 255 for part in value):
            raise ValueError("must be three numbers from 0 to 255")
        return value

    @property
    def reidentifiable(self) -> bool:
        """Whether people can be recognised in spite of this blur (docs/privacy.md)."""
        return self.fill in REIDENTIFIABLE_FILLS or self.region == "top"
