"""What the soak demands. Each check judges the record: passed, failed, or cannot tell."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.soak.chain import Chain
from benchmarks.soak.faults import SAID, Fault
from benchmarks.soak.scene import FACE_LEFT
from benchmarks.soak.watch import Image, Poll, Sample
from edge.reasons import Reason

WARM_UP_SECONDS = 120.0
"""Left out when growth is judged: buffers fill and memory pools find their size."""
LEAST_FRAMES = 20_000
"""Captured frames after the warm-up that are needed to tell a slope of memory from noise."""
MB_PER_10000_FRAMES = 1.0
MORE_THREADS, MORE_DESCRIPTORS = 2, 4
FACE_SCORE = 0.5
AFTER_DAMAGE_SECONDS = 3.0
"""How long after a fault that changes bytes a picture may still be damaged: until the next whole one."""
SLACK_SECONDS = 1.0
COVERED_SHARE = 0.05
"""Largest share of images that may be covered up to the strip, far from any face: they cannot be judged."""
SLOWEST_DETECTION_SECONDS = 0.5
"""The machine is fast enough when, in the median, each live camera gets a detection this often."""
MOST_EXAMPLES = 10
FROZEN_SECONDS = 0.5
"""The last picture was drawn at most this long before or after the fault began."""
TICK_FRAMES = 50
"""Frames of one camera that may arrive during one tick: five seconds."""

_LAST_LINE = re.compile(r"camera (\S+): captured (\d+), written (\d+), dropped (none|\{[^}]*\}), state")


@dataclass
class Record:
    """Everything that was seen."""

    cameras: list[str]
    pid: int
    polls: list[Poll] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    suspects: list[Image] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    chain: Chain | None = None
    gone: float | None = None
    exit_code: int | None = None
    log: str = ""
    max_frame_age: float = 2.0
    hold_before_frames: int = 3
    quarantine_seconds: float = 0.0
    most_in_flight: int = 0
    """Frames of one camera that may wait at once: slot, delay line, queue of the store, quarantine."""

    @property
    def hold_seconds(self) -> float:
        """What the delay line and the quarantine may take on a machine that is fast enough."""
        return self.hold_before_frames * SLOWEST_DETECTION_SECONDS + self.quarantine_seconds


@dataclass
class Check:
    """``good`` is None where this run cannot tell."""

    name: str
    good: bool | None
    figures: dict[str, Any]


def last_words(log: str) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Captured, written and dropped frames of each camera, from the lines at the end of the log."""
    return {
        name: (
            int(captured),
            int(written),
            {reason: int(n) for reason, n in re.findall(r"'(\w+)': (\d+)", dropped)},
        )
        for name, captured, written, dropped in _LAST_LINE.findall(log)
    }


def _lived(record: Record) -> Check:
    starts = len(re.findall(r"finds the known face \(overlap", record.log))
    good = record.gone is None and record.exit_code == 0 and starts == 1
    figures = {"pid": record.pid, "gone_at": record.gone, "exit_code": record.exit_code, "starts": starts}
    return Check("the process lived to the end and ended with 0", good, figures)


def _log(record: Record) -> Check:
    lines = record.log.splitlines()
    found = [line for line in lines if "Traceback" in line]
    figures = {
        "lines": len(lines),
        "warnings": sum(" WARNING " in line for line in lines),
        "errors": sum(" ERROR " in line for line in lines),
    }
    return Check("no traceback in the log", bool(lines) and not found, figures)


def _damaging(record: Record, image: Image) -> bool:
    """Whether an image was stored while, or just after, the bytes of its camera were being changed."""
    wait = record.max_frame_age + record.hold_seconds + AFTER_DAMAGE_SECONDS
    return any(
        fault.target == image.camera
        and fault.kind in ("flip", "noise")
        and fault.begin <= image.at <= (fault.end or float("inf")) + wait
        for fault in record.faults
    )


def _frozen(record: Record, image: Image) -> bool:
    """Whether an image shows what a camera, frozen behind its encoder, had seen when that began."""
    return image.shown is not None and any(
        fault.target == image.camera
        and fault.kind == "frozen"
        and abs(fault.begin - image.shown) < FROZEN_SECONDS
        and image.at >= fault.begin
        for fault in record.faults
    )


def _readable(record: Record) -> Check:
    covered = [image for image in record.images if image.strip == "covered"]
    damaged = [image for image in record.images if image.strip == "damaged"]
    unexplained = [image for image in damaged if not _damaging(record, image)]
    wrong = [image for image in record.images if not image.right_camera]
    figures = {
        "images": len(record.images),
        "covered": len(covered),
        "damaged_by_fault": len(damaged) - len(unexplained),
        "damaged": _names(unexplained),
        "of_another_camera": _names(wrong),
        "no_whole_picture": record.broken[:MOST_EXAMPLES],
    }
    few = len(covered) <= COVERED_SHARE * len(record.images)
    good = bool(record.images) and few and not unexplained and not wrong and not record.broken
    return Check("every image shows its strip, and its own camera's", good, figures)


def _fresh(record: Record) -> Check:
    bound = record.max_frame_age + record.hold_seconds + SLACK_SECONDS
    aged = [(i.age, i) for i in record.images if i.age is not None and not _frozen(record, i)]
    old = [image for age, image in aged if age > bound]
    ages = [age for age, _ in aged]
    figures: dict[str, Any] = {"bound_seconds": round(bound, 2), "stale": len(old)}
    if ages:
        figures |= {
            "median_seconds": round(float(np.median(ages)), 3),
            "p99_seconds": round(float(np.percentile(ages, 99)), 3),
            "oldest_seconds": max(ages),
        }
    figures["examples"] = [f"{_cause(record, image)}: {image.age} s" for image in old[:MOST_EXAMPLES]]
    return Check("no image is older than it may be when it is stored", bool(aged) and not old, figures)


def _named(record: Record) -> Check:
    bound = record.max_frame_age + SLACK_SECONDS
    named = [(i.late, i) for i in record.images if i.late is not None and not _frozen(record, i)]
    late = [image for seconds, image in named if abs(seconds) > bound]
    lateness = [seconds for seconds, _ in named]
    figures: dict[str, Any] = {"bound_seconds": bound, "late": len(late)}
    if lateness:
        figures |= {
            "median_seconds": round(float(np.median(lateness)), 3),
            "largest_seconds": max(lateness, key=abs),
        }
    figures["examples"] = [f"{_cause(record, image)}: {image.late} s" for image in late[:MOST_EXAMPLES]]
    return Check("the time in each name is when the picture was taken", bool(lateness) and not late, figures)


def _once(record: Record) -> Check:
    seen: set[tuple[str, float]] = set()
    again = []
    for image in record.images:
        if image.shown is not None and not _frozen(record, image):
            key = (image.camera, image.shown)
            if key in seen:
                again.append(image)
            seen.add(key)
    examples = [f"{_cause(record, image)}: shown at {image.shown} s" for image in again[:MOST_EXAMPLES]]
    return Check(
        "no picture is stored twice", bool(seen) and not again, {"repeated": len(again), "examples": examples}
    )


def _noticed(record: Record) -> Check:
    """A camera that is frozen behind its encoder. Kept apart from the other checks: no two of its pictures
    are equal, so this is harder to see than a camera that repeats itself."""
    frozen = [fault for fault in record.faults if fault.kind == "frozen"]
    images = [image for image in record.images if _frozen(record, image)]
    kinds = {(image.camera, image.shown) for image in images}
    figures = {"faults": len(frozen), "stored_again": len(images) - len(kinds)}
    good = None if not frozen else len(images) == len(kinds)
    return Check("a camera frozen behind its encoder is noticed", good, figures)


def _covered(record: Record) -> Check:
    left = [image.face_left for image in record.images]
    scores = [image.score for image in record.images if image.score is not None]
    figures: dict[str, Any] = {
        "images": len(left),
        "also_by_detector": len(scores),
        "largest_correlation": max(left, default=None),
        "bound_correlation": FACE_LEFT,
        "best_score": None if not scores else round(max(scores), 3),
        "bound_score": FACE_SCORE,
        "suspects": _names(record.suspects),
    }
    good = bool(scores) and max(left) < FACE_LEFT and max(scores) < FACE_SCORE
    return Check("no face is left on any image", good, figures)


def _recovered(record: Record) -> Check:
    slow = [f for f in record.faults if f.recovered is None or f.recovered > f.bound]
    slowest: dict[str, float] = {}
    for fault in record.faults:
        if fault.recovered is not None:
            slowest[fault.kind] = max(slowest.get(fault.kind, 0.0), fault.recovered)
    figures = {
        "faults": len(record.faults),
        "slowest_seconds": slowest,
        "too_slow": [
            f"{f.target} {f.kind} at {f.begin:.0f} s for {f.seconds} s: {f.recovered} of {f.bound} s"
            for f in slow
        ],
    }
    good = None if not record.faults else not slow
    return Check("every camera was back in time after every fault", good, figures)


def _accounts(record: Record) -> Check:
    words = last_words(record.log)
    stored = {name: sum(image.camera == name for image in record.images) for name in record.cameras}
    for line in record.broken:
        stored[line.split("/")[0]] += 1
    for name, images in (record.chain.unseen if record.chain else {}).items():
        stored[name] += images
    off = []
    for name in record.cameras:
        if name not in words:
            off.append(f"{name}: no line at the end of the log")
            continue
        captured, written, dropped = words[name]
        counted = written + sum(n for reason, n in dropped.items() if not Reason(reason).before_capture)
        if captured != counted:
            off.append(f"{name}: captured {captured}, but written and dropped make {counted}")
        if written != stored[name]:
            off.append(f"{name}: written {written}, but {stored[name]} images were found")
    waiting = [number for poll in record.polls for number in poll.in_flight.values()]
    # Captured frames are counted by the tick, overtaken ones at once.
    if waiting and not -TICK_FRAMES <= min(waiting) <= max(waiting) <= record.most_in_flight + 2:
        off.append(f"between {min(waiting)} and {max(waiting)} frames in flight")
    figures = {
        "cameras": {
            name: {"captured": captured, "written": written, "dropped": dropped}
            for name, (captured, written, dropped) in words.items()
        },
        "in_flight": [min(waiting, default=None), max(waiting, default=None)],
        "bound_in_flight": record.most_in_flight,
        "off": off,
    }
    return Check("the accounts of every camera add up", not off, figures)


def _traces(record: Record) -> Check:
    """What a fault left behind, and whether the status said what was wrong."""
    told = [f for f in record.faults if f.kind in SAID]
    silent = [f for f in told if not any(SAID[f.kind] in text for text in f.said)]
    figures = {
        "faults_of_box": sum(f.of_box for f in record.faults),
        "told": len(told) - len(silent),
        "silent": [f"{f.target} {f.kind} at {f.begin:.0f} s for {f.seconds} s" for f in silent],
        "flaws": [
            f"{f.target} {f.kind} at {f.begin:.0f} s: {flaw}" for f in record.faults for flaw in f.flaws
        ][:MOST_EXAMPLES],
    }
    good = None if not record.faults else not silent and not any(f.flaws for f in record.faults)
    return Check("the status says what is wrong, and nothing is left of it", good, figures)


def _acknowledged(record: Record) -> Check:
    """The audit log against what the reader found. Only a full disk may make the daemon remove images."""
    name = "no acknowledged image is lost, and the audit log says what was found"
    chain = record.chain
    if chain is None:
        return Check(name, None, {})
    figures = {
        "acknowledged": chain.acknowledged,
        "lost": chain.lost[:MOST_EXAMPLES],
        "unrecorded": chain.unrecorded[:MOST_EXAMPLES],
        "purged": dict(chain.purged),
        "purged_before_seen": sum(chain.unseen.values()),
        "clock": dict(chain.clock),
        "audit": chain.wrong[:MOST_EXAMPLES],
    }
    wrong = chain.lost or chain.unrecorded or chain.wrong or set(chain.purged) - {"min_free"}
    return Check(name, bool(chain.acknowledged) and not wrong, figures)


def _settled(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.at >= WARM_UP_SECONDS]


def _memory(record: Record) -> Check:
    samples = _settled(record.samples)
    frames = samples[-1].captured - samples[0].captured if samples else 0
    figures: dict[str, Any] = {
        "frames": frames,
        "peak_mb": round(max((s.rss_mb for s in record.samples), default=0.0), 1),
    }
    if frames < 2 or len(samples) < 3:
        return Check("memory does not grow", None, figures)
    slope, _ = np.polyfit([s.captured / 10_000 for s in samples], [s.rss_mb for s in samples], 1)
    figures |= {
        "first_mb": round(samples[0].rss_mb, 1),
        "last_mb": round(samples[-1].rss_mb, 1),
        "mb_per_10000_frames": round(float(slope), 3),
        "bound": MB_PER_10000_FRAMES,
    }
    good = None if frames < LEAST_FRAMES else bool(slope < MB_PER_10000_FRAMES)
    return Check("memory does not grow", good, figures)


def _handles(record: Record) -> Check:
    """Threads and descriptors of quiet moments, first third against last."""
    quiet = [sample for sample in _settled(record.samples) if sample.quiet]
    third = len(quiet) // 3
    figures: dict[str, Any] = {"quiet_samples": len(quiet)}
    if third < 3:
        return Check("threads and open files do not grow", None, figures)
    growth = {}
    for name in ("threads", "descriptors"):
        values = [getattr(sample, name) for sample in quiet]
        first, last = float(np.median(values[:third])), float(np.median(values[-third:]))
        figures[name] = {"first": first, "last": last, "peak": max(values)}
        growth[name] = last - first
    good = growth["threads"] <= MORE_THREADS and growth["descriptors"] <= MORE_DESCRIPTORS
    return Check("threads and open files do not grow", good, figures)


def _pace(record: Record) -> Check:
    """Detections per second and camera while nothing is wrong."""
    rates: dict[str, list[float]] = {name: [] for name in record.cameras}
    for before, after in itertools.pairwise(record.polls):
        for name in record.cameras:
            if before.states[name] == after.states[name] == "live":
                detections = after.detections[name] - before.detections[name]
                rates[name].append(detections / (after.at - before.at))
    medians = {name: round(float(np.median(values)), 2) for name, values in rates.items() if values}
    figures: dict[str, Any] = {
        "detections_per_second": medians,
        "wanted": 1 / SLOWEST_DETECTION_SECONDS,
        "load_levels": sorted({poll.load_level for poll in record.polls}),
    }
    good = len(medians) == len(record.cameras) and min(medians.values()) >= 1 / SLOWEST_DETECTION_SECONDS
    return Check("the machine is quick enough for the bounds of this soak", good, figures)


CHECKS: tuple[Callable[[Record], Check], ...] = (
    _lived, _log, _covered, _readable, _fresh, _named, _once, _noticed, _recovered, _traces,
    _acknowledged, _accounts, _pace, _memory, _handles
)  # fmt: skip


def judge(record: Record) -> list[Check]:
    """Every check, in the order in which it is printed."""
    return [check(record) for check in CHECKS]


def _names(images: Sequence[Image]) -> list[str]:
    return [f"{image.camera}/{image.name}" for image in images[:MOST_EXAMPLES]]


def _cause(record: Record, image: Image) -> str:
    """The last fault of the image's camera, or of the box, before it was stored."""
    before = [f for f in record.faults if (f.of_box or f.target == image.camera) and f.begin <= image.at]
    if not before:
        return f"{image.camera} at {image.at:.1f} s, no fault before"
    last = max(before, key=lambda fault: fault.begin)
    return (
        f"{image.camera} at {image.at:.1f} s, after {last.target} {last.kind} {last.begin:.1f}-{last.end:.1f}"
    )
