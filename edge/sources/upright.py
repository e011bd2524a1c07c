"""Decoded frames of FFmpeg as pictures: BGR, turned and mirrored as a player shows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import av
import numpy as np

from edge.frames import Pack, Pixels
from edge.sources.orientation import Orientation, orientation_of, oriented

_HALF_COLOURS = ("yuv420p", "yuvj420p")
"""Formats of decoded frames that take half of the memory of BGR, with one of each colour for four pixels."""
_MULTIPLE = 4
"""PyAV makes a picture of other sides from such a frame's bytes where these are no multiples of it."""


def upright(frame: Any) -> Pixels:
    """The pixels of an ``av.VideoFrame`` as they are to be shown: uint8 ``[H, W, 3]`` BGR.

    Raises PictureError when its display matrix does more than turn by quarters and mirror.
    """
    pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    if frame.format.name == "bgr24":  # the decoder may make the next frame from this buffer
        pixels = pixels.copy()
    return oriented(pixels, _orientation(frame))


def pack_of(frame: Any) -> Pack | None:
    """What packs the pixels of ``upright``: as the decoder gave them, they take half of the memory.

    None where that is not so, or where the picture is not shown as it was decoded.
    """
    known = frame.format.name in _HALF_COLOURS and not (frame.width % _MULTIPLE or frame.height % _MULTIPLE)
    if not known or _orientation(frame) != Orientation():
        return None
    return partial(_packed, frame)


def _packed(frame: Any) -> Callable[[], Pixels]:
    """What makes the pixels again. A copy, because the decoder keeps its own buffers, which would grow."""
    kept = np.asarray(frame.to_ndarray(), np.uint8)
    return partial(_unpacked, kept, frame.format.name, int(frame.colorspace), int(frame.color_range))


def _unpacked(planes: Pixels, form: str, colorspace: int, color_range: int) -> Pixels:
    frame = av.VideoFrame.from_numpy_buffer(planes, format=form)
    frame.colorspace, frame.color_range = colorspace, color_range
    return upright(frame)


def _orientation(frame: Any) -> Orientation:
    """How a decoded frame is to be shown. Its ``rotation`` alone would mistake a mirror for a half turn."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return orientation_of(np.frombuffer(data, np.int32).tolist())
    return Orientation()
