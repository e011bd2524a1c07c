"""One process of ``edge blur`` on a clip: ``python -m benchmarks.pipeline._blur_runner CLIP OUT FACE``.

``FACE`` is that of ``edge blur --smallest-face``. The work is that of the command, and so is what closes the
process to others. As in ``_deface_runner.py``, the detector is open before the clock starts, which stops when
the video is written. Prints one JSON object: ``frames``, ``seconds``, ``cpu_seconds``, ``rss_megabytes``, and
``covered``, for each frame the boxes ``x1 y1 x2 y2`` in pixels that were covered.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_megabytes
from edge.config import Config
from edge.detection import known_face
from edge.detection.detector import open_detector
from edge.detection.session import read_detector
from edge.files import video
from edge.last_look import LastLook
from edge.process import harden


def main() -> None:
    harden()
    clip, out, smallest_face = sys.argv[1:4]
    table: dict[str, Any] = {
        "detector": {"threads": 1, "timeout_seconds": 120},
        "privacy": {"smallest_face_pixels": int(smallest_face)},
    }
    config = Config(**table)
    detector = open_detector(read_detector(None), config.detector)
    known_face.check(detector)
    covered: list[list[list[int]]] = []

    class Watched(video.VideoResult):
        """Remembers what was covered in each frame that was written."""

        def count(self, last: LastLook) -> None:
            super().count(last)
            whole = [[0, 0, self.width, self.height]]
            covered.append(whole if last.frame.whole else last.frame.areas.tolist())

    video.VideoResult = Watched  # type: ignore[misc]
    begin, cpu = time.perf_counter(), time.process_time()
    result = video.anonymize_video(
        Path(clip),
        Path(out),
        detector,
        config,
        workers=os.cpu_count() or 1,
        keep_audio=False,
        replace=True,
        advance=lambda count: None,
    )
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(
        json.dumps(
            {
                "frames": result.frames,
                "seconds": seconds,
                "cpu_seconds": cpu,
                "covered": covered,
                "rss_megabytes": peak_megabytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
