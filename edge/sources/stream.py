"""Network cameras: RTSP, and whatever else FFmpeg opens by URL (HTTP MJPEG, HLS)."""

from __future__ import annotations

from collections.abc import Iterator

import cv2

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources.base import Source

SCHEMES = ("rtsp", "rtsps", "http", "https")


class StreamSource(Source):
    """A network stream. Only the schemes of cameras are opened."""

    live = True

    def __iter__(self) -> Iterator[RawFrame]:
        scheme = self.config.source.split("://")[0].lower()
        if scheme not in SCHEMES:
            raise SourceError(f"{self.label}: scheme {scheme!r}; use one of {', '.join(SCHEMES)}")
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
                    f"{self.label}: cannot be opened within {self.config.open_timeout_seconds} seconds; "
                    "check address, user name, password and cable"
                )
            yield from self._read_live(capture)
        finally:
            capture.release()
