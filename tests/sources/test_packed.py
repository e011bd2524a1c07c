"""Frames that wait: kept as the decoder gave them, they show the very same pixels."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from edge.config import CameraConfig
from edge.sources import make_source
from edge.sources.upright import Upright
from tests.clips import write_clip


def decoded(form: str, width: int = 68, height: int = 52, space: int = 2, colour_range: int = 0) -> Any:
    """A frame of noise as a decoder gives it, with the numbers of FFmpeg's colour space and range."""
    frame: Any = av.VideoFrame(width, height, form)
    random = np.random.default_rng(3)
    for plane in frame.planes:
        plane.update(random.integers(0, 256, plane.buffer_size, np.uint8).tobytes())
    frame.colorspace, frame.color_range = space, colour_range
    return frame


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("space", [1, 2, 5], ids=["BT.709", "unknown", "BT.601"])
@pytest.mark.parametrize("colour_range", [0, 1, 2], ids=["unknown", "limited", "full"])
@pytest.mark.parametrize("size", [(68, 52), (64, 48)], ids=str)
def test_pixels_are_the_same_again(form: str, space: int, colour_range: int, size: tuple[int, int]) -> None:
    frame = decoded(form, *size, space, colour_range)
    upright = Upright(SimpleNamespace(color_trc=2))
    pixels, pack = upright(frame), upright.pack(frame)
    assert pack is not None
    again = pack()
    np.testing.assert_array_equal(again(), pixels)
    np.testing.assert_array_equal(again(), pixels)
    (kept,) = (each for each in again.args if isinstance(each, np.ndarray))  # type: ignore[attr-defined]
    assert kept.nbytes * 2 == pixels.nbytes


@pytest.mark.parametrize(
    ("form", "size"),
    [
        ("bgr24", (68, 52)),
        ("yuv422p", (68, 52)),
        ("gray", (68, 52)),
        ("yuv420p", (65, 52)),
        ("yuv420p", (66, 52)),
        ("yuv420p", (68, 50)),
    ],
    ids=str,
)
def test_what_would_be_no_smaller_or_not_the_same_is_not_packed(form: str, size: tuple[int, int]) -> None:
    frame, upright = decoded(form, *size), Upright(SimpleNamespace(color_trc=2))
    upright(frame)
    assert upright.pack(frame) is None


@pytest.mark.parametrize(
    ("settings", "packed"), [({}, True), ({"rotate_degrees": 90}, False), ({"crop": (0, 0, 0.5, 0.5)}, False)]
)
def test_frames_of_a_video_can_be_packed(tmp_path: Path, settings: dict[str, Any], packed: bool) -> None:
    """What is cut off must not stay in memory, so pictures that are cropped are not packed."""
    clip = write_clip(tmp_path / "clip.mp4", frames=3, width=200, height=120)
    config = CameraConfig(source=str(clip), pace=False, **settings)
    frames = list(make_source("test", config, threading.Event()))
    assert len(frames) == 3
    before = [frame.pixels.copy() for frame in frames]
    for frame, pixels in zip(frames, before, strict=True):
        frame.pack()
        assert frame.packed == packed
        assert (frame.height, frame.width) == pixels.shape[:2]
        np.testing.assert_array_equal(frame.pixels, pixels)
        frame.pack()
        np.testing.assert_array_equal(frame.pixels, pixels)
