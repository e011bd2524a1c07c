"""Video files, played at their own rate like a camera, or as fast as the pipeline can follow."""

from __future__ import annotations

import time
from collections.abc import Iterator

import av.error

from edge.errors import PictureError, SourceError
from edge.frames import Pixels, RawFrame
from edge.sources.base import Source
from edge.sources.upright import upright
from edge.sources.video_file import VideoFile

DEFAULT_RATE = 25.0
"""Frames per second when neither the file nor the configuration gives a rate."""


class VideoSource(Source):
    """A video file. With ``pace = false``, no frame is skipped.

    Of a damaged file, all that is intact is played. Then SourceError is raised.
    """

    live = False

    @property
    def waits(self) -> bool:
        return not self.config.pace

    @property
    def reopens(self) -> bool:
        return self.config.loop

    def __iter__(self) -> Iterator[RawFrame]:
        played = 0.0  # seconds, of the rounds before
        begin = time.monotonic()
        while not self._stop.is_set():
            usable, before = False, played
            for pixels, media, end in self._play():
                media, played = before + media, before + end
                if self.config.pace and self._stop.wait(max(0.0, begin + media - time.monotonic())):
                    return
                frame = self._frame(pixels, media)
                if frame is not None:
                    usable = True
                    handed = time.monotonic()
                    yield frame
                    # While the pipeline holds the file back, its clock stands still
                    begin += time.monotonic() - handed
            if not usable and not self._stop.is_set():
                raise SourceError(f"{self.label}: no frame can be decoded; is it a video file?")
            if not self.config.loop:
                return

    def _play(self) -> Iterator[tuple[Pixels, float, float]]:
        """Each intact picture, when it is shown, and when the next one is due, in seconds since the first."""
        damaged = 0
        try:
            with VideoFile(self.config.source) as file:
                rate = self.config.rate_fps or file.rate or DEFAULT_RATE
                first, shown, count = None, -1 / rate, 0
                for packet in file.packets():
                    for frame in file.decode(packet):
                        seconds = None if frame.pts is None else float(frame.pts * file.time_base)
                        first = seconds if first is None else first
                        if self.config.rate_fps or seconds is None or first is None:
                            media = count / rate
                        else:
                            media = max(shown, seconds - first)
                        shown, count = media, count + 1
                        yield upright(frame), media, media + 1 / rate
                    self.damaged += file.damaged - damaged
                    damaged = file.damaged
                    if self._stop.is_set():
                        return
                if file.problem:
                    lost = f"; {damaged} frames were dropped" if damaged else ""
                    raise SourceError(f"{self.label}: {file.problem}{lost}")
        except PictureError as error:
            raise SourceError(f"{self.label}: {error}") from error
        except av.error.FFmpegError as error:
            raise SourceError(f"{self.label}: broken or not a video: {error.strerror}") from error
