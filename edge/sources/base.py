"""What all sources have in common."""

from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import cv2
import numpy as np

from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import MIN_SIDE, RawFrame


class Source(ABC):
    """An iterator of frames of one camera. Iterating opens it; leaving the loop closes it.

    Iterating raises SourceError when the source cannot be opened or stops working, and ends when
    there are no more frames or ``stop`` is set. It may be iterated again to reopen.
    """

    live: ClassVar[bool]
    """Frames come from the world: a repeated or old one is dropped, and a lost source is reopened."""
    continuous: ClassVar[bool] = True
    """Successive frames show the same scene, so that hold makes sense."""

    def __init__(self, camera: str, config: CameraConfig, stop: threading.Event) -> None:
        self.camera = camera
        self.config = config
        self.undecodable = 0
        self._stop = stop
        self._number = 0

    @property
    def waits(self) -> bool:
        """Whether every frame is looked at (True), or the newest one wins (False)."""
        return False

    @property
    def reopens(self) -> bool:
        """Whether to open the source again after an error."""
        return self.live

    @property
    def label(self) -> str:
        """The source as it may be shown: without user name and password."""
        return redact(self.config.source)

    @abstractmethod
    def __iter__(self) -> Iterator[RawFrame]: ...

    def _read_live(self, capture: cv2.VideoCapture) -> Iterator[RawFrame]:
        """Frames of an open live camera until ``stop``. Raises SourceError when one does not come.

        A dead stream returns ok with an old picture once or twice, after the timeout; the handle is of
        no use from then on.
        """
        limit = self.config.read_timeout_seconds
        while not self._stop.is_set():
            begin = time.monotonic()
            good, pixels = capture.read()
            if not good or time.monotonic() - begin >= limit:
                raise SourceError(f"{self.label}: no frame within {limit} seconds")
            frame = self._frame(pixels, time.monotonic())
            if frame is not None:
                yield frame

    def _frame(self, pixels: cv2.typing.MatLike | None, media_seconds: float) -> RawFrame | None:
        """Stamp pixels as this camera's next frame; None, and counted, when they are unusable."""
        if pixels is None or pixels.ndim != 3 or min(pixels.shape[:2]) < MIN_SIDE:
            self.undecodable += 1
            return None
        frame = RawFrame(
            np.asarray(pixels, np.uint8),
            self.camera,
            self._number,
            media_seconds,
            time.monotonic(),
            time.time_ns(),
        )
        self._number += 1
        return frame


def redact(url: str) -> str:
    """Take the user name, the password and the query off a URL.

    >>> redact("rtsp://admin:secret@10.0.0.9:554/stream?token=1")
    'rtsp://10.0.0.9:554/stream'
    """
    match = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^/]*@)?([^?#]*)", url)
    return match.group(1) + match.group(2) if match else url
