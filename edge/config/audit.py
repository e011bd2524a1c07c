"""``[audit]``: the log of what happened to images."""

from __future__ import annotations

from pydantic import Field

from edge.config.section import Section


class AuditConfig(Section):
    """The log of what was stored, dropped and removed, below store.folder (docs/privacy.md)."""

    boxes: bool = Field(
        False, description="also write down where people were: the rectangles that were covered"
    )
    rotate_megabytes: float = Field(4, ge=0.001, le=1000, description="a new log file is begun at this size")
    keep_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="older log files are removed once all of their images are, while the clock can be relied "
        "on; without it none",
    )
