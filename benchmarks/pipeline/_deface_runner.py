"""Runs deface on a clip, in deface's own environment: ``_deface_runner.py CLIP OUT WIDTHxHEIGHT|full``.

Imports nothing of ``edge``. The work is deface's own ``video_detect`` with the defaults of its command line,
but for the size of detection. Its detector has seen one frame before the clock starts, as ours has. Prints
one JSON object: ``frames``, ``seconds``, ``cpu_seconds`` (with those of the encoder that it starts), and
``covered``, for each frame the boxes ``x1 y1 x2 y2`` in pixels whose inscribed ellipses it covered.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

THRESHOLD, MASK_SCALE, MOSAIC = 0.2, 1.3, 20


def main() -> None:
    clip, out, size = sys.argv[1:4]
    # By name, because only the other environment has it
    command: Any = importlib.import_module("deface.deface")
    shape = None if size == "full" else tuple(map(int, size.split("x")))
    detector = command.CenterFace(in_shape=shape, backend="auto", override_execution_provider=None)
    covered: list[list[list[int]]] = []

    def watched(frame: Any, threshold: float) -> Any:
        found, landmarks = detector(frame, threshold=threshold)
        height, width = frame.shape[:2]
        covered.append([mask_of(command, box, width, height) for box in found])
        return found, landmarks

    reader = command.imageio.get_reader(clip)
    detector(reader.get_next_data(), threshold=THRESHOLD)
    reader.close()
    begin, cpu = time.perf_counter(), cpu_seconds()
    command.video_detect(
        ipath=clip,
        opath=out,
        centerface=watched,
        threshold=THRESHOLD,
        enable_preview=False,
        cam=False,
        nested=False,
        replacewith="blur",
        mask_scale=MASK_SCALE,
        ellipse=True,
        draw_scores=False,
        ffmpeg_config={"codec": "libx264"},
        mosaicsize=MOSAIC,
    )
    seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
    packages = ("deface", "onnxruntime", "numpy", "opencv-python", "imageio", "imageio-ffmpeg")
    print(
        json.dumps(
            {
                "frames": len(covered),
                "seconds": seconds,
                "cpu_seconds": cpu,
                "covered": covered,
                "packages": {name: metadata.version(name) for name in packages},
                "rss_megabytes": peak_megabytes(),
            }
        )
    )


def mask_of(command: Any, box: Any, width: int, height: int) -> list[int]:
    """What deface covers for a detection: grown and cut as in its ``anonymize_frame``."""
    x1, y1, x2, y2 = command.scale_bb(*np.asarray(box[:4]).astype(int), MASK_SCALE)
    return [max(0, int(x1)), max(0, int(y1)), min(width - 1, int(x2)), min(height - 1, int(y2))]


def peak_megabytes() -> float:
    """Peak resident memory of this process, without that of the encoder."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


if __name__ == "__main__":
    main()
