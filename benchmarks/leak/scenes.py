"""Scenes at camera size for ``python -m benchmarks leak-rate``: here the labels say where the faces are.

The scenes are those of ``python -m benchmarks scenes``, of the ``eval`` split: a camera that drifts, and one
that hangs still while people walk. Faces keep their own pixels.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks.leak.reference import ClipReference
from benchmarks.leak.tracks import Track
from benchmarks.scenes.labels import complete
from benchmarks.scenes.result import counts
from benchmarks.scenes.run import part_of, scenes_of
from benchmarks.scenes.tools import Footage, write_clips, write_fixed
from benchmarks.scenes.walkers import fixed_scenes
from convert.training.datasets import DataSet

SIZE = 1920, 1080
MOVING_FRAMES, FIXED_FRAMES = 20, 40
MOST = 6
"""Clips of each kind."""
LABELLED = "l"
"""Letter of a box that a label gives."""
KINDS = ("a camera that drifts", "a camera that hangs still")

Clips = dict[Path, ClipReference]


def write_scenes(dataset: DataSet, folder: Path, size: tuple[int, int]) -> dict[str, Clips]:
    """Write clips of each of ``KINDS`` to ``folder``, at most ``MOST`` of each, with the faces in them.

    Raises DatasetError when the set has no ``eval`` split, or a clip cannot be written.
    """
    chosen, _ = complete(part_of(dataset, "eval"))
    moving = scenes_of(chosen, size, MOVING_FRAMES, MOST)
    fixed = fixed_scenes(chosen.pictures, size, FIXED_FRAMES, MOST)
    written = (
        write_clips(moving, MOVING_FRAMES, folder / "moving"),
        write_fixed(fixed, FIXED_FRAMES, folder / "fixed"),
    )
    return {kind: references_of(footage, size) for kind, footage in zip(KINDS, written, strict=True)}


def references_of(footage: Footage, size: tuple[int, int]) -> Clips:
    """The faces that count in each clip; ``size`` is the width and height of its frames at most."""
    return {
        file: ClipReference("", footage.frames, *size, _tracks(footage, number))
        for number, file in enumerate(footage.files)
    }


def _tracks(footage: Footage, number: int) -> list[Track]:
    """Each face as long as it is wholly in the picture; one that comes back begins another track."""
    seen = []
    for frame in range(footage.frames):
        boxes, faces = footage.truths[number](frame)
        # A face is told by its label, which is one object in all frames.
        seen += [(id(face), frame, box) for box, face in zip(boxes, faces, strict=True) if counts(face)]
    seen.sort(key=lambda entry: entry[:2])
    tracks = []
    for _, group in groupby(enumerate(seen), key=lambda item: (item[1][0], item[1][1] - item[0])):
        entries = [entry for _, entry in group]
        whole = np.rint(np.stack([box for *_, box in entries])).astype(np.int64)
        tracks.append(Track(entries[0][1], whole, LABELLED * len(entries)))
    return tracks
