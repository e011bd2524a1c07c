"""Which detector, scale, scores, hold and last look leave the fewest faces: ``python -m benchmarks choices``.

Labelled pictures become scenes at camera size as for ``benchmarks scenes``, clips of a camera that drifts and
stills. Each candidate (benchmarks/choices/result.py) goes through the code of the box: detector, hold, cover,
last look. What it leaves is judged on the pixels (benchmarks/scenes/judge.py).

A run of a network on the same canvas gives the same boxes, so it is made once for all candidates, and each is
charged its CPU time. That of everything else is not counted: it is the same for all.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks import common
from benchmarks.choices.result import CANDIDATES, Candidate, ChoicesResult, Figures, Tried
from benchmarks.last_look_rate import clip_frames
from benchmarks.machine import watched
from benchmarks.scenes.result import PROMISED_SIDE, SIDES, Row
from benchmarks.scenes.run import part_of, scenes_of
from benchmarks.scenes.tools import Done, Footage, Output, row_of, run_deface, write_clips, write_stills
from convert.training.datasets import DataSet, Split
from edge import hold, last_look
from edge.boxes import Floats
from edge.config import BlurConfig, DetectorConfig
from edge.config.detector import ShippedName
from edge.detection import views
from edge.detection.detector import Detector
from edge.detection.session import Session, read_detector
from edge.detection.views import Search
from edge.errors import DetectionError
from edge.frames import RawFrame
from edge.pictures import read_picture

TIMEOUT_SECONDS = 600
SAME_MOMENT = 3600.0
"""Seconds from one still to the next, so that hold never joins two."""


class RememberedSession(Session):
    """A session that runs each canvas once. ``charged``: CPU seconds of all runs that were asked for,
    remembered ones included."""

    charged = 0.0

    def __init__(self, name: ShippedName) -> None:
        file = read_detector(None, name)
        super().__init__(file, provider="cpu", size=None, threads=1, timeout_seconds=TIMEOUT_SECONDS)
        self._known: dict[bytes, tuple[Floats, Floats, float]] = {}

    def run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        key = hashlib.blake2b(canvas.tobytes() + repr(canvas.shape).encode(), digest_size=16).digest()
        if key not in self._known:
            begin = time.process_time()
            boxes, scores = super().run(canvas)
            self._known[key] = (boxes, scores, time.process_time() - begin)
        boxes, scores, seconds = self._known[key]
        self.charged += seconds
        return boxes, scores


@dataclass(frozen=True, eq=False)
class _Work:
    folder: Path
    stills: Footage
    clips: Footage


@dataclass(eq=False)
class Counted:
    """What happened to the frames of one candidate."""

    frames: int = 0
    dropped: int = 0
    regrown: int = 0
    covered_whole: int = 0
    first_seconds: float = 0.0
    last_seconds: float = 0.0
    looked_last: int = 0


@dataclass(eq=False)
class Rig:
    """The sessions that all candidates share, opened when the first one needs them."""

    sessions: dict[ShippedName, RememberedSession] = field(default_factory=dict)

    def detector(self, name: ShippedName, candidate: Candidate) -> tuple[Detector, RememberedSession]:
        """The detector with the candidate's scores, as if its file stated the one of the last look."""
        session = self.sessions.get(name) or self.sessions.setdefault(name, RememberedSession(name))
        first = name == candidate.detector
        config = DetectorConfig(
            name=name,
            provider="cpu",
            score_begin=candidate.score_begin if first else None,
            score_continue=candidate.score_continue if first else None,
        )
        own = session.contract
        if name == candidate.last_look and candidate.score_last_look is not None:
            session.contract = replace(own, score_last_look=candidate.score_last_look)
        try:
            return Detector(session, config), session
        finally:
            session.contract = own


def measure(
    dataset: DataSet,
    *,
    command: str,
    split: Split,
    candidates: Sequence[Candidate] = CANDIDATES,
    size: tuple[int, int] = (1920, 1080),
    frames: int = 20,
    every: int = 5,
    limit: int | None = None,
    deface: Path | None = Path("build/deface-venv"),
    folder: Path = Path("build"),
) -> ChoicesResult:
    """Measure every candidate, and deface unless it is None.

    Clips have ``frames`` frames, every ``every``-th of which is judged; ``limit`` is the number of scenes at
    most. Raises DatasetError where the set has no such pictures, SystemExit (2) where deface fails.
    """
    python = None if deface is None else common.environment(deface, common.DEFACE)
    chosen = part_of(dataset, split)
    stills, clips = (scenes_of(chosen, size, margin, limit) for margin in (0, frames))
    clips = clips[: len(stills)]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="choices-") as name, watched() as watch:
        work = _Work(
            Path(name),
            write_stills(stills, Path(name) / "stills"),
            write_clips(clips, frames, Path(name) / "clips"),
        )
        rig, rows = Rig(), []
        for number, candidate in enumerate(candidates):
            print(f"{number + 1} of {len(candidates)}: {candidate.name}", file=sys.stderr, flush=True)
            rows.append(_tried(candidate, work, every, rig))
        if python is not None:
            rows.append(_deface(python, work))
    return ChoicesResult(
        command=command,
        machine=watch.machine,
        dataset=dataset.name,
        split=split,
        size=size,
        scenes=len(stills),
        frames=frames,
        every=every,
        rows=rows,
    )


def _tried(candidate: Candidate, work: _Work, every: int, rig: Rig) -> Tried:
    with (
        patch.object(views, "OVERLAP", candidate.overlap),
        patch.object(hold, "GROWTH_PER_SECOND", candidate.growth),
    ):
        video = _figures(candidate, work.clips, every, rig, continuous=True)
        stills = _figures(candidate, work.stills, 1, rig, continuous=False)
    return Tried(name=candidate.name, video=video, stills=stills)


def _figures(candidate: Candidate, footage: Footage, every: int, rig: Rig, *, continuous: bool) -> Figures:
    counted = Counted()
    row = row_of(
        candidate.name,
        _outputs(candidate, footage, every, rig, counted, continuous),
        footage.total,
        Done(1.0, 0.0, None, ""),
    )
    cpu = counted.first_seconds / max(1, counted.frames) + counted.last_seconds / max(1, counted.looked_last)
    return _as_figures(row, counted, cpu)


def _as_figures(row: Row, counted: Counted | None, cpu_seconds: float) -> Figures:
    return Figures(
        dropped=row.frames - row.written if counted is None else counted.dropped,
        promised=row.share_left(PROMISED_SIDE, None),
        small=row.share_left(SIDES[0], PROMISED_SIDE),
        beside=round(row.changed_beside, 4),
        last_look=None if counted is None else (counted.regrown, counted.covered_whole),
        cpu=round(cpu_seconds, 3),
    )


def _outputs(
    candidate: Candidate, footage: Footage, every: int, rig: Rig, counted: Counted, continuous: bool
) -> Iterator[Output]:
    """The frames that are judged, before and after."""
    detector, session = rig.detector(candidate.detector, candidate)
    smallest = candidate.smallest_face if continuous else candidate.smallest_face_in_files
    search = Search(smallest, in_parts=continuous)
    config = BlurConfig(
        hold_before_frames=candidate.hold_before_frames, hold_after_seconds=candidate.hold_after_seconds
    )
    for file, truth in zip(footage.files, footage.truths, strict=True):
        held = hold.make_hold(detector, config, continuous=continuous)
        charged = session.charged
        due: list[hold.Held] = []
        for frame in _frames(file):
            counted.frames += 1
            try:
                due += held.push(frame, detector.detect(frame.pixels, search))
            except DetectionError:
                counted.dropped += 1
        counted.first_seconds += session.charged - charged
        for one in [*due, *held.flush()]:
            if one.frame.number % every == 0:
                safe = _last(candidate, one, config, search, rig, counted)
                yield Output(one.frame.pixels, safe, one.frame.number, truth)


def _last(
    candidate: Candidate, one: hold.Held, config: BlurConfig, search: Search, rig: Rig, counted: Counted
) -> npt.NDArray[np.uint8]:
    """What would be stored of a frame."""
    cover = last_look.Cover(one.frame, one.boxes, config)
    image = cover.image()
    counted.looked_last += 1
    if candidate.last_look == "off":
        return image.pixels
    detector, session = rig.detector(candidate.last_look, candidate)
    before = session.charged
    last = last_look.take_last_look(cover, image, detector, search)
    counted.last_seconds += session.charged - before
    counted.regrown += last.regrown
    counted.covered_whole += last.escalated
    return last.frame.pixels


def _frames(file: Path) -> Iterator[RawFrame]:
    if file.suffix != ".png":
        return clip_frames(file)
    return iter([RawFrame(read_picture(file).pixels, file.stem, 0, SAME_MOMENT, 0.0, 0)])


def _deface(python: Path, work: _Work) -> Tried:
    """deface as it comes; every frame of its clips is judged."""
    figures = []
    for footage in (work.clips, work.stills):
        row = run_deface("deface", python, work.folder, footage, "blur")
        figures.append(_as_figures(row, None, (row.cpu_seconds or 0.0) / footage.total))
    return Tried(name="deface, defaults", video=figures[0], stills=figures[1])
