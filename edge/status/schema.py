"""The answer of ``/status``.

docs/status.schema.json is generated from this: ``python -m edge.status.schema > docs/status.schema.json``.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.config.detectors import BoxRegion
from edge.sources.state import CameraState
from edge.status.metrics import Stage

LoadLevelName = Literal["full", "lower_rate", "motion_mask", "stopped"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class CameraStatus(_Model):
    """One camera. All counters begin at 0 with the process."""

    name: str
    source: str = Field(description="what it reads from: scheme, host and port, a device, or a path")
    state: CameraState = Field(description="stale: connected, but without fresh pictures")
    since: datetime = Field(description="when it entered this state, UTC")
    last_error: str = Field(description="why it is not live, or was not live before")
    connections: int = Field(description="how often a first frame arrived after opening it")
    captured: int
    written: int
    dropped: dict[str, int] = Field(description="frames not stored, by reason; docs/operations.md")
    covered_whole: dict[str, int] = Field(description="frames covered entirely, by reason")
    regions: int = Field(description="regions covered in stored images")
    regions_by_label: dict[str, int] = Field(
        default_factory=dict, description="these regions, by what was found: face, plate, ..."
    )
    regions_held: int = Field(description="of these regions, added by hold")
    smallest_face_pixels: float = Field(
        description="width of the smallest face that is looked for, in pixels of the camera's picture"
    )
    any_orientation: bool = Field(description="whether faces are looked for that lie or hang upside down")
    frames_per_second: float = Field(description="frames detected on, over the last ten seconds")
    parts_looked_per_second: float = Field(description="parts of frames in which the detector looked")
    parts_kept_per_second: float = Field(description="parts left out: nothing in them had changed")
    parts_swept_per_second: float = Field(
        description="of those looked at, the ones in which nothing had changed"
    )
    noise_levels: float | None = Field(
        description="how much a block's mean changes without a cause, of 255; null: unknown"
    )
    change_limit_levels: float = Field(description="change from which on a view is looked at again")
    covered_share: float | None = Field(
        description="share of the last stored image that is covered, 0..1; null: none yet"
    )
    regrown: int = Field(description="images on which a face was found after blurring, so more was covered")
    escalated: int = Field(description="images on which a face was found again, so all was covered")
    checked_seconds_ago: float | None = Field(
        description="since the last frame that passed the detector and all checks; null: none yet"
    )
    last_image: datetime | None = Field(description="capture time of the last stored image, UTC")


class StageTimes(_Model):
    """Recent times of one stage, in milliseconds per frame."""

    p50_ms: float
    p95_ms: float


class DetectorStatus(_Model):
    """One of the detectors."""

    name: str = Field(description="of the section [detectors.NAME], or detector")
    label: str = Field(description="what it finds")
    region: BoxRegion = Field(description="what is covered for it: the head around a box, or the box")
    file: str
    sha256: str
    provider: str
    check: Literal["known face", "example", "unchecked"] = Field(
        description="what it must find at the start and every privacy.known_face_interval_seconds"
    )


class Status(_Model):
    """The whole appliance."""

    version: str
    started: datetime = Field(description="UTC")
    uptime_seconds: float
    healthy: bool = Field(description="whether the pipeline makes progress, or has a reason not to")
    problems: list[str] = Field(description="why it is not ready; empty: ready")
    degraded: list[str] = Field(description="what works less well than configured; empty: nothing")
    detector: str
    detector_sha256: str
    provider: str = Field(description="execution provider that actually runs")
    detectors: list[DetectorStatus] = Field(
        default_factory=list, description="all detectors; the first is that of the three fields above"
    )
    known_face_seconds_ago: float | None = Field(description="since the detector last found the known face")
    last_look: str = Field(description="privacy.last_look: which images get a last look")
    load_level: LoadLevelName
    temperature_celsius: float | None = Field(description="of the hottest sensor; null: no sensor")
    reidentifiable_blur: bool
    preview: bool = Field(description="whether the last anonymized images are served")
    store_folder: str
    store_error: str
    store_error_since: datetime | None = Field(description="UTC")
    store_bytes: int | None = Field(description="size of all images; null: still being counted")
    store_images: int | None = Field(None, description="number of all images; null: still being counted")
    quarantine_images: int = Field(0, description="images in memory that the next known-face check releases")
    quarantine_bytes: int = Field(0, description="their size")
    store_free_bytes: int | None = Field(description="null: the filesystem does not say")
    audit_number: int = Field(description="number of the last record of the audit log")
    audit_head: str = Field(description="its sha256; saved outside the box, it proves all records up to it")
    stages: dict[Stage, StageTimes]
    cameras: list[CameraStatus]


def schema_text() -> str:
    """The JSON Schema of the answer, as in docs/status.schema.json."""
    return json.dumps(Status.model_json_schema(mode="serialization"), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
