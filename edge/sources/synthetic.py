"""A camera without hardware: it pans, zooms and rotates over a wall of portraits that is drawn in memory."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from edge.config import CameraConfig
from edge.frames import Pixels, RawFrame
from edge.pictures import read_picture
from edge.sources.base import Source

WIDTH, HEIGHT, RATE_FPS = 1280, 720, 25.0
_WALL_WIDTH, _WALL_HEIGHT = 2400, 1400
# Portrait, left edge, top edge, height on the wall (pixels), mirrored
_PORTRAITS = (
    ("astronaut.jpg", 180, 260, 520, False),
    ("hopper.jpg", 800, 200, 620, False),
    ("astronaut.jpg", 1420, 300, 300, True),
    ("hopper.jpg", 1780, 220, 360, True),
    ("astronaut.jpg", 1440, 720, 420, False),
    ("hopper.jpg", 1960, 700, 240, False),
    ("astronaut.jpg", 560, 900, 260, True),
    ("hopper.jpg", 250, 880, 300, False),
    ("hopper.jpg", 950, 920, 200, True),
    ("astronaut.jpg", 2000, 1020, 200, False),
)


class SyntheticSource(Source):
    """1280x720 at 25 frames per second for ``seconds``, then it ends."""

    live = True

    def __init__(self, camera: str, seconds: float, stop: threading.Event) -> None:
        super().__init__(camera, CameraConfig(source="synthetic"), stop)
        self._seconds = seconds
        self._wall = draw_wall()

    @property
    def reopens(self) -> bool:
        return False

    def __iter__(self) -> Iterator[RawFrame]:
        begin = time.monotonic()
        for index in range(round(self._seconds * RATE_FPS)):
            moment = index / RATE_FPS
            if self._stop.wait(max(0.0, begin + moment - time.monotonic())):
                return
            frame = self._frame(view(self._wall, moment), time.monotonic())
            if frame is not None:
                yield frame


def draw_wall() -> Pixels:
    """The scene: a plastered wall with framed public-domain portraits, uint8 BGR."""
    random = np.random.default_rng(7)
    grain = random.normal(0, 6, (_WALL_HEIGHT // 2, _WALL_WIDTH // 2, 1)).astype(np.float32)
    large = cv2.resize(grain, (_WALL_WIDTH, _WALL_HEIGHT))[..., None]
    light = np.linspace(30, -30, _WALL_HEIGHT, dtype=np.float32)[:, None, None]
    colour = np.array([150, 165, 172], np.float32)
    wall: Pixels = np.clip(colour + light + large, 0, 255).astype(np.uint8)
    folder = Path(str(resources.files("edge") / "data"))
    pictures = {name: read_picture(folder / name).pixels for name, *_ in _PORTRAITS}
    for name, left, top, height, mirrored in _PORTRAITS:
        picture = pictures[name]
        width = round(picture.shape[1] * height / picture.shape[0])
        scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        border = max(4, height // 40)
        cv2.rectangle(
            wall,
            (left - border, top - border),
            (left + width + border, top + height + border),
            (40, 50, 60),
            -1,
        )
        wall[top : top + height, left : left + width] = scaled[:, ::-1] if mirrored else scaled
    return wall


def view(wall: Pixels, seconds: float) -> Pixels:
    """What the camera sees after ``seconds``: uint8 ``[720, 1280, 3]`` BGR."""
    x = _WALL_WIDTH * (0.5 + 0.24 * math.sin(0.55 * seconds))
    y = _WALL_HEIGHT * (0.5 + 0.16 * math.sin(0.83 * seconds + 1))
    zoom = 1.0 + 0.25 * math.sin(0.41 * seconds)
    matrix = cv2.getRotationMatrix2D((x, y), 4 * math.sin(0.67 * seconds), zoom)
    matrix[:, 2] += np.array([WIDTH / 2 - x, HEIGHT / 2 - y])
    seen = cv2.warpAffine(
        wall, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(seen, np.uint8)
