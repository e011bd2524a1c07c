"""Labelled pictures as training reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from convert.graphs import Array
from convert.sample import read_rgb
from convert.training.datasets import DataSet, DatasetError, Picture

CACHE_BYTES = 3 << 30
"""Decoded pictures are kept in memory up to this size; the others are decoded each time."""


class Kind(IntEnum):
    """What an object means to training. ``ABSENT`` fills the rows of a batch.

    ``HARD`` ones (masked faces) are those on which the published network is not a teacher. ``IGNORED`` ones
    are neither found nor missed.
    """

    ABSENT = 0
    PLAIN = 1
    HARD = 2
    IGNORED = 3


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture: ``boxes`` float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels), ``kinds`` int32 ``[N]``."""

    path: Path
    boxes: Array
    kinds: Array

    def with_objects(self, boxes: Array, kind: Kind) -> Sample:
        """The same with further objects."""
        return replace(
            self,
            boxes=np.concatenate([self.boxes, boxes]).astype(np.float32),
            kinds=np.concatenate([self.kinds, np.full(len(boxes), kind, np.int32)]),
        )


class Pictures:
    """Decoded pictures, uint8 ``[H, W, 3]`` RGB, by their path. May be asked from several threads."""

    def __init__(self) -> None:
        self._kept: dict[Path, Array] = {}
        self._bytes = 0

    def read(self, path: Path) -> Array:
        """Raises PictureError."""
        found = self._kept.get(path)
        if found is None:
            found = read_rgb(path)
            if self._bytes + found.nbytes <= CACHE_BYTES:
                self._kept[path] = found
                self._bytes += found.nbytes
        return found


def sides(boxes: Array) -> Array:
    """The geometric mean of both sides of each box, float32 ``[N]``."""
    return np.asarray(np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)))


def count(samples: Sequence[Sample]) -> int:
    """Objects that are to be found."""
    return sum(int(np.isin(sample.kinds, (Kind.PLAIN, Kind.HARD)).sum()) for sample in samples)


def read_samples(data: DataSet) -> tuple[list[Sample], list[Picture]]:
    """What to train on, and the pictures to watch the training with.

    These are the set's own ``val`` pictures, or else a tenth of those to train on, chosen by a hash of their
    names. Pictures to report on (``eval``, ``test``) are left alone. Raises DatasetError.
    """
    pictures = [picture for picture in data.pictures if picture.split in (None, "train")]
    watched = [picture for picture in data.pictures if picture.split == "val"]
    if not watched:
        by_hash = sorted(pictures, key=lambda picture: hashlib.sha256(picture.path.name.encode()).digest())
        watched = by_hash[: len(by_hash) // 10]
        chosen = {picture.path for picture in watched}
        pictures = [picture for picture in pictures if picture.path not in chosen]
    if not pictures or not watched:
        raise DatasetError(
            f"{data.name}: {len(pictures)} pictures to train on and {len(watched)} to watch the training "
            "with; at least one of each is needed, with split train and val (edge-train merge divides a set)"
        )
    return [sample_of(picture) for picture in pictures], watched


def sample_of(picture: Picture) -> Sample:
    """The boxes of a labelled picture, and what they mean to training."""
    kinds = [
        Kind.IGNORED if found.ignore else Kind.HARD if found.masked else Kind.PLAIN
        for found in picture.objects
    ]
    boxes = np.array([found.box for found in picture.objects], np.float32).reshape(-1, 4)
    return Sample(picture.path, boxes, np.array(kinds, np.int32))
