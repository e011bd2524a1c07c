"""Ways to anonymize one clip: deface, ``edge run`` and ``edge blur``, and the faces that each leaves."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.leak.faces import COVERED_SHARE
from benchmarks.leak.judged import NO_FACE
from benchmarks.leak.reference import ClipReference
from benchmarks.leak.run import faces_of
from benchmarks.pipeline.appliance import output, run_appliance
from benchmarks.pipeline.result import (
    DEFACE_FULL,
    DEFACE_SCALED,
    DETECTOR_SIZE,
    EDGE,
    EDGE_BLUR,
    EDGE_BLUR_COARSE,
    EDGE_NO_LAST_LOOK,
    Compared,
    Leak,
)
from edge.boxes import Ints
from edge.config.privacy import SMALLEST_FACE, SMALLEST_FACE_IN_FILES
from edge.store import log_format


@dataclass(eq=False)
class Taken:
    """One run of a way. ``covered``: by frame number, the boxes ``x1 y1 x2 y2`` that were covered, or whose
    inscribed ``ellipses`` were; a frame that is not in it was not stored."""

    frames: int
    seconds: float
    cpu_seconds: float
    rss_megabytes: float
    covered: dict[int, list[list[int]]]
    ellipses: bool = False
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Way:
    """A row of the comparison while it is measured."""

    name: str
    writes: str
    run: Callable[[], Taken]
    taken: list[Taken] = field(default_factory=list)


def ways_of(file: Path, size: tuple[int, int], draft: Path, python: Path | None) -> list[Way]:
    """The rows of the comparison on a clip of ``size`` (width, height in pixels); those of deface first,
    where it is installed."""
    ways = []
    if python is not None:
        full, scaled = (partial(_run_deface, python, file, draft, size) for size in ("full", DETECTOR_SIZE))
        ways += [Way(DEFACE_FULL, "video", full), Way(DEFACE_SCALED, "video", scaled)]
    always, off = (partial(_run_edge, file, size, draft, last_look) for last_look in ("always", "off"))
    ways += [Way(EDGE, "images", always), Way(EDGE_NO_LAST_LOOK, "images", off)]
    fine, coarse = (partial(_run_blur, file, draft, face) for face in (SMALLEST_FACE_IN_FILES, SMALLEST_FACE))
    return [*ways, Way(EDGE_BLUR, "video", fine), Way(EDGE_BLUR_COARSE, "video", coarse)]


def _run_deface(python: Path, clip: Path, draft: Path, size: str) -> Taken:
    runner = Path(__file__).with_name("_deface_runner.py")
    command = [str(python.absolute()), str(runner), str(clip), str(draft / "deface.mp4"), size]
    return _run_clip(command, ellipses=True)


def _run_blur(clip: Path, draft: Path, smallest_face: int) -> Taken:
    runner = "benchmarks.pipeline._blur_runner"
    return _run_clip([sys.executable, "-m", runner, str(clip), str(draft / "blur.mp4"), str(smallest_face)])


def _run_clip(command: list[str], *, ellipses: bool = False) -> Taken:
    done = json.loads(output(command))
    return Taken(
        done["frames"],
        done["seconds"],
        done["cpu_seconds"],
        done["rss_megabytes"],
        dict(enumerate(done["covered"])),
        ellipses,
        done.get("packages", {}),
    )


def _run_edge(clip: Path, size: tuple[int, int], draft: Path, last_look: str) -> Taken:
    settings = {"privacy": {"last_look": last_look}, "audit": {"boxes": True}}
    run, store = run_appliance([clip], draft, settings)
    covered = {}
    for file in log_format.log_files(store):
        for record in map(log_format.decode_line, file.read_bytes().splitlines()):
            if record["event"] == "image":
                covered[record["frame"]] = [[0, 0, *size]] if record["whole"] else record["boxes"]
    return Taken(run.frames, run.seconds, run.cpu_seconds, run.rss_megabytes, covered)


def fps_of(frames: int, seconds: float) -> float:
    return frames / seconds


def compared_of(
    way: Way, base: float | None, clip: str, reference: ClipReference | None, size: tuple[int, int]
) -> Compared:
    """The figures of a way; ``base`` are the frames per second of deface, ``clip`` is the name by which what
    a person judged of it is found."""
    fps = [fps_of(taken.frames, taken.seconds) for taken in way.taken]
    return Compared(
        name=way.name,
        writes=way.writes,
        frames=way.taken[0].frames,
        fps=round(statistics.median(fps), 2),
        fps_min=round(min(fps), 2),
        fps_max=round(max(fps), 2),
        cpu_ms=round(statistics.median(t.cpu_seconds / t.frames * 1e3 for t in way.taken), 2),
        rss_megabytes=round(max(t.rss_megabytes for t in way.taken), 1),
        times_deface=round(statistics.median(fps) / base, 2) if base else 0.0,
        leak=None if reference is None else leak(clip, reference, way.taken[0], size),
    )


def leak(name: str, reference: ClipReference, taken: Taken, size: tuple[int, int]) -> Leak:
    """Count face-frames of a clip whose reference box is covered by less than 60 %.

    A frame that was not stored leaks nothing, and its faces do not count.
    """
    width, height = size
    scale = np.array([width / reference.width, height / reference.height] * 2)
    judged = list(NO_FACE.get(name, ()))
    face_frames = uncovered = 0
    for number, boxes in taken.covered.items():
        faces = [f for f in faces_of(reference, number, judged) if f.large and not f.no_face]
        if not faces:
            continue
        face_frames += len(faces)
        mask = painted(boxes, width, height, ellipses=taken.ellipses)
        for face in faces:
            x1, y1, x2, y2 = np.round(np.array(face.box) * scale).astype(int).tolist()
            uncovered += bool(mask[max(0, y1) : y2, max(0, x1) : x2].mean() < COVERED_SHARE)
    return Leak(face_frames=face_frames, uncovered=uncovered)


def painted(boxes: Sequence[Sequence[int]] | Ints, width: int, height: int, *, ellipses: bool) -> Any:
    """A mask, uint8 ``[height, width]``, of boxes ``x1 y1 x2 y2``, or of the ellipses inscribed in them."""
    mask = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in boxes:
        if not ellipses:
            mask[y1:y2, x1:x2] = 1
        elif x2 > x1 and y2 > y1:
            centre, axes = ((x1 + x2) // 2, (y1 + y2) // 2), ((x2 - x1) // 2, (y2 - y1) // 2)
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    return mask
