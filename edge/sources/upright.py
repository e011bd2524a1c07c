"""Decoded frames of FFmpeg as pictures: BGR, turned and mirrored as a player shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.reformatter import Colorspace

from edge.errors import PictureError
from edge.frames import Pixels
from edge.sources.orientation import Orientation, orientation_of, oriented

HD_HEIGHT = 720
"""Players take colours whose matrix is not stated for those of ITU-R BT.709 in a picture of this many lines
or more, and for those of BT.601 in a smaller one."""
_UNSPECIFIED = 2  # ITU-T H.273, for matrices
_HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}  # ITU-T H.273, transfer characteristics


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
        unstated = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
        matrix = Colorspace.ITU709 if unstated and frame.height >= HD_HEIGHT else None
        pixels = np.asarray(frame.to_ndarray(format="bgr24", src_colorspace=matrix), np.uint8)
        if frame.format.name == "bgr24":  # the decoder may make the next frame from this buffer
            pixels = pixels.copy()
        self.follow(frame)
        return oriented(pixels, self._orientation)

    def follow(self, frame: Any) -> None:
        """Take note of a frame that is passed over. Raises PictureError as a call does."""
        for data in frame.side_data:
            # The frame's ``rotation`` alone would mistake a mirror for a half turn.
            if data.type.name == "DISPLAYMATRIX":
                self._orientation = orientation_of(np.frombuffer(data, np.int32).tolist())

    @property
    def swapped(self) -> bool:
        """Whether rows became columns in the last picture."""
        return self._orientation.swapped
