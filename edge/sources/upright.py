"""Decoded frames of FFmpeg as pictures: BGR, turned and mirrored as a player shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import Colorspace, VideoReformatter

from edge.errors import PictureError
from edge.frames import Pack, Pixels
from edge.sources.orientation import Orientation, orientation_of, oriented

HD_HEIGHT = 720
"""Players take colours whose matrix is not stated for those of ITU-R BT.709 in a picture of this many lines
or more, and for those of BT.601 in a smaller one."""
_UNSPECIFIED = 2  # ITU-T H.273, for matrices
_HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}  # ITU-T H.273, transfer characteristics
_HALF_COLOURS = ("yuv420p", "yuvj420p")
"""Formats of decoded frames that take half of the memory of BGR, with one of each colour for four pixels."""
_MULTIPLE = 4
"""PyAV makes a picture of other sides from such a frame's bytes where these are no multiples of it."""


class _Converter(threading.local):
    """One per thread: a frame that converts itself makes threads of its own for that."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_converter = _Converter()


class Upright:
    """Makes pictures of the frames of one stream.

    A message that turns the picture (H.264 and H.265 have one) comes with a key frame and holds from there,
    so the orientation of the last frame that stated any is kept.
    """

    def __init__(self, context: Any) -> None:
        """``context`` is the ``av.VideoCodecContext`` that decodes the stream."""
        self._context = context
        self._orientation = Orientation()

    def __call__(self, frame: Any) -> Pixels:
        """The pixels of an ``av.VideoFrame`` as they are to be shown: uint8 ``[H, W, 3]`` BGR.

        Raises PictureError when its display matrix does more than turn by quarters and mirror, and for high
        dynamic range: shown as if it were an ordinary picture, it is so flat that faces are overlooked.
        """
        if (kind := _HDR.get(self._context.color_trc)) is not None:
            raise PictureError(
                f"high dynamic range, {kind}, is not supported; make it standard range first: ffmpeg -i IN "
                "-vf zscale=t=linear,format=gbrpf32le,tonemap=hable,zscale=p=bt709:t=bt709:m=bt709,"
                "format=yuv420p OUT"
            )
        self.follow(frame)
        return oriented(_as_bgr(frame), self._orientation)

    def follow(self, frame: Any) -> None:
        """Take note of a frame that is passed over. Raises PictureError as a call does."""
        # Not frame.side_data: that refers to the frame and is kept in it, so neither would be freed in time.
        container: Any = SideDataContainer  # whose types lack its argument
        for data in container(frame):
            # The frame's ``rotation`` alone would mistake a mirror for a half turn.
            if data.type.name == "DISPLAYMATRIX":
                self._orientation = orientation_of(np.frombuffer(bytes(data), np.int32).tolist())

    def pack(self, frame: Any) -> Pack | None:
        """What packs the pixels of the last call: as the decoder gave them, they take half of the memory.

        None where that is not so, or where the picture is not shown as it was decoded.
        """
        known = frame.format.name in _HALF_COLOURS and not (
            frame.width % _MULTIPLE or frame.height % _MULTIPLE
        )
        return partial(_packed, frame) if known and self._orientation == Orientation() else None

    @property
    def swapped(self) -> bool:
        """Whether rows became columns in the last picture."""
        return self._orientation.swapped


def _as_bgr(frame: Any) -> Pixels:
    unstated = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
    matrix = Colorspace.ITU709 if unstated and frame.height >= HD_HEIGHT else None
    converted = _converter.reformatter.reformat(frame, format="bgr24", src_colorspace=matrix)
    pixels = np.asarray(converted.to_ndarray(), np.uint8)
    # The decoder may make the next frame from this buffer
    return pixels.copy() if frame.format.name == "bgr24" else pixels


def _packed(frame: Any) -> Callable[[], Pixels]:
    """What makes the pixels again. A copy, because the decoder keeps its own buffers, which would grow."""
    kept = np.asarray(frame.to_ndarray(), np.uint8)
    return partial(_unpacked, kept, frame.format.name, int(frame.colorspace), int(frame.color_range))


def _unpacked(planes: Pixels, form: str, colorspace: int, color_range: int) -> Pixels:
    frame = av.VideoFrame.from_numpy_buffer(planes, format=form)
    frame.colorspace, frame.color_range = colorspace, color_range
    return _as_bgr(frame)
