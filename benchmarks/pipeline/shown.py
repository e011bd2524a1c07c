"""What the appliance is shown: a given clip, scaled to any size, or scenes, whose faces keep their pixels.

A *writer* takes the file to write, width, height and the number of frames at most (None: all, of a scene
``SCENE_FRAMES``), and returns where the faces are, as far as that is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.leak.reference import ClipReference, load, sha256_of
from benchmarks.leak.run import REFERENCE
from benchmarks.leak.scenes import references_of
from benchmarks.pipeline.appliance import prepare
from benchmarks.scenes.labels import complete
from benchmarks.scenes.packing import boxes_in
from benchmarks.scenes.packing import write_clip as write_drifting
from benchmarks.scenes.run import part_of, scenes_of
from benchmarks.scenes.tools import Footage
from benchmarks.scenes.walkers import fixed_scenes
from benchmarks.scenes.walkers import write_clip as write_fixed
from convert.training.datasets import DataSet, DatasetError

SCENE_FRAMES = 40
THE_CLIP, FIXED, DRIFTING = "the clip", "a fixed camera", "a camera that drifts"

Writer = Callable[[Path, int, int, int | None], ClipReference | None]


def writers_of(clip: Path | None, dataset: DataSet | None) -> dict[str, Writer]:
    """By name: scenes of the ``eval`` split of a set where there is one, else the clip (None: the camera of
    ``edge demo``). Raises DatasetError for a set without such a split."""
    if dataset is None:
        return {THE_CLIP: partial(_given, clip)}
    chosen, _ = complete(part_of(dataset, "eval"))
    return {FIXED: partial(_fixed, chosen), DRIFTING: partial(_drifting, chosen)}


def _given(
    clip: Path | None, target: Path, width: int, height: int, frames: int | None
) -> ClipReference | None:
    prepare(clip, target, width, height, frames)
    return reference_of(clip)


def reference_of(clip: Path | None) -> ClipReference | None:
    """The faces of a clip by benchmarks/leak; None where there is no reference for it."""
    if clip is None or not REFERENCE.is_file():
        return None
    found = load(REFERENCE)[1].get(clip.stem)
    return found if found is not None and found.sha256 == sha256_of(clip) else None


def _fixed(dataset: DataSet, target: Path, width: int, height: int, frames: int | None) -> ClipReference:
    count = frames or SCENE_FRAMES
    scenes = fixed_scenes(dataset.pictures, (width, height), count, 1)
    if not scenes:
        raise DatasetError(f"{dataset.name}: no face can walk in a picture of {width}x{height}")
    write_fixed(scenes[0], target, count)
    return references_of(Footage([target], [scenes[0].boxes_in], count), scenes[0].size)[target]


def _drifting(dataset: DataSet, target: Path, width: int, height: int, frames: int | None) -> ClipReference:
    count = frames or SCENE_FRAMES
    scene = scenes_of(dataset, (width, height), count, 1)[0]
    write_drifting(scene, target, count)
    return references_of(Footage([target], [partial(boxes_in, scene, count)], count), (width, height))[target]
