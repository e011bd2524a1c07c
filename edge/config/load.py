"""``[load]``: when the box does less because it is too slow or too hot."""

from __future__ import annotations

from pydantic import Field

from edge.config.section import Section


class LoadConfig(Section):
    """What to do when the box is too slow or too hot (docs/operations.md)."""

    slowest_interval_seconds: float = Field(
        1,
        gt=0,
        le=3600,
        description="longest time between two runs of the detector for a camera; when it takes longer (and "
        "longer than store.interval_seconds), the load level goes one step down",
    )
    hot_celsius: float = Field(
        85, ge=30, le=120, description="temperature from which the load level goes one step down"
    )
    step_down_seconds: float = Field(
        5, ge=0, le=600, description="how long the box must be too slow or too hot before a step down"
    )
    step_up_seconds: float = Field(
        30, ge=1, le=3600, description="how long the box must be neither before a step up"
    )
