"""How the pictures of a video file are to be shown: turned by quarters, mirrored, or both.

A display matrix ``(a, b, u, c, d, v, x, y, w)`` moves the point ``(p, q)`` of a stored picture (columns to
the right, rows down) to ``(a p + c q + x, b p + d q + y)``; see ISO/IEC 14496-12, 8.3.2, and FFmpeg's
``libavutil/display.h``. ``a`` to ``d``, ``x`` and ``y`` have 16 fractional bits, ``u``, ``v`` and ``w`` have
30. Players take the directions from ``a`` to ``d`` and ignore ``x``, ``y`` and ``w``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge.errors import PictureError
from edge.frames import Pixels

TOLERANCE = 1 / 128
"""Largest error of ``a`` to ``d``: less than half a degree; FFmpeg's player tolerates a whole one."""


class Orientation(NamedTuple):
    """How to turn a stored picture upright: first swap rows and columns, then flip."""

    swapped: bool = False
    left_right: bool = False
    up_down: bool = False

    @property
    def degrees(self) -> int:
        """The clockwise rotation, 0 to 270, as programs report it that ignore mirrors."""
        if self.swapped:
            return 270 if self.up_down else 90
        return 180 if self.left_right else 0


def orientation_of(matrix: Sequence[int]) -> Orientation:
    """Read the nine integers of a display matrix; all zeros means that the file does not say.

    Raises PictureError for anything but a mirror, a rotation by quarter turns, or both.

    >>> orientation_of([-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30])
    Orientation(swapped=False, left_right=True, up_down=False)
    """
    parts = a, b, c, d = [int(matrix[place]) / 65536 for place in (0, 1, 3, 4)]
    if not any(parts):
        return Orientation()
    if matrix[2] == matrix[5] == 0:
        if _close(parts, (1, 0, 0, 1)):
            return Orientation(False, a < 0, d < 0)
        if _close(parts, (0, 1, 1, 0)):
            return Orientation(True, c < 0, b < 0)
        what = _named(a, b, c, d)
    else:
        what = "gives the picture a perspective"
    raise PictureError(
        f"the display matrix {what}; only mirrors and rotations by 90, 180 and 270 degrees are supported. "
        "Encode the video again as it is to be shown (ffmpeg -i IN OUT)"
    )


def _close(parts: Sequence[float], wanted: Sequence[int]) -> bool:
    """Whether the parts are the wanted ones, regardless of sign."""
    return all(abs(abs(part) - size) <= TOLERANCE for part, size in zip(parts, wanted, strict=True))


def _named(a: float, b: float, c: float, d: float) -> str:
    across, down = math.hypot(a, b), math.hypot(c, d)
    if abs(a * d - b * c) <= TOLERANCE * across * down:
        return "flattens the picture to a line"
    if abs(a * c + b * d) > 2 * TOLERANCE * across * down:
        return "shears the picture"
    if abs(across - 1) > TOLERANCE or abs(down - 1) > TOLERANCE:
        return f"scales the picture by {across:.2f} x {down:.2f}"
    return f"turns the picture by {math.degrees(math.atan2(b, a)) % 360:.0f} degrees"


def oriented(pixels: Pixels, orientation: Orientation) -> Pixels:
    """The upright picture, uint8 ``[H, W, 3]``, contiguous; ``pixels`` itself if that is upright already."""
    if orientation.swapped:
        pixels = pixels.swapaxes(0, 1)
    if orientation.left_right:
        pixels = pixels[:, ::-1]
    if orientation.up_down:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
