"""Write anonymized frames as a video file, as durably and atomically as every other file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import av
import av.error

from edge.errors import StoreError
from edge.frames import AnonymizedFrame
from edge.store.durable import make_folder, new_file

CONTAINERS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".avi": ("avi", "mpeg4"),  # AVI has no timestamps, so the codec must not reorder frames
    ".webm": ("webm", "libvpx-vp9"),
}
"""File name endings, with the container and codec for each."""

_QUALITY = {
    "libx264": {"crf": "20", "preset": "veryfast"},
    "mpeg4": {"qmin": "2", "qmax": "4"},
    "libvpx-vp9": {"crf": "30", "b": "0"},
}
_BT601, _LIMITED_RANGE = 6, 1  # ITU-T H.273


class Shape(NamedTuple):
    """Width and height of a picture in pixels, and the shape of a pixel, its width divided by its height."""

    width: int
    height: int
    aspect: Fraction


@contextlib.contextmanager
def _encoding() -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise StoreError(f"video encoder: {error}") from error


class VideoWriter:
    """A video file that is being written. Made by ``open_video``."""

    def __init__(
        self, file: BinaryIO, suffix: str, shape: Shape, rate: Fraction, time_base: Fraction
    ) -> None:
        name, codec = CONTAINERS[suffix]
        with _encoding():
            self._container = cast(Any, av.open(file, "w", format=name))
            self._stream = self._container.add_stream(codec, rate=rate, options=_QUALITY[codec])
        self._stream.width, self._stream.height = width, height = shape.width, shape.height
        if shape.aspect != 1:
            self._stream.sample_aspect_ratio = shape.aspect
            self._stream.codec_context.sample_aspect_ratio = shape.aspect
        # Chroma subsampling needs even sides
        self._stream.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        self._stream.codec_context.time_base = time_base
        # This is what BGR is converted to. Without a statement, players assume BT.709 for large pictures.
        self._stream.codec_context.colorspace = _BT601
        self._stream.codec_context.color_range = _LIMITED_RANGE
        self._time_base = time_base
        self._sounds: dict[int, Any] = {}

    def copy_audio(self, template: Any) -> None:
        """Add a sound track that will be copied unchanged. To be called before the first frame."""
        with _encoding():
            self._sounds[template.index] = self._container.add_stream_from_template(template)

    def write(self, frame: AnonymizedFrame, pts: int) -> None:
        """Add one frame; ``pts`` is in units of the time base and increasing. Raises StoreError."""
        if type(frame) is not AnonymizedFrame:
            raise TypeError(f"the store takes an AnonymizedFrame, not {type(frame).__name__}")
        # This does not copy; the encoder copies into its own format before it returns.
        picture = av.VideoFrame.from_numpy_buffer(frame.pixels, format="bgr24")
        picture.pts, picture.time_base = pts, self._time_base
        with _encoding():
            self._container.mux(self._stream.encode(picture))

    def write_audio(self, packet: Any) -> None:
        """Copy one packet of a sound track. Raises StoreError."""
        packet.stream = self._sounds[packet.stream.index]
        with _encoding():
            self._container.mux(packet)

    def finish(self) -> None:
        """Flush the encoder and complete the file. Raises StoreError."""
        with _encoding():
            self._container.mux(self._stream.encode())
            self._container.close()

    def abandon(self) -> None:
        """Close a file that will not be kept."""
        with contextlib.suppress(av.error.FFmpegError):
            self._container.close()


@contextlib.contextmanager
def open_video(
    path: Path, shape: Shape, rate: Fraction, time_base: Fraction, *, replace: bool
) -> Iterator[VideoWriter]:
    """Give a writer; the file gets its name when the block ends without an error.

    ``rate`` is in frames per second, ``time_base`` in seconds. Raises StoreError.
    """
    make_folder(path.parent)
    with new_file(path, replace=replace) as file:
        writer = VideoWriter(file, path.suffix.lower(), shape, rate, time_base)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
