"""Video files, played at their own rate like a camera, or as fast as the rest can follow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources.base import Source

DEFAULT_RATE = 25.0
"""Frames per second where neither the file nor the configuration says."""


class VideoSource(Source):
    """A video file. With ``pace = false`` no frame is skipped."""

    live = False

    @property
    def waits(self) -> bool:
        return not self.config.pace

    @property
    def reopens(self) -> bool:
        return self.config.loop

    def __iter__(self) -> Iterator[RawFrame]:
        position, frames = 0, 0
        begin = time.monotonic()
        while not self._stop.is_set():
            before = frames
            for pixels, rate in self._play():
                media = position / rate
                if self.config.pace and self._stop.wait(max(0.0, begin + media - time.monotonic())):
                    return
                position += 1
                frame = self._frame(pixels, media)
                if frame is not None:
                    frames += 1
                    handed = time.monotonic()
                    yield frame
                    begin += time.monotonic() - handed  # a box that holds it back stops its clock, too
            if frames == before:
                raise SourceError(f"{self.label}: no frame can be decoded; is it a video file?")
            if not self.config.loop:
                return

    def _play(self) -> Iterator[tuple[cv2.typing.MatLike, float]]:
        if not Path(self.config.source).is_file():
            raise SourceError(f"{self.label}: no such file; correct the camera's source")
        capture = cv2.VideoCapture(self.config.source, cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise SourceError(f"{self.label}: cannot be opened as a video")
            stated = capture.get(cv2.CAP_PROP_FPS)
            rate = self.config.rate_fps or (stated if 0 < stated <= 1000 else DEFAULT_RATE)
            while not self._stop.is_set():
                good, pixels = capture.read()
                if not good:
                    return
                yield pixels, rate
        finally:
            capture.release()
