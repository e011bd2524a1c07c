"""Tools on scenes, each by its own command, and what they left of the faces in what they wrote.

Frames per second and CPU time are those of the whole process, start included.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common
from benchmarks.last_look_rate import clip_frames
from benchmarks.scenes import walkers
from benchmarks.scenes.judge import changed_beside, faces_left
from benchmarks.scenes.packing import Scene, boxes_in, write_clip
from benchmarks.scenes.result import SIDES, Count, Parts, Row, counts
from benchmarks.scenes.walkers import FixedScene, parked, quieter
from convert.training.datasets import DatasetError, LabelledObject
from edge.boxes import Floats
from edge.frames import Pixels
from edge.store import log_format

Settings = dict[str, dict[str, Any]]
"""Sections of the configuration."""
SMALL_CANVAS: Settings = {
    "detector": {"canvas": "640x384", "score_begin": 0.35, "score_continue": 0.2},
    "privacy": {"smallest_face_pixels": 1000, "sweep_seconds": 0},
}
"""Every frame scaled to 640x384, for which no face is too small: quick, and blind to small ones."""
RUN_SECONDS, POLL_SECONDS = 3600, 0.05
"""A tool that takes longer than the first has failed. The second is how often it is asked for its memory."""

_SCRIPT = Path(sys.executable).with_name("edge")
_PARTS = re.compile(r"camera \S+: looked at (\d+) parts of frames \((\d+) of them .*\), left out (\d+) in ")


Truth = Callable[[int], tuple[Floats, list[LabelledObject]]]
"""The faces that are wholly in a frame (its number from 0), and their boxes, float32 ``[N, 4]``."""


@dataclass(eq=False)
class Footage:
    """Files of ``frames`` frames each, a picture being one frame, and what each shows."""

    files: list[Path]
    truths: list[Truth]
    frames: int = 1

    @property
    def total(self) -> int:
        """Frames of all files."""
        return self.frames * len(self.files)


@dataclass(eq=False)
class Work:
    """Scenes on the disk: ``stills`` as PNG, the others as MP4: ``clips`` of a camera that drifts, and
    those of one that hangs still, with many people (``fixed``), few (``quieter``) or none (``parked``).
    """

    folder: Path
    stills: Footage
    clips: Footage
    fixed: Footage
    quieter: Footage
    parked: Footage


@dataclass(frozen=True)
class Done:
    """A command that has ended: how long it took, what it used of the CPU, its peak memory (None where that
    cannot be told), and what it logged."""

    seconds: float
    cpu_seconds: float
    megabytes: float | None
    log: str


@dataclass(eq=False)
class Output:
    """Frame ``number`` before and after a tool, both uint8 ``[H, W, 3]`` BGR, and what it shows."""

    original: Pixels
    written: Pixels
    number: int
    truth: Truth


def write_work(
    stills: Sequence[Scene],
    clips: Sequence[Scene],
    frames: int,
    fixed: Sequence[FixedScene],
    fixed_frames: int,
    folder: Path,
) -> Work:
    """Write scenes to ``folder``: clips with ``frames`` frames each, and those of a fixed camera with
    ``fixed_frames``. Raises DatasetError."""
    return Work(
        folder,
        write_stills(stills, folder / "stills"),
        write_clips(clips, frames, folder / "clips"),
        write_fixed(fixed, fixed_frames, folder / "fixed"),
        write_fixed([quieter(scene) for scene in fixed], fixed_frames, folder / "quieter"),
        write_fixed([parked(scene) for scene in fixed], fixed_frames, folder / "parked"),
    )


def write_stills(scenes: Sequence[Scene], folder: Path) -> Footage:
    """Write scenes as PNG to a new folder. Raises DatasetError."""
    files = _names(folder, len(scenes), ".png")
    for file, scene in zip(files, scenes, strict=True):
        if not cv2.imwrite(str(file), scene.pixels):
            raise DatasetError(f"{file}: cannot be written")
    return Footage(files, [partial(_all_faces, scene) for scene in scenes])


def _all_faces(scene: Scene, number: int) -> tuple[Floats, list[LabelledObject]]:
    return scene.boxes, list(scene.faces)


def write_clips(scenes: Sequence[Scene], frames: int, folder: Path) -> Footage:
    """Write clips of a camera that drifts to a new folder."""
    files = _names(folder, len(scenes), ".mp4")
    for file, scene in zip(files, scenes, strict=True):
        write_clip(scene, file, frames)
    return Footage(files, [partial(boxes_in, scene, frames) for scene in scenes], frames)


def write_fixed(scenes: Sequence[FixedScene], frames: int, folder: Path) -> Footage:
    """Write clips of a camera that hangs still to a new folder."""
    files = _names(folder, len(scenes), ".mp4")
    for file, scene in zip(files, scenes, strict=True):
        walkers.write_clip(scene, file, frames)
    return Footage(files, [scene.boxes_in for scene in scenes], frames)


def _names(folder: Path, count: int, suffix: str) -> list[Path]:
    folder.mkdir(parents=True)
    return [folder / f"scene{number:03}{suffix}" for number in range(count)]


def edge_run(name: str, folder: Path, footage: Footage, settings: Settings) -> Row:
    """The daemon, by its own command, with one video camera per clip; its images go to ``folder``."""
    store = Path(tempfile.mkdtemp(dir=folder, prefix="store-"))
    tables: Settings = {
        "store": {"folder": str(store)},
        "status": {"enabled": False},
        **settings,
        **{f"cameras.{clip.stem}": {"source": str(clip), "pace": False} for clip in footage.files},
    }
    config = store / "edge.toml"
    config.write_text("".join(_section(*table) for table in tables.items()), encoding="utf-8")
    done = _timed([str(_SCRIPT), "run", "--config", str(config)])
    stored = stored_images(store)

    def outputs() -> Iterator[Output]:
        for clip, truth in zip(footage.files, footage.truths, strict=True):
            yield from outputs_of(clip, truth, stored[clip.stem])

    row = row_of(name, outputs(), footage.total, done)
    return row.model_copy(update={"parts": parts_of(done.log, footage.total)})


def stored_images(store: Path) -> dict[str, dict[int, Path]]:
    """The images in a store: by camera and number of the frame."""
    stored: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in log_format.log_files(store):
        for record in map(log_format.decode_line, file.read_bytes().splitlines()):
            if record["event"] == "image":
                stored[record["camera"]][record["frame"]] = store / record["image"]
    return stored


def outputs_of(clip: Path, truth: Truth, stored: Mapping[int, Path]) -> Iterator[Output]:
    """The frames of a clip that were stored, with their images."""
    for number, pixels in enumerate(_frames(clip)):
        if number in stored:
            yield Output(pixels, _picture(stored[number]), number, truth)


def parts_of(log: str, frames: int) -> Parts:
    """Parts of a frame, from the last lines of the daemon about its cameras. Raises SystemExit (2)."""
    lines = [tuple(map(int, counts)) for counts in _PARTS.findall(log)]
    if not lines:
        raise common.give_up(f"edge run did not say what it looked at:\n{log[-2000:]}")
    looked, swept, kept = (round(sum(counts) / frames, 2) for counts in zip(*lines, strict=True))
    return Parts(looked=looked, kept=kept, swept=swept)


def edge_blur(name: str, work: Work, arguments: Sequence[str]) -> Row:
    """``edge blur`` on the stills."""
    out = Path(tempfile.mkdtemp(dir=work.folder, prefix="blur-"))
    stills = work.folder / "stills"
    done = _timed([str(_SCRIPT), "blur", str(stills), "--out", str(out), *arguments])

    def outputs() -> Iterator[Output]:
        for still, truth in zip(work.stills.files, work.stills.truths, strict=True):
            yield Output(_picture(still), _picture(out / still.name), 0, truth)

    return row_of(name, outputs(), work.stills.total, done)


def run_deface(name: str, python: Path, folder: Path, footage: Footage, replace: str) -> Row:
    """deface's own command; it writes beside its inputs, so it gets copies in ``folder``."""
    draft = Path(tempfile.mkdtemp(dir=folder, prefix="deface-"))
    copies = [Path(shutil.copy(file, draft)) for file in footage.files]
    script = python.with_name("deface").absolute()
    done = _timed([str(script), "--replacewith", replace, *map(str, copies)])

    def outputs() -> Iterator[Output]:
        for file, copy, truth in zip(footage.files, copies, footage.truths, strict=True):
            written = copy.with_name(f"{copy.stem}_anonymized{copy.suffix}")
            for number, (before, after) in enumerate(zip(_frames(file), _frames(written), strict=True)):
                # Its encoder stretches 1080 lines to 1088.
                yield Output(before, _resized(after, before), number, truth)

    return row_of(name, outputs(), footage.total, done)


def row_of(name: str, outputs: Iterator[Output], frames: int, done: Done) -> Row:
    """The figures of a tool that was given ``frames`` frames and wrote these."""
    faces, beside = judged(outputs)
    return Row(
        name=name,
        frames=frames,
        written=len(beside),
        faces=faces,
        changed_beside=round(float(np.mean(beside)), 5) if beside else 0.0,
        seconds=round(done.seconds, 1),
        fps=round(frames / done.seconds, 2),
        cpu_seconds=round(done.cpu_seconds, 2),
        megabytes=done.megabytes,
    )


def judged(outputs: Iterable[Output]) -> tuple[list[Count], list[float]]:
    """Which faces are left, and which share of each picture was changed beside heads."""
    present: dict[tuple[int, bool | None], int] = defaultdict(int)
    left: dict[tuple[int, bool | None], int] = defaultdict(int)
    beside = []
    for output in outputs:
        boxes, faces = output.truth(output.number)
        beside.append(changed_beside(output.original, output.written, boxes))
        counted = np.array([counts(face) for face in faces], bool)
        remaining = faces_left(output.original, output.written, boxes[counted])
        for face, is_left in zip(
            [f for f, good in zip(faces, counted, strict=True) if good], remaining, strict=True
        ):
            key = (max(side for side in SIDES if side <= face.side), face.masked)
            present[key] += 1
            left[key] += is_left
    highs = dict(pairwise([*SIDES, 0]))
    counted_faces = [
        Count(
            low=low,
            high=highs[low] or None,
            masked=masked,
            faces=present[low, masked],
            left=left[low, masked],
        )
        for low, masked in sorted(present, key=str)
    ]
    return counted_faces, beside


def _section(name: str, values: dict[str, Any]) -> str:
    # JSON's strings, numbers and booleans are TOML's.
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def _timed(command: list[str]) -> Done:
    print(" ".join(command[:2]), file=sys.stderr, flush=True)
    begin, cpu = time.perf_counter(), _cpu_seconds()
    megabytes = None
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+") as log:
        with subprocess.Popen(command, stdout=out, stderr=log, cwd=common.ROOT) as process:
            while process.poll() is None:
                megabytes = _peak_megabytes(process.pid) or megabytes
                if time.perf_counter() - begin > RUN_SECONDS:
                    process.kill()
                time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - begin
        out.seek(0)
        log.seek(0)
        told, logged = out.read(), log.read()
    if process.returncode != 0:
        raise common.give_up(f"{' '.join(command[:3])} failed:\n{(logged or told)[-2000:]}")
    return Done(seconds, _cpu_seconds() - cpu, megabytes, logged)


def _peak_megabytes(pid: int) -> float | None:
    """Peak resident memory of a process so far; None where that cannot be told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # it has just ended, or there is no /proc
        return None
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return None if peak is None else round(int(peak[1]) / 1024, 1)


def _cpu_seconds() -> float:
    """CPU seconds of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _frames(file: Path) -> Iterator[Pixels]:
    """The frames of a clip, or a picture."""
    if file.suffix == ".png":
        return iter([_picture(file)])
    return (frame.pixels for frame in clip_frames(file))


def _resized(pixels: Pixels, like: Pixels) -> Pixels:
    if pixels.shape == like.shape:
        return pixels
    return np.asarray(cv2.resize(pixels, like.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _picture(path: Path) -> Pixels:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise common.give_up(f"{path}: was not written, or cannot be read")
    return np.asarray(pixels, np.uint8)
