"""Counters and timings for Prometheus; gauges.py derives the other metrics from the Status."""

from __future__ import annotations

from collections import Counter as Counts
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from time import monotonic, perf_counter
from typing import Literal, NamedTuple, get_args

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from edge.detection.kinds import FACE
from edge.reasons import Reason

Stage = Literal["detect", "hold", "blur", "last_look", "encode", "write"]
STAGES: tuple[Stage, ...] = get_args(Stage)

# Do not add a second series to each counter that says when it was created.
disable_created_metrics()  # type: ignore[no-untyped-call]

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_RECENT = 4096


PACE_SECONDS = 10.0
"""The time over which a pace is averaged."""


class Pace(NamedTuple):
    """Of one camera, per second: frames detected on, and parts of them looked at, kept and swept."""

    frames: float
    looked: float
    kept: float
    swept: float


class Metrics:
    """The counters of one pipeline. Thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.cameras: list[str] = []
        self._counters: dict[str, Counter] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            made = Counter(f"edge_{name}", text, labels, registry=self._registry)
            self._counters[name] = made
            return made

        self._captured = counter("frames_captured", "frames that a camera delivered", "camera")
        self._written = counter("images_written", "images stored durably", "camera")
        self._dropped = counter("frames_dropped", "frames not stored", "camera", "reason")
        self._regions = counter("regions", "regions covered in stored images", "camera")
        self._by_label = counter(
            "regions_by_label", "regions covered in stored images, by what was found", "camera", "label"
        )
        self._labels: dict[str, tuple[str, ...]] = {}
        self._held = counter("regions_held", "regions in stored images that hold added", "camera")
        self._whole = counter("frames_covered_whole", "frames covered entirely", "camera", "reason")
        self._regrown = counter(
            "images_regrown", "a face was found after blurring, so more was covered", "camera"
        )
        self._escalated = counter("images_escalated", "a face was found again, so all was covered", "camera")
        self._looked = counter("parts_looked", "parts of frames in which the detector looked", "camera")
        self._kept = counter("parts_kept", "parts left out because nothing in them had changed", "camera")
        self._swept = counter(
            "parts_swept", "of the parts looked at, those in which nothing had changed", "camera"
        )
        self._pace: dict[str, deque[tuple[float, int, int, int]]] = {}
        self._checked: dict[str, float] = {}
        self._last_images: dict[str, float] = {}
        self._covered: dict[str, float] = {}
        self._info = Gauge(
            "edge_detector_info",
            "1; the labels name the detector and its execution provider",
            ("detector", "sha256", "provider"),
            registry=self._registry,
        )
        self._stages = Histogram(
            "edge_stage_seconds", "time per frame", ("stage",), buckets=_BUCKETS, registry=self._registry
        )
        self._recent: dict[Stage, deque[float]] = {stage: deque(maxlen=_RECENT) for stage in STAGES}

    def add_camera(self, camera: str, labels: Sequence[str] = (FACE.label,)) -> None:
        """Create all counters of a camera, so that they begin at 0. ``labels`` are what is found."""
        self.cameras.append(camera)
        self._labels[camera] = tuple(labels)
        by_reason = (self._dropped, self._whole)
        for counter in self._counters.values():
            if counter not in (*by_reason, self._by_label):
                counter.labels(camera)
        for label in labels:
            self._by_label.labels(camera, label)
        for counter in by_reason:
            for reason in Reason:
                counter.labels(camera, reason.value)

    def set_detector(self, name: str, sha256: str, provider: str) -> None:
        """Set which detector runs, and on which execution provider."""
        self._info.clear()
        self.add_detector(name, sha256, provider)

    def add_detector(self, name: str, sha256: str, provider: str) -> None:
        """Add a further detector that runs."""
        self._info.labels(name, sha256, provider).set(1)

    def captured(self, camera: str, frames: int) -> None:
        self._captured.labels(camera).inc(frames)

    def dropped(self, camera: str, reason: Reason) -> None:
        self._dropped.labels(camera, reason.value).inc()

    def looked(self, camera: str, looked: int, kept: int, swept: int) -> None:
        """Count the parts of a frame: those looked at, those kept, and of the former the ones only swept."""
        self._looked.labels(camera).inc(looked)
        self._kept.labels(camera).inc(kept)
        self._swept.labels(camera).inc(swept)
        recent = self._pace.setdefault(camera, deque(maxlen=_RECENT))
        recent.append((monotonic(), looked, kept, swept))

    def pace(self, camera: str) -> Pace:
        """Frames detected on and parts of them, per second of the last ``PACE_SECONDS``."""
        since = monotonic() - PACE_SECONDS
        recent = [counts for time, *counts in list(self._pace.get(camera, ())) if time >= since]
        looked, kept, swept = (
            (sum(each) / PACE_SECONDS for each in zip(*recent, strict=True)) if recent else (0, 0, 0)
        )
        return Pace(len(recent) / PACE_SECONDS, looked, kept, swept)

    def covered_whole(self, camera: str, reason: Reason) -> None:
        self._whole.labels(camera, reason.value).inc()

    def written(
        self,
        camera: str,
        regions: int,
        held: int,
        covered: float,
        utc_ns: int,
        labels: Sequence[str] = (),
    ) -> None:
        """Count a stored image. ``covered`` is its covered share, 0..1; ``utc_ns`` its capture time.
        ``labels`` say what each region was covered for; empty: faces."""
        self._written.labels(camera).inc()
        self._regions.labels(camera).inc(regions)
        for label, number in Counts(labels or [FACE.label] * regions).items():
            self._by_label.labels(camera, label).inc(number)
        self._held.labels(camera).inc(held)
        self._last_images[camera] = utc_ns / 1e9
        self._covered[camera] = covered

    def regrown(self, camera: str) -> None:
        self._regrown.labels(camera).inc()

    def escalated(self, camera: str) -> None:
        self._escalated.labels(camera).inc()

    def checked(self, camera: str) -> None:
        """A frame of this camera has just passed the detector and all checks."""
        self._checked[camera] = monotonic()

    def checked_seconds_ago(self, camera: str) -> float | None:
        """Seconds since the last call of ``checked``; None before the first."""
        last = self._checked.get(camera)
        return None if last is None else monotonic() - last

    def last_image(self, camera: str) -> datetime | None:
        """Capture time (UTC) of the last stored image; None before the first."""
        seconds = self._last_images.get(camera)
        return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)

    def covered(self, camera: str) -> float | None:
        """Share of the last stored image that is covered, 0..1; None before the first."""
        return self._covered.get(camera)

    def observe(self, stage: Stage, seconds: float) -> None:
        self._stages.labels(stage).observe(seconds)
        self._recent[stage].append(seconds)

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Time a block as one stage of one frame, whether it fails or not."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.observe(stage, perf_counter() - begin)

    def count(self, name: str, camera: str, reason: Reason | None = None) -> int:
        """Value of the counter ``edge_<name>``; 0 if never increased. Raises KeyError: no such counter."""
        labels = [camera] if reason is None else [camera, reason.value]
        # The registry's own lookup would read every series of every metric for one number.
        (metric,) = self._counters[name].labels(*labels).collect()
        return int(metric.samples[0].value)

    def by_reason(self, name: str, camera: str) -> dict[str, int]:
        """Values of a counter by reason, without those that are 0."""
        counts = {reason.value: self.count(name, camera, reason) for reason in Reason}
        return {reason: number for reason, number in counts.items() if number}

    def by_label(self, camera: str) -> dict[str, int]:
        """Regions covered in stored images, by label; those that are 0, too."""
        counts = {}
        for label in self._labels.get(camera, ()):
            (metric,) = self._by_label.labels(camera, label).collect()
            counts[label] = int(metric.samples[0].value)
        return counts

    def percentiles(self, stage: Stage) -> tuple[float, float] | None:
        """Median and 95th percentile of the recent times of a stage in seconds; None without any."""
        times = list(self._recent[stage])
        if not times:
            return None
        low, high = np.percentile(times, [50, 95])
        return float(low), float(high)

    def text(self) -> bytes:
        """All counters and timings in the Prometheus text format."""
        return generate_latest(self._registry)
