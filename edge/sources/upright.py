"""Decoded frames of FFmpeg as pictures: BGR, turned and mirrored as a player shows them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from edge.frames import Pixels
from edge.sources.orientation import Orientation, orientation_of, oriented


class _Converter(threading.local):
    """One per thread: a frame that converts itself makes threads of its own for that."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_converter = _Converter()


def upright(frame: Any) -> Pixels:
    """The pixels of an ``av.VideoFrame`` as they are to be shown: uint8 ``[H, W, 3]`` BGR.

    Raises PictureError when its display matrix does more than turn by quarters and mirror.
    """
    converted = _converter.reformatter.reformat(frame, format="bgr24")
    pixels = np.asarray(converted.to_ndarray(), np.uint8)
    if frame.format.name == "bgr24":  # the decoder may make the next frame from this buffer
        pixels = pixels.copy()
    return oriented(pixels, _orientation(frame))


def _orientation(frame: Any) -> Orientation:
    """How a decoded frame is to be shown. Its ``rotation`` alone would mistake a mirror for a half turn."""
    # Not frame.side_data: that refers to the frame and is kept in it, so neither would be freed in time.
    container: Any = SideDataContainer  # whose types lack its argument
    for data in container(frame):
        if data.type.name == "DISPLAYMATRIX":
            return orientation_of(np.frombuffer(bytes(data), np.int32).tolist())
    return Orientation()
