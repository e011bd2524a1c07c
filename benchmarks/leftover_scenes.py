"""Scenes at camera size for ``python -m benchmarks leftover``, anonymized by ``edge blur`` as it comes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import common
from benchmarks.scenes.labels import complete
from benchmarks.scenes.run import part_of, scenes_of
from benchmarks.scenes.tools import write_clips, write_fixed, write_stills
from benchmarks.scenes.walkers import fixed_scenes
from convert.training.datasets import DataSet

SIZE = 1920, 1080
STILLS, CLIPS, FIXED = 6, 2, 2
"""Numbers of scenes."""
CLIP_FRAMES, FIXED_FRAMES = 6, 11
"""Lengths of clips: with every fifth frame judged, two and three of each."""


def write_scenes(dataset: DataSet, folder: Path, *, size: tuple[int, int] = SIZE) -> tuple[Path, Path]:
    """Write stills, clips of a camera that drifts, and clips of one that hangs still, of the ``eval`` split,
    and what ``edge blur`` makes of them; returns both folders.

    Raises DatasetError for a set that cannot be used, SystemExit (2) when ``edge blur`` fails.
    """
    chosen, _ = complete(part_of(dataset, "eval"))
    originals, anonymized = folder / "originals", folder / "anonymized"
    write_stills(scenes_of(chosen, size, 0, STILLS), originals / "stills")
    write_clips(scenes_of(chosen, size, CLIP_FRAMES, CLIPS), CLIP_FRAMES, originals / "clips")
    write_fixed(fixed_scenes(chosen.pictures, size, FIXED_FRAMES, FIXED), FIXED_FRAMES, originals / "fixed")
    script = Path(sys.executable).with_name("edge")
    command = [str(script), "blur", str(originals), "--out", str(anonymized)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=common.ROOT)
    if done.returncode != 0:
        raise common.give_up(f"edge blur failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return originals, anonymized
