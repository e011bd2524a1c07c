"""A video file and what is wrong with it: the same judgement for cameras and for ``edge blur``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
from av.stream import Disposition

from edge import MAX_PICTURE_PIXELS
from edge.errors import PictureError
from edge.sources.ffmpeg_log import IN_CONTAINER, listen
from edge.sources.intact import IntactDecoder

LOST_SHARE, LOST_SECONDS = 0.05, 0.2
"""A video is truncated when it ends earlier than it states by more than both of these."""


def open_container(path: Path | str, formats: str = "") -> Any:
    """Open a video file, of one of FFmpeg's ``formats`` if some are given, and nothing else: no pipe, no
    other protocol, no list of other files. Raises PictureError and FFmpegError."""
    # Path.is_file() raises an error that quotes the source when that is too long for a file name.
    if not os.path.isfile(path):
        raise PictureError("not a regular file" if os.path.exists(path) else "no such file")
    options = {"protocol_whitelist": "file"} | ({"format_whitelist": formats} if formats else {})
    return av.open(f"file:{path}", options=options, metadata_errors="replace")


def moving_pictures(container: Any) -> list[Any]:
    """The picture tracks of an open container, without covers, which are pictures stored as a track."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


class VideoFile:
    """The first picture track of an open file that is no cover. Use it as a context manager.

    ``damaged`` counts the frames that were dropped because something of them, or of what they refer to, is
    missing. ``problem`` says what is wrong with the file, as far as it has been read; empty if nothing is.
    """

    def __init__(self, path: Path | str, formats: str = "") -> None:
        """Raises PictureError, OSError and FFmpegError."""
        with listen():  # what it says of tracks that are not read does not matter
            self.container = open_container(path, formats)
        try:
            tracks = moving_pictures(self.container)
            if not tracks:
                raise PictureError("no picture track in this file")
            self.stream = tracks[0]
            self.context = context = self.stream.codec_context
            if context is None:
                raise PictureError("its pictures are of a kind that cannot be decoded")
            if context.width * context.height > MAX_PICTURE_PIXELS:
                raise PictureError(f"{context.width}x{context.height} is over the limit of pixels")
        except PictureError:
            self.container.close()
            raise
        self.time_base: Fraction = self.stream.time_base or Fraction(1, 90000)
        self.rate = float(self.stream.average_rate or 0)
        self._decoder = IntactDecoder(self.container, self.stream)
        self._packets = 0
        self._end = 0.0  # of the last picture that was shown, in seconds
        self._reached = 0.0  # by any track, in seconds
        self._broken = ""
        self._whole = False

    def packets(self, *others: Any) -> Iterator[Any]:
        """The packets of the picture track, and of ``others``. What ends them early is a problem."""
        # Only the whole file's length may be known, and other tracks may go on after the last picture.
        everything = [s for s in self.container.streams if s is not self.stream and s.time_base]
        try:
            for packet in self._decoder.packets(*everything):
                if packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self._reached = max(self._reached, end)
                if packet.stream is self.stream or packet.stream in others:
                    yield packet
        except av.error.FFmpegError as error:
            self._broken = f"broken: {error.strerror}"
        self._whole = True

    def decode(self, packet: Any) -> list[Any]:
        """The intact frames that come with a packet of the picture track."""
        self._packets += packet.size > 0
        frames = self._decoder.decode(packet)
        times = [float(frame.pts * self.time_base) for frame in frames if frame.pts is not None]
        self._end = max([self._end, *times])
        return frames

    @property
    def damaged(self) -> int:
        return self._decoder.damaged

    @property
    def problem(self) -> str:
        sign = self._decoder.sign
        if sign:
            return "truncated or damaged" if sign == IN_CONTAINER else f"damaged: {sign}"
        if self._decoder.damaged:
            return "damaged: it does not begin with a key frame"
        return self._broken or (self._missing_end() if self._whole else "")

    def _missing_end(self) -> str:
        """That the file ended earlier than its header says; empty when it did not."""
        # MP4 and MOV state the number exactly; AVI counts gaps too
        stated_frames = self.stream.frames
        if "mp4" in self.container.format.name and stated_frames > self._packets:
            return f"truncated: {self._packets} of {stated_frames} frames are there"
        duration = self.stream.duration
        stated = float(duration * self.time_base) if duration else (self.container.duration or 0) / 1e6
        start = float((self.stream.start_time or 0) * self.time_base)
        missing = stated - (self._end - start) - 1 / (self.rate or 25)
        if not duration:
            missing = min(missing, stated - self._reached)
        if missing > max(LOST_SECONDS, LOST_SHARE * stated):
            return f"truncated: the last {missing:.1f} of {stated:.1f} seconds are missing"
        return ""

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.container.close()
