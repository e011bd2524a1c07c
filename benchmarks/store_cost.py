"""Cost of storing images so that they survive a power cut: ``python -m benchmarks store-cost``.

Images of 1280x720 (JPEG, quality 90), already covered, go into the store, interleaved round by round:

* *plain*: written and renamed, nothing flushed: the yardstick, which loses every file in a power cut.
* *one by one*: each image with its own record, its own flushes of log, image and folder.
* *groups of 8*: one flush of the log and one of the folder for eight images, as the store does when images
  wait.
* *groups of 8, encrypted*: the same with ``store.recipient`` (where the extra ``encrypt`` is installed).

Encoding is left out, since it is the same for all. The cost of a flush is that of the folder's disk.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import common
from edge import blur
from edge.boxes import NO_BOXES
from edge.config import BlurConfig, StoreConfig
from edge.errors import ConfigError
from edge.frames import AnonymizedFrame, RawFrame
from edge.sources.synthetic import draw_wall, view
from edge.store.encode import encode
from edge.store.encryption import new_identity
from edge.store.images import Entry, ImageStore

GROUP = 8
ROUNDS = 5

Write = Callable[[Sequence[AnonymizedFrame]], float]
"""Stores frames; returns the seconds that it took, without encoding."""


def frames(count: int) -> list[AnonymizedFrame]:
    """Frames of the synthetic camera. They show public-domain portraits only, so no face is covered."""
    wall, made = draw_wall(), []
    for number in range(count):
        raw = RawFrame(view(wall, number / 25), "bench", number, number / 25, 0.0, time.time_ns())
        made.append(blur.anonymize(raw, NO_BOXES, BlurConfig()))
    return made


def plain(folder: Path) -> Write:
    folder.mkdir()

    def write(group: Sequence[AnonymizedFrame]) -> float:
        data = [encode(frame, "jpeg", 90) for frame in group]
        begin = time.perf_counter()
        for frame, one in zip(group, data, strict=True):
            path = folder / f"{time.time_ns()}-{frame.number}"
            path.write_bytes(one)
            path.rename(path.with_suffix(".jpg"))
        return time.perf_counter() - begin

    return write


def stored(folder: Path, group_size: int, recipient: str | None = None) -> Write:
    store = ImageStore(StoreConfig(folder=folder, recipient=recipient))

    def write(group: Sequence[AnonymizedFrame]) -> float:
        seconds = 0.0
        for first in range(0, len(group), group_size):
            entries = [Entry(frame) for frame in group[first : first + group_size]]
            results = store.write(entries)
            if not all(isinstance(result, Path) for result in results):
                raise common.give_up(f"an image could not be stored: {results}")
            seconds += store.write_seconds * len(entries)
        return seconds

    return write


def main(*, folder: Path | None, images: int, file: Path | None) -> None:
    """Measure, print and keep the result."""
    result = common.begin("store_cost")
    group = frames(images)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        draft = Path(name)
        ways = {
            "plain": plain(draft / "plain"),
            "one by one": stored(draft / "single", 1),
            f"groups of {GROUP}": stored(draft / "groups", GROUP),
        }
        try:
            ways[f"groups of {GROUP}, encrypted"] = stored(draft / "encrypted", GROUP, new_identity()[1])
        except ConfigError:
            print("the extra encrypt is not installed: no row for it")
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for round_number in range(ROUNDS + 1):
            for way, write in ways.items():
                taken = write(group)
                if round_number:  # the first is a warm-up
                    seconds[way].append(taken / len(group))
    rows = []
    single = statistics.median(seconds["one by one"])
    for way, times in seconds.items():
        median = statistics.median(times)
        rows.append(
            {
                "way": way,
                "median_ms": round(median * 1000, 3),
                "min_ms": round(min(times) * 1000, 3),
                "max_ms": round(max(times) * 1000, 3),
                "times_faster_than_one_by_one": round(single / median, 2),
            }
        )
    header = ["way", "ms per image, median", "min", "max", "times faster than one by one"]
    print(common.table(header, [list(row.values()) for row in rows]))
    print(common.machine_line(result))
    result |= {"images": images, "rounds": ROUNDS, "rows": rows}
    common.finish(result, file)
