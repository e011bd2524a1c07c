"""RTSP over TCP or UDP, chosen per camera, though OpenCV knows only one choice per process.

OpenCV reads FFmpeg's options from the environment (``OPENCV_FFMPEG_CAPTURE_OPTIONS``) whenever it opens
something. FFmpeg's ``?tcp`` and ``?udp`` at the end of a URL have no effect: OpenCV asks for TCP where
the variable is not set, and ``?tcp`` is ignored where it is (tried with OpenCV 5.0 and FFmpeg 8).
"""

from __future__ import annotations

import os
import threading
import time
from typing import Literal

VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
READ_WITHIN_SECONDS = 0.5
"""The variable is read in the first microseconds of opening; after this long it may change."""

Transport = Literal["tcp", "udp"]

_OPENING = "fpsprobesize;0"
"""FFmpeg looks at 20 frames to tell the rate of a stream, which nobody asks for here: 2.8 s of opening at 10
frames per second, 0.8 s without."""

_others = os.environ.get(VARIABLE, "")
_lock = threading.Lock()
_chosen: Transport = "tcp"
_chosen_at = float("-inf")


def _set(transport: Transport) -> None:
    os.environ[VARIABLE] = "|".join(filter(None, (_others, f"rtsp_transport;{transport}", _OPENING)))


# It exists before there are threads: from then on only its value changes, and nothing is moved in memory
# that another thread's getenv() may be looking at.
_set(_chosen)


def choose(transport: Transport) -> None:
    """Let whatever this thread opens next use ``transport``.

    Returns at once where that is what the last one chose, otherwise when ``READ_WITHIN_SECONDS`` have
    passed since then. Nothing is held while a stream is opened, so one that hangs holds up no other.
    """
    global _chosen, _chosen_at
    with _lock:
        if transport != _chosen:
            time.sleep(max(0.0, _chosen_at + READ_WITHIN_SECONDS - time.monotonic()))
            _set(transport)
            _chosen = transport
        _chosen_at = time.monotonic()
