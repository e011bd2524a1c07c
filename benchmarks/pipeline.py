"""The whole appliance on a clip, and beside deface: ``python -m benchmarks pipeline [CLIP]``.

Every run is a process of its own (``benchmarks._pipeline_runner``): capture, detector, hold, blur, the last
look, and the durable store on a real disk, with the defaults of the configuration but for what a row says.
No frame is skipped: the clip is read as fast as the rest can follow. Rows take turns, round by round.

*Outside the detector* is the CPU time of the whole process, decoding and JPEG included, less what the looks
took (scaling to the canvas, inference, suppression; the last look, too); it is measured with one thread for
the detector, since then that time is the calling thread's own.

``edge blur`` takes the same clip as a file and writes a video, as deface does.

deface lives in an environment of its own; it gets the same clip and carries the same weights, once as it
comes (detection at the size of the picture) and once with ``--scale`` at our detector's size.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import _clips, _leak_reference, common
from benchmarks._leak_faces import COVERED_SHARE
from benchmarks._leak_judged import NO_FACE
from benchmarks._leak_reference import ClipReference
from benchmarks.leak_rate import REFERENCE, faces_of
from benchmarks.machine import wait_for_quiet, watched
from benchmarks.pipeline_result import (
    COMPARED_SIZE,
    DEFACE_FULL,
    DEFACE_SCALED,
    DETECTOR_CANVAS,
    DETECTOR_SIZE,
    EDGE,
    EDGE_BLUR,
    EDGE_BLUR_SCALED,
    EDGE_NO_LOOK,
    Compared,
    Leak,
    PipelineResult,
    Row,
    Run,
    targets,
)
from edge.boxes import Ints
from edge.store import log_format

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
CAMERAS = (1, 2, 4, 8)
FACES = (0, 1, 10, 100)
DEFACE = ("deface==1.5.0", "onnxruntime>=1.19,<2")
FRAMES_SECONDS = 900
"""A run that takes longer has failed."""


@dataclass(eq=False)
class Way:
    """A row of the comparison while it is measured."""

    name: str
    writes: str
    run: Callable[[], Taken]
    taken: list[Taken] = field(default_factory=list)


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


def measure(
    clip: Path | None,
    *,
    command: str,
    rounds: int = 3,
    frames: int = 40,
    compared: int | None = None,
    cameras: Sequence[int] = CAMERAS,
    sizes: Sequence[str] = tuple(SIZES),
    faces: Sequence[int] = FACES,
    deface: Path | None = Path("build/deface-venv"),
    folder: Path = Path("build"),
    wait: bool = False,
) -> PipelineResult:
    """Measure everything; ``frames`` per camera for the rows, ``compared`` of the clip for the comparison
    (None: all).

    ``deface`` is where its environment is or will be made, None to leave it out. Images go to a folder below
    ``folder``, which is removed. ``wait``: first for the load average to fall. Raises SystemExit (2) when the
    clip is no video, or deface cannot be installed.
    """
    python = None if deface is None else common.environment(deface, DEFACE)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="pipeline-") as name:
        draft = Path(name)
        rows = _rows(clip, draft, frames, cameras, sizes, faces)
        ways = _ways(clip, draft, python, compared)
        if wait:
            wait_for_quiet()
        with watched() as watch:
            for number in range(rounds):
                for place, (_, run) in enumerate(_turned(rows, number)):
                    _say(f"round {number + 1} of {rounds}: row {place + 1} of {len(rows)}")
                    run()
                for way in _turned(ways, number):
                    _say(f"round {number + 1} of {rounds}: {way.name}")
                    way.taken.append(way.run())
        reference = reference_of(clip)
        size = SIZES[COMPARED_SIZE]
        base = statistics.median(_fps(t.frames, t.seconds) for t in ways[0].taken) if python else None
        told = [_compared(way, base, clip, reference, size) for way in ways]
        made = [make() for make, _ in rows]
    return PipelineResult(
        command=command,
        machine=watch.machine,
        clip="the camera of edge demo" if clip is None else clip.name,
        reference=reference is not None,
        rounds=rounds,
        rows=made,
        compared=told,
        deface=next((way.taken[0].packages for way in ways if way.taken[0].packages), {}),
        targets=targets(made, told),
    )


_Measured = tuple[Callable[[], Row], Callable[[], None]]


def _turned(items: Sequence[Any], number: int) -> list[Any]:
    """Each round begins with another one, so that what the machine does meanwhile hits all alike."""
    turn = number % max(1, len(items))
    return [*items[turn:], *items[:turn]]


def _rows(
    clip: Path | None,
    draft: Path,
    frames: int,
    cameras: Sequence[int],
    sizes: Sequence[str],
    faces: Sequence[int],
) -> list[_Measured]:
    """Make the clips that the rows need; each row is how to run it once more and how to sum it up."""
    scaled = {}
    for size in dict.fromkeys([COMPARED_SIZE, *sizes]):
        scaled[size] = draft / f"clip-{size}.mp4"
        prepare(clip, scaled[size], *SIZES[size], frames)
    walls = {count: draft / f"wall-{count}.mp4" for count in faces}
    for count, file in walls.items():
        _clips.write_wall(file, *SIZES["1080p"], count, frames)
    wanted: list[tuple[Path, int, str, int | None, int, str]] = []
    wanted += [(scaled[COMPARED_SIZE], count, COMPARED_SIZE, None, 0, "always") for count in cameras]
    wanted += [(scaled[size], 1, size, None, 0, "always") for size in sizes if size != COMPARED_SIZE]
    wanted += [(walls[count], 1, "1080p", count, 1, "always") for count in faces]
    wanted += [(walls[0], 1, "1080p", 0, 1, "covered")] if 0 in walls else []
    return [_row(draft, *row) for row in wanted]


def _row(
    draft: Path, file: Path, cameras: int, size: str, faces: int | None, threads: int, last_look: str
) -> _Measured:
    runs: list[Run] = []
    settings = {"detector": {"threads": threads}, "privacy": {"last_look": last_look}}

    def run() -> None:
        runs.append(run_appliance([file] * cameras, draft, settings)[0])

    def make() -> Row:
        shown = "the clip" if faces is None else f"{faces} faces"
        fps = [_fps(run.frames, run.seconds) for run in runs]
        outside = [(run.cpu_seconds - run.detector_cpu_seconds) / run.frames * 1e3 for run in runs]
        return Row(
            name=f"{cameras} x {size}, {shown}"
            + (f", last_look = {last_look}" if last_look != "always" else ""),
            cameras=cameras,
            size=size,
            faces=faces,
            threads=threads,
            runs=runs,
            fps=round(statistics.median(fps), 2),
            fps_min=round(min(fps), 2),
            fps_max=round(max(fps), 2),
            cpu_ms=round(statistics.median(run.cpu_seconds / run.frames * 1e3 for run in runs), 2),
            outside_ms=round(statistics.median(outside), 2) if threads == 1 else None,
            bare_ms=round(statistics.median(run.bare_cpu_seconds for run in runs) * 1e3, 2),
        )

    return make, run


def prepare(clip: Path | None, target: Path, width: int, height: int, frames: int | None) -> None:
    """Write a clip, or that of the synthetic camera, at a size, at most its first ``frames``."""
    if clip is not None:
        _clips.write_scaled(clip, target, width, height, frames)
        return
    demo = target.with_name("demo.mp4")
    if not demo.exists():
        _clips.write_demo(demo, 150)
    _clips.write_scaled(demo, target, width, height, frames)


def run_appliance(clips: Sequence[Path], draft: Path, settings: dict[str, Any]) -> tuple[Run, Path]:
    """Run the appliance once in a fresh process; returns the figures and the folder of its images.

    Raises SystemExit (2) when it fails.
    """
    store = Path(tempfile.mkdtemp(dir=draft, prefix="store-"))
    spec = {"clips": [str(clip) for clip in clips], "settings": {"store": {"folder": str(store)}, **settings}}
    done = json.loads(_output([sys.executable, "-m", "benchmarks._pipeline_runner", json.dumps(spec)]))
    return Run.model_validate(done), store


def _output(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FRAMES_SECONDS, check=False, cwd=common.ROOT
    )
    if done.returncode != 0:
        raise common.give_up(f"{' '.join(command[:4])} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def _ways(clip: Path | None, draft: Path, python: Path | None, frames: int | None) -> list[Way]:
    """The rows of the comparison; deface first where it is."""
    file = draft / "compared.mp4"
    prepare(clip, file, *SIZES[COMPARED_SIZE], frames)
    ways = []
    if python is not None:
        full, scaled = (partial(_run_deface, python, file, draft, size) for size in ("full", DETECTOR_SIZE))
        ways += [Way(DEFACE_FULL, "video", full), Way(DEFACE_SCALED, "video", scaled)]
    always, off = (partial(_run_edge, file, draft, last_look) for last_look in ("always", "off"))
    ways += [Way(EDGE, "images", always), Way(EDGE_NO_LOOK, "images", off)]
    native, small = (partial(_run_blur, file, draft, size) for size in ("native", DETECTOR_CANVAS))
    return [*ways, Way(EDGE_BLUR, "video", native), Way(EDGE_BLUR_SCALED, "video", small)]


def _run_deface(python: Path, clip: Path, draft: Path, size: str) -> Taken:
    runner = common.ROOT / "benchmarks" / "_deface_clip_runner.py"
    command = [str(python.absolute()), str(runner), str(clip), str(draft / "deface.mp4"), size]
    return _run_clip(command, ellipses=True)


def _run_blur(clip: Path, draft: Path, size: str) -> Taken:
    runner = "benchmarks._blur_clip_runner"
    return _run_clip([sys.executable, "-m", runner, str(clip), str(draft / "blur.mp4"), size])


def _run_clip(command: list[str], *, ellipses: bool = False) -> Taken:
    done = json.loads(_output(command))
    return Taken(
        done["frames"],
        done["seconds"],
        done["cpu_seconds"],
        done["rss_megabytes"],
        dict(enumerate(done["covered"])),
        ellipses,
        done.get("packages", {}),
    )


def _run_edge(clip: Path, draft: Path, last_look: str) -> Taken:
    settings = {"privacy": {"last_look": last_look}, "audit": {"boxes": True}}
    run, store = run_appliance([clip], draft, settings)
    covered = {}
    for file in log_format.log_files(store):
        for record in map(log_format.decode_line, file.read_bytes().splitlines()):
            if record["event"] == "image":
                width, height = SIZES[COMPARED_SIZE]
                covered[record["frame"]] = [[0, 0, width, height]] if record["whole"] else record["boxes"]
    return Taken(run.frames, run.seconds, run.cpu_seconds, run.rss_megabytes, covered)


def _fps(frames: int, seconds: float) -> float:
    return frames / seconds


def _compared(
    way: Way, base: float | None, clip: Path | None, reference: ClipReference | None, size: tuple[int, int]
) -> Compared:
    fps = [_fps(taken.frames, taken.seconds) for taken in way.taken]
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
        leak=None if clip is None or reference is None else leak(clip.stem, reference, way.taken[0], size),
    )


def reference_of(clip: Path | None) -> ClipReference | None:
    """The faces of a clip by benchmarks/leak_rate.py; None where nobody knows them."""
    if clip is None or not REFERENCE.is_file():
        return None
    found = _leak_reference.load(REFERENCE)[1].get(clip.stem)
    return found if found is not None and found.sha256 == _leak_reference.sha256_of(clip) else None


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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
