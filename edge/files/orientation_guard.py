"""A video whose people lie or hang upside down as it is shown: its orientation is wrong, and faces in it are
overlooked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av.error
import numpy as np

from edge.detection.joint import AnyDetector
from edge.detection.views import Search
from edge.errors import PictureError
from edge.files.video_reader import DEMUXERS
from edge.frames import Pixels
from edge.sources.upright import Upright
from edge.sources.video_file import VideoFile

SAMPLES = 10
SHARE = 1 / 60
"""Width of the smallest face looked for, as a share of the frame's longer side: one view shows all."""
LEAST_FACES, TIMES = 3, 1.5
"""Another orientation is believed when it shows ``TIMES`` the faces of the upright one, and
``LEAST_FACES`` more. Only sure ones count: a detector takes much for a face that lies."""


def wrong_orientation(path: Path, detector: AnyDetector, search: Search) -> str:
    """A warning that a turned video shows more faces than as it is; empty if not, or if it cannot be read.

    Mirrored pictures need no look of their own: a mirrored face is a face. Raises DetectionError.
    """
    found = np.zeros(4, np.int64)
    frames = 0
    try:
        for pixels in _samples(path):
            frames += 1
            found += [_count(np.rot90(pixels, -quarters), detector, search) for quarters in range(4)]
    except (av.error.FFmpegError, PictureError, OSError):
        return ""  # what is wrong with it is said when it is anonymized
    quarters = int(found.argmax())
    if found[quarters] < TIMES * found[0] + LEAST_FACES:
        return ""
    return (
        f"turned by {90 * quarters} degrees, {found[quarters]} faces are seen in {frames} of its frames, "
        f"and {found[0]} as it is shown: if that is wrong, set it right first, or add --any-orientation"
    )


def _count(pixels: Pixels, detector: AnyDetector, search: Search) -> int:
    pixels = np.ascontiguousarray(pixels)
    large = replace(search, smallest_face=max(search.smallest_face, SHARE * max(pixels.shape[:2])))
    return len(detector.detect(pixels, large).at_least(detector.score_last_look).boxes)


def _samples(path: Path) -> Iterator[Pixels]:
    """Key frames from all over the video, as they are shown: uint8 ``[H, W, 3]`` BGR."""
    before: int | None = None
    with VideoFile(path, DEMUXERS) as file:
        upright = Upright(file.context)
        seconds = (file.container.duration or 0) / 1e6
        for number in range(SAMPLES):
            if number:
                file.container.seek(round(1e6 * seconds * number / SAMPLES))
            frame = next(file.container.decode(file.stream), None)
            if frame is None:
                return
            if number == 0 or frame.pts != before:
                yield upright(frame)
            before = frame.pts
