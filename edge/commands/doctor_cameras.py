"""The cameras in ``edge doctor``: whether they deliver frames, what is looked for in these, and how fast."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from edge.commands.doctor_check import Check
from edge.config import CameraConfig, PrivacyConfig
from edge.detection import visibility
from edge.detection.detector import Detections
from edge.detection.gate import Gate, Plan
from edge.detection.joint import AnyDetector
from edge.detection.views import Search, View
from edge.errors import EdgeError
from edge.frames import Pixels, RawFrame
from edge.masking import error_text
from edge.sources import Source, make_source

SOURCE_FRAMES = 10
SOURCE_THREAD = "doctor-source"
MEASURE_SECONDS = 2.0
"""Measuring begins no further look after this time, so that a slow detector looks at a frame only once."""
SWEEP_FRAMES = 20
"""Frames in ``privacy.sweep_seconds`` of a camera that is imagined to measure what the sweep costs."""
CEILING_WORDS = ("ceiling", "decke", "dome", "fisheye", "overhead")
"""A camera with one of these in its name probably looks down on people."""


@dataclass(frozen=True)
class Pace:
    """Frames per second with one camera alone: when everything in them moves, and when nothing does.

    ``still`` is None where all of every frame is looked at, whether it moves or not.
    """

    moving: float
    still: float | None


def check_camera(
    name: str, camera: CameraConfig, privacy: PrivacyConfig, detector: AnyDetector | None
) -> Iterator[Check]:
    """The rows of one camera. What goes wrong becomes a row; no error is raised.

    Without a detector, nothing is said of faces.
    """
    stop = threading.Event()
    source = make_source(name, camera.model_copy(update={"loop": False}), stop)
    frames: list[RawFrame] = []
    yield _delivery(name, camera, source, stop, frames)
    search = Search.of(privacy, camera, continuous=source.continuous)
    if frames and detector is not None:
        yield _faces(f"camera {name}, faces", camera, privacy, detector, search, frames[-1].pixels)
    reason = _looks_down(name, camera)
    if reason and not search.any_orientation:
        yield Check(
            f"camera {name}, mounting",
            "warn",
            f"{reason}, but only faces that appear upright are looked for",
            f"where people appear at any angle: cameras.{name}.any_orientation = true, four times the work",
        )


def hanging() -> bool:
    """Whether a source that was checked still hangs. The process must then end by ``os._exit``: a thread that
    returns from OpenCV while Python shuts down aborts the process."""
    return any(thread.name == SOURCE_THREAD for thread in threading.enumerate())


def _delivery(
    name: str, camera: CameraConfig, source: Source, stop: threading.Event, frames: list[RawFrame]
) -> Check:
    """Open a source, read a few frames, and report their size and rate, within the camera's timeouts.

    ``stop`` ends the source. The last frame is left in ``frames``.
    """
    label = f"camera {name}"
    times: list[float] = []
    errors: list[str] = []

    def read() -> None:
        try:
            for frame in source:
                frames[:] = [frame]
                times.append(time.monotonic())
                if len(times) >= SOURCE_FRAMES:
                    return
        except EdgeError as error:
            errors.append(str(error))
        # A source calls third-party code, whose errors may quote the address.
        except Exception as unexpected:
            errors.append(f"{source.label}: {error_text(unexpected, camera.source)}")

    _bounded(read, stop, camera.open_timeout_seconds + camera.read_timeout_seconds)
    if errors:
        return Check(label, "fail", errors[0], "correct its source")
    if not frames:
        if camera.resolved_kind() == "folder":
            return Check(label, "ok", f"{source.label}: no picture there yet")
        return Check(label, "fail", f"{source.label}: no frame in time", "check the camera and its cable")
    text = f"{source.label}: {frames[-1].width}x{frames[-1].height}"
    if len(times) > 1 and times[-1] > times[0]:
        text += f", {(len(times) - 1) / (times[-1] - times[0]):.0f} frames per second"
    return Check(label, "ok", text)


def _bounded(work: Callable[[], None], stop: threading.Event, seconds: float) -> None:
    thread = threading.Thread(target=work, name=SOURCE_THREAD, daemon=True)
    thread.start()
    thread.join(seconds)
    stop.set()
    thread.join(1)


def _faces(
    label: str,
    camera: CameraConfig,
    privacy: PrivacyConfig,
    detector: AnyDetector,
    search: Search,
    pixels: Pixels,
) -> Check:
    """What is looked for in the frames of a camera, and how fast, measured on one of them."""
    height, width = pixels.shape[:2]
    try:
        views = detector.views(width, height, search)
        pace = _measure(detector, search, privacy, pixels)
    # Whatever the detector does to this frame, the other checks must go on.
    except Exception as error:
        text = f"{type(error).__name__}: {error_text(error, camera.source)}"
        return Check(
            label, "fail", text, "frames like this would be dropped: use another detector or provider"
        )
    orientation = " in any orientation" if search.any_orientation else ""
    speed = f"{_rate(pace.moving)} frames per second"
    if pace.still is not None:
        speed += f" when everything moves, {_rate(pace.still)} when nothing does"
    return Check(
        label,
        "ok",
        f"{width}x{height}, faces of {search.smallest_face:g} pixels and more{orientation}; "
        f"{_views_text(views)}; {speed}",
    )


def _views_text(views: Sequence[View]) -> str:
    """How many views there are, and on canvases of which sizes."""
    canvases = Counter(f"{view.letterbox.width}x{view.letterbox.height}" for view in views)
    sizes = ", ".join(f"{count} of {size}" for size, count in canvases.items())
    return f"{len(views)} {'view' if len(views) == 1 else 'views'} ({sizes})"


def _rate(per_second: float) -> str:
    return f"{per_second:#.2g}" if per_second < 10 else f"{per_second:.0f}"


def _measure(detector: AnyDetector, search: Search, privacy: PrivacyConfig, pixels: Pixels) -> Pace:
    """How fast frames like uint8 ``[H, W, 3]`` BGR can be searched if all of them are stored.

    Decoding, covering and storing come on top. Raises DetectionError.
    """
    again = {"always": 1.0, "covered": 1.0, "sampled": 1 / privacy.last_look_every_images, "off": 0.0}
    looks = 1 + again[privacy.last_look]
    sweep = privacy.sweep_seconds if search.in_parts else 0.0
    gate = Gate(detector, search, sweep)
    first = gate.plan(pixels, 0)
    look_seconds, found = _look(detector, first.views, pixels)
    gate.settle(first, found)
    plans: list[Plan] = []
    times: list[float] = []
    for number in range(1, 2 * SWEEP_FRAMES + 1):
        begin = time.perf_counter()
        if privacy.check_visibility:
            visibility.problem(pixels)
        plans.append(gate.plan(pixels, number * sweep / SWEEP_FRAMES))
        times.append(time.perf_counter() - begin)
    frame_seconds = median(times)
    moving = 1 / (frame_seconds + looks * look_seconds)
    if not search.in_parts:
        return Pace(moving, None)
    # The first sweep is not like those that follow: all of the frame has just been looked at.
    swept_share = looks * _swept_seconds(detector, plans[SWEEP_FRAMES:], pixels) / sweep
    return Pace(moving, max(moving, (1 - swept_share) / frame_seconds))


def _look(detector: AnyDetector, views: Sequence[View], pixels: Pixels) -> tuple[float, list[Detections]]:
    """How long a look at these views takes, in seconds, and what is found in them."""
    times: list[float] = []
    while sum(times) < MEASURE_SECONDS:
        begin = time.perf_counter()
        found = detector.look(pixels, views)
        times.append(time.perf_counter() - begin)
    return median(times[1:] or times), found  # the first one also allocates memory


def _swept_seconds(detector: AnyDetector, plans: Sequence[Plan], pixels: Pixels) -> float:
    """How many seconds the looks of all plans take, estimated from the first of them if they take long."""
    spent, parts = 0.0, 0
    for plan in plans:
        if spent >= MEASURE_SECONDS:
            break
        begin = time.perf_counter()
        detector.look(pixels, plan.views)
        spent += time.perf_counter() - begin
        parts += plan.looked
    return spent * sum(plan.looked for plan in plans) / max(parts, 1)


def _looks_down(name: str, camera: CameraConfig) -> str:
    """Why a camera probably sees people from above; empty if nothing says so."""
    if camera.mounting == "ceiling":
        return "it hangs on a ceiling"
    word = next((word for word in CEILING_WORDS if word in name), None)
    return f"its name says {word!r}" if word else ""
