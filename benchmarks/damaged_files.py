"""Damage in a video file: how often it is noticed, and what passes: ``python -m benchmarks damaged-files``.

Each copy of a known video has one damaged picture. Where the damage leaves bytes that can be decoded, no
decoder notices, and the frames up to the next key frame are smeared.
"""

from __future__ import annotations

import random
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.loss import KEY, RATE, STREAMS
from edge.config import CameraConfig
from edge.errors import SourceError
from edge.sources import make_source
from tests.damaged_video import Damage, altered, flipped, garbage, hole, whole
from tests.known_video import Judge, write_known

KINDS: dict[str, Damage] = {
    "picture missing": whole, "512 bytes of zeros": hole, "512 bytes of noise": garbage, "one bit": flipped,
}  # fmt: skip
FRAMES = 60


def main(*, copies: int, file: Path | None) -> None:
    """Measure, print and write."""
    result = common.begin("damaged-files")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for codec, slices, between in STREAMS:
            clean = write_known(
                Path(folder) / "clean.mkv",
                codec,
                frames=FRAMES,
                rate=RATE,
                slices=slices,
                between=between,
                key=KEY,
            )
            for kind, damage in KINDS.items():
                said = smeared = 0
                for seed in range(copies):
                    path = altered(clean, Path(folder) / "copy.mkv", _once(damage, seed), 1.0, seed)
                    problem, wrong = _play(path, Judge(clean))
                    said += bool(problem)
                    smeared += bool(wrong)
                rows.append({"codec": codec, "slices": slices, "b_frames": between, "damage": kind})
                rows[-1] |= {"copies": copies, "said": said, "with_smeared_frames": smeared}
                print(rows[-1], flush=True)
    print(common.machine_line(result))
    common.finish(result | {"frames_per_video": FRAMES, "key_frame_every": KEY, "rows": rows}, file)


def _once(damage: Damage, seed: int) -> Damage:
    """Damages one picture of those that are offered, and leaves the others as they are."""
    place = random.Random(seed).randrange(FRAMES - 10)
    count = 0

    def work(data: bytes, chance: random.Random) -> bytes | None:
        nonlocal count
        count += 1
        return damage(data, chance) if count - 1 == place else data

    return work


def _play(path: Path, judge: Judge) -> tuple[str, list[int]]:
    source = make_source("file", CameraConfig(source=str(path), pace=False), threading.Event())
    try:
        for frame in source:
            judge.see(frame.pixels)
    except SourceError as error:
        return str(error), judge.smeared
    return "", judge.smeared
