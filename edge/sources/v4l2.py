"""USB and built-in cameras through Video4Linux."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cv2

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources.live import LiveSource, pictures_of


class V4l2Source(LiveSource):
    """A ``/dev/videoN`` device. Not tried on hardware."""

    def __iter__(self) -> Iterator[RawFrame]:
        path = self.config.source
        if not os.path.exists(path):
            raise SourceError(
                f"{self.label}: no such device; is the camera plugged in? v4l2-ctl --list-devices"
            )
        if not os.access(path, os.R_OK | os.W_OK):
            raise SourceError(f"{self.label}: no permission; add the user to the group that owns it (video)")
        capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
        try:
            if not capture.isOpened():
                raise SourceError(f"{self.label}: cannot be opened; another program may be using it")
            for key, value in (
                (cv2.CAP_PROP_FRAME_WIDTH, self.config.width_pixels),
                (cv2.CAP_PROP_FRAME_HEIGHT, self.config.height_pixels),
                (cv2.CAP_PROP_FPS, self.config.rate_fps),
            ):
                if value is not None:
                    capture.set(key, value)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old pictures are worthless here
            yield from self._read_live(pictures_of(capture))
        finally:
            capture.release()
