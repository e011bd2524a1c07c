"""One run of the whole appliance on prepared clips, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import clips as footage
from benchmarks import common
from benchmarks.pipeline.result import Run

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
DEMO_FRAMES = 150
"""Length of the clip of the synthetic camera."""
RUN_SECONDS = 900
"""A run that takes longer has failed."""


def prepare(clip: Path | None, target: Path, width: int, height: int, frames: int | None) -> None:
    """Write a clip, or that of the synthetic camera, at a size, at most its first ``frames``."""
    if clip is not None:
        footage.write_scaled(clip, target, width, height, frames)
        return
    count = DEMO_FRAMES if frames is None else min(frames, DEMO_FRAMES)
    demo = target.with_name(f"demo-{count}.mp4")
    if not demo.exists():
        footage.write_demo(demo, count)
    footage.write_scaled(demo, target, width, height, frames)


def run_appliance(
    clips: Sequence[Path], draft: Path, settings: dict[str, Any], *, paced: bool = False
) -> tuple[Run, Path]:
    """Run the appliance once in a fresh process; returns the figures and the folder of its images.

    ``paced``: the clips are played at their own rate, and frames are dropped where the box cannot follow.
    Raises SystemExit (2) when it fails.
    """
    store = Path(tempfile.mkdtemp(dir=draft, prefix="store-"))
    spec = {
        "clips": [str(clip) for clip in clips],
        "paced": paced,
        "settings": {"store": {"folder": str(store)}, **settings},
    }
    done = json.loads(output([sys.executable, "-m", "benchmarks.pipeline._runner", json.dumps(spec)]))
    return Run.model_validate(done), store


def output(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False, cwd=common.ROOT
    )
    if done.returncode != 0:
        raise common.give_up(f"{' '.join(command[:4])} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]
