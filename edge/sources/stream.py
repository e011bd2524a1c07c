"""Network cameras: RTSP, and whatever else FFmpeg opens by URL (HTTP MJPEG, HLS)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import cv2

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources import transport
from edge.sources.base import Source
from edge.sources.clock import StreamClock

SCHEMES = ("rtsp", "rtsps", "http", "https")


class StreamSource(Source):
    """A network stream. Only the schemes of cameras are opened.

    The times of RTSP come from the camera, and tell how late a picture is. Those of HTTP are made up
    from a frame rate, and tell nothing.
    """

    live = True

    def __iter__(self) -> Iterator[RawFrame]:
        scheme = self.config.source.split("://")[0].lower()
        if scheme not in SCHEMES:
            raise SourceError(f"{self.label}: scheme {scheme!r}; use one of {', '.join(SCHEMES)}")
        transport.choose(self.config.transport)
        begin = time.monotonic()
        capture = cv2.VideoCapture(
            self.config.source,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                int(self.config.open_timeout_seconds * 1000),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                int(self.config.read_timeout_seconds * 1000),
            ],
        )
        try:
            if not capture.isOpened():
                raise SourceError(
                    f"{self.label}: cannot be opened within {self.config.open_timeout_seconds:g} seconds; "
                    "check address, user name, password and cable"
                )
            yield from self._read_live(capture, StreamClock(begin) if scheme.startswith("rtsp") else None)
        finally:
            capture.release()
