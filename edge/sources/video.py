"""Video files, played at their own rate like a camera, or as fast as the pipeline can follow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2

from edge.errors import PictureError, SourceError
from edge.frames import Pixels, RawFrame
from edge.sources.base import Source
from edge.sources.display_matrix import read_orientation
from edge.sources.orientation import Orientation, oriented

DEFAULT_RATE = 25.0
"""Frames per second when neither the file nor the configuration gives a rate."""


class VideoSource(Source):
    """A video file. With ``pace = false``, no frame is skipped."""

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
                    begin += (
                        time.monotonic() - handed
                    )  # while the pipeline holds the file back, its clock stands still
            if frames == before:
                raise SourceError(f"{self.label}: no frame can be decoded; is it a video file?")
            if not self.config.loop:
                return

    def _play(self) -> Iterator[tuple[Pixels, float]]:
        # Path.is_file() raises an error that quotes the source when that is too long for a file name.
        if not os.path.isfile(self.config.source):
            raise SourceError(f"{self.label}: no such file; correct the camera's source")
        capture = cv2.VideoCapture(self.config.source, cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise SourceError(f"{self.label}: cannot be opened as a video")
            orientation = self._orientation(capture)
            stated = capture.get(cv2.CAP_PROP_FPS)
            rate = self.config.rate_fps or (stated if 0 < stated <= 1000 else DEFAULT_RATE)
            while not self._stop.is_set():
                good, pixels = capture.read()
                if not good:
                    return
                yield oriented(cast(Pixels, pixels), orientation), rate
        finally:
            capture.release()

    def _orientation(self, capture: cv2.VideoCapture) -> Orientation:
        """How to turn the file's pictures upright; from now on ``capture`` returns them as stored."""
        try:
            orientation = read_orientation(Path(self.config.source))
        except (PictureError, OSError) as error:
            raise SourceError(f"{self.label}: {error}") from error
        angle = capture.get(cv2.CAP_PROP_ORIENTATION_META)
        known = 0 <= angle < 360  # a matrix of zeros has no angle
        if not capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0) or (known and angle != orientation.degrees):
            raise SourceError(
                f"{self.label}: OpenCV turns it by {angle:g} degrees, the file's header by "
                f"{orientation.degrees}; encode the video again as it is to be shown (ffmpeg -i IN OUT)"
            )
        return orientation
