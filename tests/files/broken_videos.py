"""Videos that are broken, or no videos, each with the reason for which it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from tests.files.videos import RATE, half, make, no_video, sound_track


def truncated(folder: Path) -> Path:
    """The header comes first and is whole; half of the frames are gone."""
    return half(make(folder / "bad.mp4", options={"movflags": "faststart"}))


def truncated_mkv(folder: Path) -> Path:
    return half(make(folder / "bad.mkv"))


def headless(folder: Path) -> Path:
    """The header comes last, and is cut off."""
    return half(make(folder / "bad.mp4", times=range(4)))


def empty(folder: Path) -> Path:
    path = folder / "bad.mp4"
    path.touch()
    return path


def damaged(folder: Path) -> Path:
    """Bytes in the middle are not what they were."""
    path = make(folder / "bad.mp4", options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + len(data) // 4
    for place in np.random.default_rng(1).integers(begin, len(data), 400).tolist():
        data[place] ^= 0xFF
    path.write_bytes(data)
    return path


def sound_alone(folder: Path) -> Path:
    path = folder / "bad.mp4"
    with av.open(str(path), "w") as container:
        for packet in sound_track(container, 5):
            container.mux(packet)
    return path


def tiny(folder: Path) -> Path:
    path = folder / "bad.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


BAD: dict[Callable[[Path], Path], str] = {
    truncated: "truncated",
    truncated_mkv: "truncated",
    headless: "broken or not a video",
    no_video: "broken or not a video",
    empty: "broken or not a video",
    damaged: "damaged|broken|Invalid data",
    sound_alone: "no picture track",
    tiny: "8x8 is smaller than 16x16",
}
