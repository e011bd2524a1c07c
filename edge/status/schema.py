"""What ``/status`` answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edge.status.metrics import Stage


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class CameraStatus(_Model):
    name: str
    source: str
    state: Literal["connecting", "live", "down", "ended"]
    last_error: str
    captured: int
    written: int
    dropped: dict[str, int]
    covered_whole: dict[str, int]
    regions: int
    regions_held: int


class StageTimes(_Model):
    """Recent times of one stage, in milliseconds per frame."""

    p50_ms: float
    p95_ms: float


class Status(_Model):
    version: str
    healthy: bool
    problems: list[str]
    detector: str
    detector_sha256: str
    provider: str
    reidentifiable_blur: bool
    store_folder: str
    store_error: str
    stages: dict[Stage, StageTimes]
    cameras: list[CameraStatus]
