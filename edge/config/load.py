"""``[load]``: when the box gives something up, because it is too slow or too hot."""

from __future__ import annotations

from pydantic import Field

from edge.config.section import Section


class LoadConfig(Section):
    """What to do when the box is too slow or too hot (docs/operations.md)."""

    slowest_interval_seconds: float = Field(
        1,
        gt=0,
        le=3600,
        description="when a camera is looked at less often than this (or than store.interval_seconds, if "
        "that is longer), step down",
    )
    hot_celsius: float = Field(85, ge=30, le=120, description="step down from this temperature on")
    step_down_seconds: float = Field(5, ge=0, le=600, description="how long before stepping down")
    step_up_seconds: float = Field(
        30, ge=1, le=3600, description="how long all must be well before stepping up"
    )
