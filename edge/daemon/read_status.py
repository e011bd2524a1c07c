"""Read the status of a running pipeline."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import cast

import edge
from edge.daemon.load import LoadLevel
from edge.daemon.pipeline import Pipeline
from edge.detection.joint import further_of
from edge.detection.kinds import FACE
from edge.status.metrics import STAGES, Stage
from edge.status.schema import CameraStatus, DetectorStatus, LoadLevelName, StageTimes, Status

TICK_LIMIT_SECONDS = 30.0
"""The process is unhealthy when no tick has ended for this long."""
_STARTED, _BEGIN = datetime.now(timezone.utc), time.monotonic()


def healthy(pipeline: Pipeline) -> bool:
    """Whether ticks end and the store's thread lives. A camera that is down does not make the process
    unhealthy: its own state says so, and it is opened again."""
    return time.monotonic() - pipeline.last_tick < TICK_LIMIT_SECONDS and pipeline.writer.alive


def read_status(pipeline: Pipeline) -> Status:
    """Read the status of a pipeline; may be called from any thread."""
    cameras = [_camera(pipeline, name) for name in pipeline.lanes]
    stages: dict[Stage, StageTimes] = {}
    for stage in STAGES:
        times = pipeline.metrics.percentiles(stage)
        if times is not None:
            stages[stage] = StageTimes(p50_ms=times[0] * 1000, p95_ms=times[1] * 1000)
    session = pipeline.detector.session
    return Status(
        version=edge.__version__,
        started=_STARTED,
        uptime_seconds=time.monotonic() - _BEGIN,
        healthy=healthy(pipeline),
        problems=([] if any(c.state == "live" for c in cameras) else ["no camera is live"])
        + pipeline.troubles,
        degraded=_degraded(pipeline),
        detector=session.name,
        detector_sha256=session.sha256,
        provider=session.provider,
        detectors=_detectors(pipeline),
        known_face_seconds_ago=time.monotonic() - pipeline.last_known_face,
        last_look=pipeline.config.privacy.last_look,
        load_level=cast(LoadLevelName, pipeline.load.level.name.lower()),
        temperature_celsius=pipeline.celsius,
        reidentifiable_blur=pipeline.config.blur.reidentifiable,
        preview=pipeline.config.status.preview,
        store_folder=str(pipeline.store.folder),
        store_error=pipeline.writer.error,
        store_error_since=pipeline.writer.error_since,
        store_images=pipeline.writer.usage.images,
        store_bytes=pipeline.writer.usage.bytes,
        quarantine_images=pipeline.writer.quarantine.images,
        quarantine_bytes=pipeline.writer.quarantine.bytes,
        store_free_bytes=pipeline.writer.usage.free_bytes(),
        audit_number=pipeline.store.audit_number,
        audit_head=pipeline.store.audit_head,
        stages=stages,
        cameras=cameras,
    )


def _detectors(pipeline: Pipeline) -> list[DetectorStatus]:
    session = pipeline.detector.session
    first = DetectorStatus(
        name="detector",
        label=FACE.label,
        region=FACE.region,
        file=session.name,
        sha256=session.sha256,
        provider=session.provider,
        check="known face",
    )
    return [first] + [
        DetectorStatus(
            name=member.name,
            label=member.kind.label,
            region=member.kind.region,
            file=member.detector.session.name,
            sha256=member.detector.session.sha256,
            provider=member.detector.session.provider,
            check="unchecked" if member.example is None else "example",
        )
        for member in further_of(pipeline.detector)
    ]


def _degraded(pipeline: Pipeline) -> list[str]:
    degraded = []
    fallback = pipeline.detector.session.fallback
    if fallback:
        degraded.append(fallback)
    for member in further_of(pipeline.detector):
        if member.detector.session.fallback:
            degraded.append(f"detectors.{member.name}: {member.detector.session.fallback}")
    if pipeline.load.level != LoadLevel.FULL:
        degraded.append(f"load: {pipeline.load.level.text} ({pipeline.load.cause})")
    if doubt := pipeline.store.clock_doubt:
        degraded.append(doubt)
    for name, lane in pipeline.lanes.items():
        if problem := lane.capture.source.clock.problem:
            degraded.append(f"camera {name}: {problem}")
    return degraded


def _camera(pipeline: Pipeline, name: str) -> CameraStatus:
    lane = pipeline.lanes[name]
    capture, pace = lane.capture, pipeline.metrics.pace(name)
    count, by_reason = pipeline.metrics.count, pipeline.metrics.by_reason
    return CameraStatus(
        name=name,
        source=capture.source.label,
        state=capture.state,
        since=capture.since,
        connections=capture.connections,
        regrown=count("images_regrown", name),
        escalated=count("images_escalated", name),
        checked_seconds_ago=pipeline.metrics.checked_seconds_ago(name),
        last_image=pipeline.metrics.last_image(name),
        last_error=capture.last_error,
        captured=count("frames_captured", name),
        written=count("images_written", name),
        dropped=by_reason("frames_dropped", name),
        covered_whole=by_reason("frames_covered_whole", name),
        regions=count("regions", name),
        regions_by_label=pipeline.metrics.by_label(name),
        regions_held=count("regions_held", name),
        smallest_face_pixels=lane.search.smallest_face,
        any_orientation=lane.search.any_orientation,
        frames_per_second=pace.frames,
        parts_looked_per_second=pace.looked,
        parts_kept_per_second=pace.kept,
        parts_swept_per_second=pace.swept,
        noise_levels=lane.gate.noise,
        change_limit_levels=lane.gate.limit,
        covered_share=pipeline.metrics.covered(name),
    )
