"""Decoded frames of FFmpeg as pictures: BGR, turned and mirrored as a player shows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.frames import Pixels
from edge.sources.orientation import Orientation, orientation_of, oriented


def upright(frame: Any) -> Pixels:
    """The pixels of an ``av.VideoFrame`` as they are to be shown: uint8 ``[H, W, 3]`` BGR.

    Raises PictureError when its display matrix does more than turn by quarters and mirror.
    """
    pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    if frame.format.name == "bgr24":  # the decoder may make the next frame from this buffer
        pixels = pixels.copy()
    return oriented(pixels, _orientation(frame))


def _orientation(frame: Any) -> Orientation:
    """How a decoded frame is to be shown. Its ``rotation`` alone would mistake a mirror for a half turn."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return orientation_of(np.frombuffer(data, np.int32).tolist())
    return Orientation()
