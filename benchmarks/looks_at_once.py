"""Two looks at a time with half of the cores each, against one at a time on all of them.

``python -m benchmarks.looks_at_once [CLIP] [--rounds N] [--json FILE]``

The whole appliance on a 720p clip, each run in a process of its own (benchmarks/_pipeline_runner.py), the
ways interleaved round by round: ``detector.threads = 0``, as it comes, and ``detector.threads`` the number of
cores, with the last look and without; one camera, and two. Without CLIP it is the synthetic camera's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks import common
from benchmarks.pipeline import SIZES, prepare, run_appliance
from benchmarks.pipeline_result import Run

ONE, TWO = "one at a time", "two at a time"


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Two looks at a time against one on all cores.")
    parser.add_argument("clip", type=Path, nargs="?", help="a video file (default: the synthetic camera)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each way (default: 5)")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    return parser.parse_args()


def main() -> None:
    arguments = arguments_of()
    cores = common.cores()
    if cores < 2:
        raise common.give_up("one core: the appliance looks at one frame at a time here")
    result = common.begin("looks_at_once")
    cases = [(last_look, cameras) for last_look in ("always", "off") for cameras in (1, 2)]
    runs: dict[tuple[str, int, str], list[Run]] = {}
    with tempfile.TemporaryDirectory() as name:
        draft, clip = Path(name), Path(name) / "clip.mp4"
        prepare(arguments.clip, clip, *SIZES["720p"], None)
        for _ in range(arguments.rounds):
            for last_look, cameras in cases:
                for way, threads in ((ONE, cores), (TWO, 0)):
                    detector = {"provider": "cpu", "size_pixels": "640x384", "threads": threads}
                    settings = {"detector": detector, "privacy": {"last_look": last_look}}
                    run, _ = run_appliance([clip] * cameras, draft, settings)
                    runs.setdefault((last_look, cameras, way), []).append(run)
    rows = []
    for (last_look, cameras, way), taken in runs.items():
        yardstick = runs[last_look, cameras, ONE]
        ratios = [
            a.frames / a.seconds / (b.frames / b.seconds) for a, b in zip(taken, yardstick, strict=True)
        ]
        rows.append(
            {
                "last_look": last_look,
                "cameras": cameras,
                "way": way,
                "frames_per_second": round(statistics.median(run.frames / run.seconds for run in taken), 2),
                "times_one": round(statistics.median(ratios), 3),
                "times_one_range": [round(min(ratios), 3), round(max(ratios), 3)],
                "cpu_ms_per_frame": round(
                    statistics.median(1000 * run.cpu_seconds / run.frames for run in taken), 1
                ),
                "rss_megabytes": round(max(run.rss_megabytes for run in taken)),
            }
        )
    result["rounds"], result["rows"] = arguments.rounds, rows
    common.finish(result, arguments.json)
    print(common.table(list(rows[0]), [list(row.values()) for row in rows]))
    print(common.machine_line(result))


if __name__ == "__main__":
    main()
