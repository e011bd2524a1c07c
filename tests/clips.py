"""Small video files of the synthetic camera."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2

from edge.sources.synthetic import draw_wall, view


def write_clip(
    path: Path, *, frames: int = 20, rate: int = 10, width: int = 640, height: int = 360, start: float = 0
) -> Path:
    """Write what the synthetic camera sees, ``rate`` pictures per second of its time, as H.264."""
    wall = draw_wall()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            seen = cv2.resize(
                view(wall, start + number / rate), (width, height), interpolation=cv2.INTER_AREA
            )
            frame = av.VideoFrame.from_ndarray(seen, format="bgr24")  # type: ignore[arg-type]
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
