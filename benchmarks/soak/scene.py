"""The view of the soak's cameras: a face at a known place, and a strip that tells when it was drawn.

The strip lies along the upper edge: 40 cells of 32x24 px, and below it the same cells inverted. It holds
a white and a black cell, the camera's number (4 bits), milliseconds since the start (26 bits, 18 hours)
and 8 bits of a checksum. It survives JPEG and H.264. A cell whose two rows are alike was covered; a strip
that can be seen but not decoded was damaged.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge.detection.detector import Detector
from edge.frames import Pixels
from edge.pictures import read_picture

WIDTH, HEIGHT = 1280, 720
LONGEST_MS = 1 << 26
_CELL_WIDTH, _CELL_HEIGHT, _CELLS = 32, 24, 40
_CLEAR = 60
"""Least difference of the two rows of a cell, in grey levels."""
_PORTRAITS = ("astronaut.jpg", "hopper.jpg")
_PORTRAIT_SIDE = 320
FACE_LEFT = 0.45
"""From this correlation of details on, the portrait's face counts as still there (0.8 or more before
blurring, 0.3 or less after; tests/benchmarks/test_soak.py)."""
_SEARCH = 6
"""How far around its place the face is searched for, in pixels."""


@dataclass(frozen=True)
class Stamp:
    """The content of a strip."""

    camera: int
    ms: int


def write_strip(pixels: Pixels, stamp: Stamp) -> None:
    """Draw a strip over the upper edge of uint8 ``[720, 1280, 3]``."""
    body = f"{stamp.camera:04b}{stamp.ms:026b}"
    cells = np.array([int(bit) for bit in "10" + body + f"{_checksum(body):08b}"], np.uint8) * 200 + 28
    rows = np.stack([cells, 255 - cells])
    strip = np.repeat(np.repeat(rows, _CELL_HEIGHT, axis=0), _CELL_WIDTH, axis=1)
    pixels[: strip.shape[0]] = strip[..., None]


Unread = Literal["covered", "damaged"]


def read_strip(pixels: Pixels) -> Stamp | Unread:
    """The strip of uint8 ``[720, 1280, 3]`` BGR, or why it cannot be read."""
    if pixels.shape != (HEIGHT, WIDTH, 3):
        return "damaged"
    grey = cv2.cvtColor(pixels[: 2 * _CELL_HEIGHT], cv2.COLOR_BGR2GRAY)
    cells = grey.reshape(2, _CELL_HEIGHT, _CELLS, _CELL_WIDTH)[:, 6:-6, :, 8:-8].mean(axis=(1, 3))
    difference = cells[0] - cells[1]
    if (np.abs(difference) < _CLEAR).any():
        return "covered"
    text = "".join("1" if value > 0 else "0" for value in difference)
    body = text[2:32]
    if text[:2] != "10" or int(text[32:], 2) != _checksum(body):
        return "damaged"
    return Stamp(int(body[:4], 2), int(body[4:], 2))


def _checksum(body: str) -> int:
    return zlib.crc32(body.encode()) & 0xFF


class Scene:
    """The view of one camera. ``draw`` is a function of the time alone, so a reader of a stored image
    knows where the face was."""

    def __init__(self, camera: int, detector: Detector) -> None:
        """``camera`` is 0 to 15. Raises ValueError when the detector finds no face on the portrait."""
        self.camera = camera
        name = _PORTRAITS[camera % len(_PORTRAITS)]
        picture = read_picture(Path(str(resources.files("edge") / "data" / name))).pixels
        side = min(picture.shape[:2])
        self._portrait = np.asarray(
            cv2.resize(picture[:side, :side], (_PORTRAIT_SIDE, _PORTRAIT_SIDE), interpolation=cv2.INTER_AREA),
            np.uint8,
        )
        found = detector.detect(self._portrait).at_least(0.5).boxes
        if not len(found):
            raise ValueError(f"{name}: the detector finds no face on it")
        self._face: tuple[int, int, int, int] = tuple(round(float(value)) for value in found[0])  # type: ignore[assignment]
        x1, y1, x2, y2 = self._face
        self._details = _details(self._portrait[y1:y2, x1:x2])
        self._base = _background(camera)

    def draw(self, ms: int) -> Pixels:
        """The view ``ms`` after the start, uint8 ``[720, 1280, 3]`` BGR."""
        pixels: Pixels = self._base.copy()
        x, y = self._place(ms)
        pixels[y : y + _PORTRAIT_SIDE, x : x + _PORTRAIT_SIDE] = self._portrait
        write_strip(pixels, Stamp(self.camera, ms))
        return pixels

    def _place(self, ms: int) -> tuple[int, int]:
        x = 480 + 150 * math.sin(ms / 2500 + self.camera)
        y = 360 + 20 * math.sin(ms / 1500)
        return round(x), round(y)

    def face_left(self, pixels: Pixels, ms: int | None) -> float:
        """How much of the face is still there, -1 to 1: normalised correlation of details (Laplacian).

        With ``ms`` it is searched for where it was drawn, without it all over the picture.
        """
        if ms is None:
            where = pixels
        else:
            x, y = self._place(ms)
            x1, y1, x2, y2 = self._face
            where = pixels[
                max(0, y + y1 - _SEARCH) : y + y2 + _SEARCH, max(0, x + x1 - _SEARCH) : x + x2 + _SEARCH
            ]
        seen = _details(where)
        # A covered place has no details at all; what rounding leaves must not be blown up.
        if float(seen.std()) < 0.05 * float(self._details.std()):
            return 0.0
        match = cv2.matchTemplate(seen, self._details, cv2.TM_CCOEFF_NORMED)
        return float(np.nan_to_num(match, nan=0.0, posinf=0.0, neginf=0.0).max())


def _details(pixels: Pixels) -> cv2.typing.MatLike:
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1.5), cv2.CV_32F)


def _background(camera: int) -> Pixels:
    """A wall with boards on it, of another colour for each camera."""
    random = np.random.default_rng(camera)
    colour = np.array([110 + 20 * (camera % 4), 150, 180 - 20 * (camera % 4)], np.float32)
    light = np.linspace(25, -25, WIDTH, dtype=np.float32)[None, :, None]
    grain = random.normal(0, 6, (HEIGHT, WIDTH, 1)).astype(np.float32)
    wall: Pixels = np.clip(colour + light + grain, 0, 255).astype(np.uint8)
    for left in range(20, WIDTH, 140):
        cv2.rectangle(wall, (left, 80), (left + 90, 140), random.integers(30, 220, 3).tolist(), -1)
    return wall
