"""Read the status of a running pipeline."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import edge
from edge.pipeline import Pipeline
from edge.reasons import Reason
from edge.status.metrics import STAGES, Stage
from edge.status.schema import CameraStatus, StageTimes, Status
from edge.temperature import hottest

TICK_LIMIT_SECONDS = 30.0
"""Without a finished tick for so long the process is not healthy."""


def read_status(pipeline: Pipeline) -> Status:
    """Read the status of a pipeline; may be called from any thread."""
    cameras = [_camera(pipeline, name) for name in pipeline.cameras]
    problems = []
    if not any(camera.state == "live" for camera in cameras):
        problems.append("no camera is live")
    if pipeline.store_error:
        problems.append(f"store: {pipeline.store_error}")
    stages: dict[Stage, StageTimes] = {}
    for stage in STAGES:
        times = pipeline.metrics.percentiles(stage)
        if times is not None:
            stages[stage] = StageTimes(p50_ms=times[0] * 1000, p95_ms=times[1] * 1000)
    session = pipeline.detector.session
    return Status(
        version=edge.__version__,
        started=datetime.now(timezone.utc),
        uptime_seconds=0,
        degraded=[],
        canary_seconds_ago=None,
        verify=pipeline.config.privacy.verify,
        load_level="full",
        temperature_celsius=hottest(),
        preview=pipeline.config.status.preview,
        store_error_since=None,
        store_bytes=None,
        store_free_bytes=None,
        healthy=time.monotonic() - pipeline.last_tick < TICK_LIMIT_SECONDS,
        problems=problems,
        detector=session.name,
        detector_sha256=session.sha256,
        provider=session.provider,
        reidentifiable_blur=pipeline.config.blur.reidentifiable,
        store_folder=str(pipeline.store.folder),
        store_error=pipeline.store_error,
        stages=stages,
        cameras=cameras,
    )


def _camera(pipeline: Pipeline, name: str) -> CameraStatus:
    capture = pipeline.cameras[name].capture
    count = pipeline.metrics.count

    def by_reason(counter: str) -> dict[str, int]:
        counts = {reason.value: count(counter, name, reason) for reason in Reason}
        return {reason: number for reason, number in counts.items() if number}

    return CameraStatus(
        name=name,
        source=capture.source.label,
        state=capture.state,
        since=capture.since,
        connections=capture.connections,
        regrown=count("images_regrown", name),
        escalated=count("images_escalated", name),
        verified_seconds_ago=pipeline.metrics.verified_seconds_ago(name),
        last_image=pipeline.metrics.last_image(name),
        last_error=capture.last_error,
        captured=count("frames_captured", name),
        written=count("images_written", name),
        dropped=by_reason("frames_dropped"),
        covered_whole=by_reason("frames_covered_whole"),
        regions=count("regions", name),
        regions_held=count("regions_held", name),
    )
