"""Faces that a published detector is sure of and another one misses: ``python -m benchmarks kept DETECTOR``.

Every frame of every clip and every picture of the test data is shown to both, at its own size. What the
published detector finds from ``--sure`` on is kept when the other one, at the score with which it begins a
region, has a box that overlaps it, or whose middle lies in it. The rest is listed, and drawn for a person to
judge with ``--sheet``: some of it is no face.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks import common, contact_sheet
from benchmarks.last_look_rate import clip_frames
from benchmarks.machine import Result, Strict, watched
from benchmarks.scenes.detectors import Finder, Wanted, open_finders
from edge import boxes as geometry
from edge.boxes import Floats
from edge.detection import views
from edge.frames import Pixels
from edge.pictures import SUFFIXES, read_picture

SAME_IOU = 0.25
CLIPS, PICTURES = "clips", ("pictures", "faces/images")
MULTIPLE = 32


class Lost(Strict):
    """A box (``x1 y1 x2 y2``, pixels) of the published detector that the other one misses."""

    file: str
    frame: int
    score: float
    box: tuple[float, float, float, float]


class Kept(Strict):
    """One detector: of ``sure`` boxes of the published one, those that it misses."""

    name: str
    sha256: str
    score: float
    frames: int
    sure: int
    lost: list[Lost]


class KeptResult(Result):
    """``reference`` is the published detector, ``sure`` the score from which its boxes count."""

    reference: str
    reference_sha256: str
    sure: float
    rows: list[Kept]


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame of the test data: uint8 ``[H, W, 3]`` BGR."""

    file: Path
    number: int
    pixels: Pixels


def measure(
    detectors: list[Path | None], reference: Path, data: Path, *, sure: float, every: int, command: str
) -> tuple[KeptResult, list[list[Pixels]]]:
    """Show each ``every``-th frame of the clips, and all pictures, to all; also returns tiles of the lost.

    A detector None is the shipped one. Raises DetectorError, PictureError.
    """
    rows: dict[Path | None, Kept] = {}
    tiles: dict[Path | None, list[Pixels]] = {detector: [] for detector in detectors}
    with watched() as watch:
        for shown in _frames(data, every):
            canvas = _canvas(shown.pixels)
            known = _finder(reference, canvas)
            boxes = known.find(shown.pixels)[0].at_least(sure)
            for detector in detectors:
                finder = _finder(detector, canvas)
                lost = _lost(boxes.boxes, finder.find(shown.pixels)[0].at_least(finder.own_score).boxes)
                before = rows.get(detector) or Kept(
                    name=finder.name, sha256=finder.sha256, score=finder.own_score, frames=0, sure=0, lost=[]
                )
                entries = [_entry(shown, data, boxes.boxes[i], float(boxes.scores[i])) for i in lost]
                rows[detector] = before.model_copy(
                    update={
                        "frames": before.frames + 1,
                        "sure": before.sure + len(boxes.boxes),
                        "lost": [*before.lost, *entries],
                    }
                )
                for entry in entries:
                    lines = (f"{Path(entry.file).stem[-18:]} {entry.frame}", f"{entry.score:.2f}")
                    tiles[detector].append(contact_sheet.tile(shown.pixels, list(entry.box), lines))
    result = KeptResult(
        command=command,
        machine=watch.machine,
        reference=known.name,
        reference_sha256=known.sha256,
        sure=sure,
        rows=[rows[detector] for detector in detectors],
    )
    return result, [tiles[detector] for detector in detectors]


def _frames(data: Path, every: int) -> Iterator[Shown]:
    for clip in sorted((data / CLIPS).glob("*.mp4")):
        print(clip.name, file=sys.stderr)
        for number, frame in enumerate(clip_frames(clip)):
            if number % every == 0:
                yield Shown(clip, number, frame.pixels)
    for folder in PICTURES:
        print(folder, file=sys.stderr)
        for path in sorted((data / folder).iterdir()):
            if path.suffix.lower() in SUFFIXES:
                yield Shown(path, 0, read_picture(path, convert=True).pixels)


def _canvas(pixels: Pixels) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    scale = min(1.0, views.LONGEST_SIDE / max(width, height))
    sides = [-(-round(side * scale) // MULTIPLE) * MULTIPLE for side in (width, height)]
    return max(sides[0], 256), max(sides[1], 256)


@lru_cache(maxsize=8)
def _finder(file: Path | None, canvas: tuple[int, int]) -> Finder:
    return open_finders([Wanted(file, canvas)])[0][0]


def _lost(sure: Floats, found: Floats) -> list[int]:
    """Which of the sure boxes no found one overlaps or has its middle in."""
    overlap = geometry.iou(sure, found).max(axis=1, initial=0.0)
    middles = (found[:, :2] + found[:, 2:]) / 2
    after, before = middles >= sure[:, None, :2], middles <= sure[:, None, 2:]
    within = np.any(np.all(after & before, axis=2), axis=1)
    return [int(i) for i in np.flatnonzero((overlap < SAME_IOU) & ~within)]


def _entry(shown: Shown, data: Path, box: Floats, score: float) -> Lost:
    x1, y1, x2, y2 = (round(float(value), 1) for value in box)
    return Lost(
        file=shown.file.relative_to(data).as_posix(),
        frame=shown.number,
        score=round(score, 3),
        box=(x1, y1, x2, y2),
    )


def as_markdown(result: KeptResult) -> str:
    """The conditions and the table."""
    header = ["detector", "score", "frames", f"sure boxes of {result.reference}", "missed", "share"]
    rows = [
        [
            row.name,
            f"{row.score:g}",
            row.frames,
            row.sure,
            len(row.lost),
            f"{len(row.lost) / max(row.sure, 1):.2%}",
        ]
        for row in result.rows
    ]
    return "\n\n".join([f"Boxes from {result.sure:g} on.", common.table(header, rows)])
