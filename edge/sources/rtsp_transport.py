"""RTSP over TCP or UDP, chosen per camera, although OpenCV has only one setting per process.

OpenCV reads FFmpeg's options from the environment (``OPENCV_FFMPEG_CAPTURE_OPTIONS``) whenever it opens
a stream. FFmpeg's ``?tcp`` and ``?udp`` at the end of a URL have no effect: OpenCV asks for TCP when the
variable is not set, and ``?tcp`` is ignored when it is (tried with OpenCV 5.0 and FFmpeg 8).
"""

from __future__ import annotations

import os
import threading
import time
from typing import Literal

VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
READ_WITHIN_SECONDS = 0.5
"""The variable is read in the first microseconds of opening; after this time it may be changed."""

Transport = Literal["tcp", "udp"]

_OPENING = "fpsprobesize;0"
"""Keeps FFmpeg from reading 20 frames to find out the rate of a stream, which is not needed here: at 10
frames per second, opening takes 2.8 s with that and 0.8 s without."""

_others = os.environ.get(VARIABLE, "")
_lock = threading.Lock()
_chosen: Transport = "tcp"
_chosen_at = float("-inf")


def _set(transport: Transport) -> None:
    os.environ[VARIABLE] = "|".join(filter(None, (_others, f"rtsp_transport;{transport}", _OPENING)))


# The variable exists before there are threads. From then on only its value changes, and nothing moves in
# memory that another thread's getenv() may be reading.
_set(_chosen)


def choose(transport: Transport) -> None:
    """Use ``transport`` for the stream that this thread opens next.

    Returns at once if the previous choice was the same, otherwise when ``READ_WITHIN_SECONDS`` have passed
    since then. No lock is held while a stream is opened, so one that hangs does not hold up others.
    """
    global _chosen, _chosen_at
    with _lock:
        if transport != _chosen:
            time.sleep(max(0.0, _chosen_at + READ_WITHIN_SECONDS - time.monotonic()))
            _set(transport)
            _chosen = transport
        _chosen_at = time.monotonic()
