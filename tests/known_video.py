"""Videos of which each frame carries its number, so that a smear is found beside the clean frame."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from edge.frames import Pixels
from edge.sources.upright import Upright

WIDTH, HEIGHT = 320, 240
_BITS, _BIT = 14, 16
ENCODERS = {"h264": "libx264", "h265": "libx265"}


@functools.cache
def _wall() -> Pixels:
    noise = np.random.default_rng(1).integers(0, 256, (90, 160, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (1280, 720), interpolation=cv2.INTER_CUBIC), np.uint8)


def picture(number: int) -> Pixels:
    """A view that pans over coloured noise; the number is drawn on top, in black and white."""
    wall = _wall()
    x, y = int(300 + 280 * np.sin(number / 17)), int(200 + 180 * np.sin(number / 23))
    return with_number(np.array(wall[y : y + HEIGHT, x : x + WIDTH], np.uint8), number)


def with_number(pixels: Pixels, number: int) -> Pixels:
    """Draw a number at the top left of uint8 ``[H, W, 3]``, in place, for ``number_of``."""
    for bit in range(_BITS):
        pixels[:_BIT, bit * _BIT : (bit + 1) * _BIT] = 255 * (number >> bit & 1)
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number that is drawn into a picture, uint8 ``[H, W, 3]``."""
    middles = (pixels[_BIT // 4 : _BIT * 3 // 4, b * _BIT + 4 : b * _BIT + 12] for b in range(_BITS))
    return sum(int(middle.mean() > 127) << bit for bit, middle in enumerate(middles))


def write_known(
    path: Path,
    codec: str,
    *,
    frames: int,
    rate: int,
    slices: int = 1,
    between: int = 0,
    key: int = 30,
    more: str = "scenecut=0",
    container: dict[str, str] | None = None,
    draw: Callable[[int], Pixels] = picture,
    quality: tuple[int, int] = (26, 30),
) -> Path:
    """Encode ``frames`` pictures: ``between`` B-frames in a row, a key frame after every ``key`` frames.
    ``more`` are options of the encoder, ``quality`` its rate factors for H.264 and H.265; ``draw`` gives the
    picture of a number, uint8 ``[H, W, 3]`` BGR."""
    common = f"{more}:slices={slices}:bframes={between}:keyint={key}:min-keyint={key}:b-adapt=0"
    options = {
        "h264": {"preset": "veryfast", "crf": str(quality[0]), "x264-params": f"{common}:threads=1"},
        "h265": {
            "preset": "ultrafast",
            "crf": str(quality[1]),
            "x265-params": f"{common}:log-level=none:pools=1:frame-threads=1",
        },
    }[codec]
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(ENCODERS[codec], rate=rate, options=options)
        stream.height, stream.width = draw(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            frame: Any = av.VideoFrame.from_ndarray(draw(number), format="bgr24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


class Judge:
    """Knows the clean frames of a video. ``smeared`` lists the numbers of frames that differ from them in any
    pixel, ``intact`` those that do not."""

    def __init__(self, path: Path) -> None:
        self.smeared: list[int] = []
        self.intact: list[int] = []
        with av.open(str(path)) as container:
            upright = Upright(container.streams.video[0].codec_context)
            clean = [upright(frame) for frame in container.decode(video=0)]
        self._clean = {number_of(pixels): _digest(pixels) for pixels in clean}
        assert len(self._clean) == len(clean)

    def see(self, pixels: Pixels) -> None:
        """Judge one frame, uint8 ``[H, W, 3]``."""
        number = number_of(pixels)
        (self.intact if self._clean.get(number) == _digest(pixels) else self.smeared).append(number)


def _digest(pixels: Pixels) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest()
