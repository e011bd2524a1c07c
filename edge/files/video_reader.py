"""The pictures and sounds of a video file, as ``edge blur`` takes them: upright, whole, each at its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

from edge.errors import PictureError
from edge.frames import Pixels, RawFrame
from edge.sources.deinterlace import Deinterlacer
from edge.sources.upright import Upright
from edge.sources.video_file import VideoFile, moving_pictures

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""FFmpeg's names of the containers that are read."""
MOST_UNTIMED = 300
"""Matroska cannot state times before zero, so pictures there come without one. They are kept until the first
that has one, which says when they are shown; this many at most, since each takes megabytes."""


class VideoReader:
    """The pictures of one open file. Sound packets met on the way are kept for ``take_sound``.

    ``width`` and ``height`` are those of the upright picture in pixels, ``aspect`` is the width of a pixel
    divided by its height, ``rate`` is in frames per second. ``left_out`` names tracks of the file that are
    neither its picture nor its sound.
    """

    def __init__(self, file: VideoFile, keep_audio: bool) -> None:
        """Raises PictureError when no frame can be decoded."""
        self._file = file
        self.sounds: list[Any] = list(file.container.streams.audio) if keep_audio else []
        self.left_out = _left_out(file)
        self.time_base = file.time_base
        self.rate: Fraction = file.stream.average_rate or Fraction(25)
        self._sound: list[Any] = []
        self._upright = Upright(file.context)
        self._shift = Fraction(0)  # seconds
        self._decoder = self._decoded()
        first = next(self._decoder, None)
        if first is None:
            raise PictureError(file.problem or "no frame can be decoded")
        self._first = first
        self.height, self.width = first[0].shape[:2]
        aspect: Fraction = file.stream.sample_aspect_ratio or file.context.sample_aspect_ratio or Fraction(1)
        self.aspect = 1 / aspect if self._upright.swapped else aspect

    def take_sound(self) -> list[Any]:
        """Sound packets since the last call, at the same distance from the pictures as in the file."""
        sound, self._sound = self._sound, []
        for packet in sound:
            shift = round(self._shift / packet.time_base)
            packet.dts += shift
            packet.pts = packet.dts if packet.pts is None else packet.pts + shift
        return sound

    def frames(self) -> Iterator[RawFrame]:
        """All frames in order, each with its own pixels; ``media_seconds`` is exact to the time base."""
        last = -1
        for number, (pixels, pts) in enumerate(chain([self._first], self._decoder)):
            if pixels.shape[:2] != (self.height, self.width):
                raise PictureError(f"the picture changes its size at frame {number}")
            last = max(pts, last + 1)  # some files repeat a time; an encoder needs rising ones
            media = float(last * self.time_base)
            try:
                yield RawFrame(pixels, "file", number, media, time.monotonic(), 0)
            except ValueError as error:
                raise PictureError(str(error)) from error

    def _decoded(self) -> Iterator[tuple[Pixels, int]]:
        """Pixels and times, in units of the time base and not before zero."""
        for frame, pts in self._timed():
            if pts + (shift := round(self._shift / self.time_base)) < 0:
                self._shift, shift = -pts * self.time_base, -pts
            yield self._upright(frame), pts + shift

    def _timed(self) -> Iterator[tuple[Any, int]]:
        """Frames with their times as in the file, in units of the time base."""
        step = round(1 / (self.rate * self.time_base))
        untimed: list[Any] = []
        stated = False
        for count, (frame, pts) in enumerate(self._whole()):
            if pts is not None:
                before = len(untimed)
                yield from ((one, pts - step * (before - place)) for place, one in enumerate(untimed))
                stated, untimed = True, []
                yield frame, pts
            elif stated or count >= MOST_UNTIMED:
                yield from ((one, step * place) for place, one in enumerate(untimed))
                untimed = []
                yield frame, count * step
            else:
                untimed.append(frame)
        yield from ((one, step * place) for place, one in enumerate(untimed))

    def _whole(self) -> Iterator[tuple[Any, int | None]]:
        """The frames, without the combs of interlaced ones. Raises PictureError where the file is damaged."""
        file, count = self._file, 0
        deinterlacer = Deinterlacer(self.time_base)
        for packet in file.packets(*self.sounds):
            if packet.stream is not file.stream:
                if packet.dts is not None:
                    self._sound.append(packet)
                continue
            for frame in file.decode(packet):
                yield from deinterlacer.push(frame)
                count += 1
            if file.problem:
                raise PictureError(f"{file.problem}, after {count} frames")
        yield from deinterlacer.rest()


def _left_out(file: VideoFile) -> list[str]:
    """Further pictures and subtitles. Covers and streams of data, such as positions, go the way of all other
    metadata, and sound is kept only on request."""
    pictures = [
        f"picture {stream.width}x{stream.height}"
        for stream in moving_pictures(file.container)
        if stream is not file.stream
    ]
    subtitles = [f"subtitles ({stream.codec_context.name})" for stream in file.container.streams.subtitles]
    return pictures + subtitles
