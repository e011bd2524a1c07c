"""The reference of ``python -m benchmarks leak-rate``: where two detectors together find faces in the clips.

A stand-in for ground truth, made without the daemon's setting: MTCNN (weights of another project) on
frames at twice their size, and CenterFace as published on a canvas of 1536x864, 5.4 times the pixels that
the daemon gives its detector. The shipped detector began with the weights of the second, which is thus not
independent of it; it only makes the reference stricter, because it adds faces that MTCNN misses. Hits are
linked into tracks (``benchmarks.leak.tracks``).

The file has one line per track, so that a difference between two of them can be read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import common
from benchmarks.last_look_rate import clip_frames
from benchmarks.leak.tracks import (
    MAX_GAP_SECONDS,
    MAX_RATIO,
    MAX_STEP,
    MIN_SURE_HITS,
    SAME_OVERLAP,
    Hit,
    Track,
    link,
    merge,
)
from benchmarks.leftover import MIN_SCORE, REQUIREMENTS, independent
from benchmarks.published_centerface import published_centerface
from convert.one_look import ONE_LOOK
from edge.config import DetectorConfig
from edge.detection.detector import open_detector
from edge.detection.session import read_detector
from edge.frames import RawFrame

UPSCALE = 2
"""MTCNN gets frames enlarged by this factor; its hits have sides of 20 pixels or more there."""
CANVAS = "1536x864"
"""Canvas of CenterFace: twice the size of the largest clip, 3.2 times that of the others."""
SCORES = {"score_begin": 0.35, "score_continue": 0.2}
"""Fixed, so that neither the reference nor the value of hold changes with the shipped thresholds."""
MTCNN_SURE = 0.8
"""MTCNN's own threshold. CenterFace's is ``score_begin``; its weak hits go down to ``score_continue``."""

LONG_FRAMES = 600
"""In a clip of more frames than this every second one is skipped where nothing moves; its boxes are
interpolated. That limits the work to about 20 minutes on two idle cores."""
MOVED_LEVELS, MOVED_GRID = 30, (64, 36)
"""Something moves when a cell of this grid (columns, rows) changes by this many levels (0..255)."""


@dataclass(frozen=True, eq=False)
class ClipReference:
    """Faces of one clip: sizes in pixels, ``sha256`` of the file, and tracks."""

    sha256: str
    frames: int
    width: int
    height: int
    tracks: list[Track]

    def at(self, number: int) -> list[tuple[Track, list[int], str]]:
        """Faces in a frame: track, box ``x1 y1 x2 y2``, and the letter of the detector that saw it."""
        return [
            (track, track.boxes[number - track.first].tolist(), track.seen_by[number - track.first])
            for track in self.tracks
            if 0 <= number - track.first < len(track.boxes)
        ]


def build(clips: list[Path], venv: Path, file: Path) -> None:
    """Detect on the frames of every clip, and write the reference."""
    python = common.environment(venv, REQUIREMENTS)
    # A timeout would let a busy machine decide what is found.
    config = DetectorConfig(provider="cpu", canvas=CANVAS, timeout_seconds=120, **SCORES)
    detector = open_detector(read_detector(published_centerface()), config)
    with independent(python, ["mtcnn"]) as (find, versions):

        def detect(frame: RawFrame) -> list[Hit]:
            size = (frame.width * UPSCALE, frame.height * UPSCALE)
            large = np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
            first = find(large)["mtcnn"]
            first[:, :4] /= UPSCALE
            found = detector.detect(frame.pixels, ONE_LOOK)
            second = np.concatenate([found.boxes, found.scores[:, None]], axis=1)
            scores = (MTCNN_SURE, detector.score_begin)
            return merge(first, second, scores, frame.width, frame.height)

        made = {clip.stem: _one_clip(clip, detect) for clip in clips}
    rules = {
        "mtcnn": {"versions": versions, "upscale": UPSCALE, "score": MIN_SCORE, "sure_score": MTCNN_SURE},
        "centerface": {
            "canvas": CANVAS,
            "score": round(detector.score_continue, 4),
            "sure_score": round(detector.score_begin, 4),
        },
        "long_frames": LONG_FRAMES,
        "moved": {"levels": MOVED_LEVELS, "grid": MOVED_GRID},
        "same_overlap": SAME_OVERLAP,
        "max_step": MAX_STEP,
        "max_ratio": MAX_RATIO,
        "max_gap_seconds": MAX_GAP_SECONDS,
        "min_sure_hits": MIN_SURE_HITS,
    }
    file.write_text(dump(rules, made), encoding="utf-8")


def _one_clip(clip: Path, detect: Callable[[RawFrame], list[Hit]]) -> ClipReference:
    frames, rate = _length_of(clip)
    hits: list[list[Hit]] = []
    last: RawFrame | None = None
    width = height = 0
    for frame in clip_frames(clip):
        width, height = frame.width, frame.height
        skipped = frames > LONG_FRAMES and frame.number % 2 == 1 and not _moved(last, frame)
        hits.append([] if skipped else detect(frame))
        last = frame
    tracks = link(hits, rate)
    print(f"{clip.stem}: {len(hits)} frames, {len(tracks)} tracks", file=sys.stderr, flush=True)
    return ClipReference(sha256_of(clip), len(hits), width, height, tracks)


def _moved(last: RawFrame | None, frame: RawFrame) -> bool:
    if last is None:
        return True
    grey = [cv2.cvtColor(f.pixels, cv2.COLOR_BGR2GRAY) for f in (last, frame)]
    cells = cv2.resize(cv2.absdiff(*grey), MOVED_GRID, interpolation=cv2.INTER_AREA)
    return int(cells.max()) >= MOVED_LEVELS


def dump(rules: dict[str, Any], clips: dict[str, ClipReference]) -> str:
    """The reference as JSON, a line per track."""
    parts = []
    for name, clip in clips.items():
        head = {"sha256": clip.sha256, "frames": clip.frames, "width": clip.width, "height": clip.height}
        lines = [
            json.dumps({"first": t.first, "seen_by": t.seen_by, "boxes": t.boxes.ravel().tolist()})
            for t in clip.tracks
        ]
        body = ",\n".join(lines)
        parts.append(f'{json.dumps(name)}: {json.dumps(head)[:-1]}, "tracks": [\n{body}\n]}}')
    inner = ",\n".join(parts)
    return f'{{"rules": {json.dumps(rules)},\n"clips": {{\n{inner}\n}}}}\n'


def load(file: Path) -> tuple[dict[str, Any], dict[str, ClipReference]]:
    """Rules and clips of a reference. Raises OSError, or ValueError when it is no reference."""
    content = json.loads(file.read_text(encoding="utf-8"))
    clips = {}
    for name, clip in content["clips"].items():
        tracks = [
            Track(track["first"], np.array(track["boxes"], np.int64).reshape(-1, 4), track["seen_by"])
            for track in clip["tracks"]
        ]
        for track in tracks:
            if len(track.boxes) != len(track.seen_by):
                raise ValueError(f"{file}: {name}, track {track.name}: boxes and letters differ in number")
        clips[name] = ClipReference(clip["sha256"], clip["frames"], clip["width"], clip["height"], tracks)
    return content["rules"], clips


def sha256_of(file: Path) -> str:
    """Hash by which the reference recognises its clips."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _length_of(clip: Path) -> tuple[int, float]:
    """Number of frames and frames per second, as the file states them."""
    film = cv2.VideoCapture(str(clip))
    try:
        return int(film.get(cv2.CAP_PROP_FRAME_COUNT)), film.get(cv2.CAP_PROP_FPS)
    finally:
        film.release()
