"""``[audit]``: the log of what happened to the images."""

from __future__ import annotations

from pydantic import Field

from edge.config.section import Section


class AuditConfig(Section):
    """The log below store.folder of what was stored, dropped and removed (docs/privacy.md)."""

    boxes: bool = Field(False, description="also record where people were: the rectangles that were covered")
    rotate_megabytes: float = Field(4, ge=0.001, le=1000, description="size at which a new log file is begun")
    keep_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="log files older than this are removed once all of their images are gone, while the "
        "box's clock is reliable; unset: no log file is removed",
    )
