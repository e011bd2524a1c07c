"""Visibility: can a face be seen in this frame, or is it too dark, noisy or blurred, or the lens covered?

The detector finds nothing in such a frame, and "nothing found" must not be taken for "nobody there". The
frame is shrunk to about 320 pixels and cut into tiles. Each measure is the mean of the best tiles without the
very best ones, so that no single spot decides: a door is enough in a plain wall, but a few street lamps do
not make a night bright. The first and the last row of tiles are left out if there are enough: cameras write
their clock there.

Sharpness compares edges before and after more blur, as in Zhuo and Sim 2011, "Defocus map estimation from a
single image", section 3: the ratio depends on the width of an edge but not on its contrast. Noise is the
mixed second difference, which is zero for edges along rows and columns (the idea of Immerkaer 1996, "Fast
noise variance estimation"). Limits and the choice of thresholds: docs/visibility.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.boxes import Floats
from edge.frames import Pixels
from edge.reasons import Reason

LONG_SIDE = 320
"""Longer side to which the frame is shrunk, in pixels."""
MIN_SHORT_SIDE = 16
"""Smallest shorter side of the shrunken frame, in pixels."""
TILE = 20
"""Side of a tile of the shrunken frame, in pixels."""
ENOUGH_ROWS = 6
"""With this many rows of tiles or more, the first and the last are left out."""
DAY_BAND, NIGHT_BAND = (0.03, 0.1), (0.1, 0.3)
"""Each measure is the mean of the tiles that rank between these shares, from the best down. In the dark the
band lies lower, because lamps make some tiles good."""
QUIET_SHARE = 0.25
"""The noise is measured in the quietest tiles: it is the value that this share of all tiles stays below."""

MIN_STRUCTURE = 8.0
"""Lowest ratio of an edge to the noise; ordinary frames have 15 to 240. Below it the detector loses about
half of the faces, and soon all."""
NOISE_FLOOR = 0.6
"""Noise is never taken as less than this many levels, because of rounding to 8 bits and smoothing
encoders."""
MIN_SHARPNESS = 1.7
"""Lowest ratio of an edge to the same edge blurred. 1 is a total blur; ordinary frames have 2 to 4."""
BLOWN_LEVEL, MAX_BLOWN_SHARE = 250, 0.8
"""Grey level from which a pixel is blown out, and the largest share of such pixels."""
DARK_LEVEL = 24.0
"""A frame is dark if its light is below this grey level."""
GRAINY_LEVELS = 4.0
"""A frame without structure also counts as dark above this noise, because a camera turns up its gain in the
dark; otherwise its lens is covered."""


@dataclass(frozen=True)
class Visibility:
    """The measures of one frame.

    ``light`` is the grey level (0..255) of the best tiles, ``noise`` the standard deviation of the noise in
    the shrunken grey picture in levels, ``structure`` the strongest edge of a tile over the noise,
    ``sharpness`` such an edge over the same edge blurred, ``blown_share`` the share of blown-out pixels,
    0..1.
    """

    light: float
    noise: float
    structure: float
    sharpness: float
    blown_share: float

    @property
    def problem(self) -> Reason | None:
        """Why no face could be seen here; None if one could."""
        if self.blown_share > MAX_BLOWN_SHARE:
            return Reason.TOO_BRIGHT
        if self.structure < MIN_STRUCTURE:
            dark = self.light < DARK_LEVEL or self.noise > GRAINY_LEVELS
            return Reason.TOO_DARK if dark else Reason.OBSTRUCTED
        if self.sharpness < MIN_SHARPNESS:
            return Reason.TOO_BLURRED
        return None


def problem(pixels: Pixels) -> Reason | None:
    """Why no face could be seen in uint8 ``[H, W, 3]`` BGR; None if one could.

    Sides must be 16 pixels or more; the same pixels always give the same answer.
    """
    return measure(pixels).problem


def measure(pixels: Pixels) -> Visibility:
    """Measure uint8 ``[H, W, 3]`` BGR with sides of 16 pixels or more."""
    small = shrink(pixels)
    grey = small.astype(np.float32)
    light = _best(_tiles(grey).mean(axis=1).mean(axis=2), NIGHT_BAND)
    band = NIGHT_BAND if light < DARK_LEVEL else DAY_BAND
    noise = _noise(grey)
    fine = np.asarray(cv2.blur(grey, (3, 3)), np.float32)
    # Twice a mean over 7x7: nearly a Gaussian of sigma 2.8 pixels.
    wide = np.asarray(cv2.blur(cv2.blur(grey, (7, 7)), (7, 7)), np.float32)
    steps, ratios = [], []
    # Motion blurs edges across it but not those along it, so the two directions are measured separately.
    for axis in (0, 1):
        step, blurred = _best(_steps(fine, axis), band), _best(_steps(wide, axis), band)
        steps.append(step)
        ratios.append(step / max(blurred, 0.25))
    return Visibility(
        light=light,
        noise=noise,
        structure=max(steps) / max(noise, NOISE_FLOOR),
        sharpness=min(ratios),
        blown_share=float(np.count_nonzero(small >= BLOWN_LEVEL)) / small.size,
    )


def shrink(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Shrink uint8 ``[H, W, 3]`` BGR to uint8 grey ``[h, w]`` with a longer side of 320 pixels at most."""
    height, width = pixels.shape[:2]
    scale = min(1.0, max(LONG_SIDE / max(height, width), MIN_SHORT_SIDE / min(height, width)))
    # Two rows for each row of the result are enough, and save most of the time.
    grey = cv2.cvtColor(pixels[:: max(1, int(0.5 / scale))], cv2.COLOR_BGR2GRAY)
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _steps(grey: Floats, axis: int) -> Floats:
    """Largest difference between pixels two apart along an axis, for each tile, ``[rows, columns]``."""
    first, second = (grey[2:, 1:-1], grey[:-2, 1:-1]) if axis == 0 else (grey[1:-1, 2:], grey[1:-1, :-2])
    # One axis after the other: NumPy is several times faster than with both at once.
    return np.asarray(_tiles(cv2.absdiff(first, second)).max(axis=1).max(axis=2), np.float32)


def _noise(grey: Floats) -> float:
    """Standard deviation of the noise in levels, from the quietest tiles."""
    across = grey[:, 1:] - grey[:, :-1]
    mixed = cv2.absdiff(across[1:], across[:-1])
    means = np.sort(_tiles(mixed).mean(axis=1).mean(axis=2), axis=None)
    quiet = float(means[int(QUIET_SHARE * len(means))])
    # Four pixels add up to twice the deviation; the mean of |x| of a Gaussian is sqrt(2 / pi) times its own.
    return quiet / 2 / float(np.sqrt(2 / np.pi))


def _tiles(plane: npt.NDArray[Any]) -> Floats:
    """``[h, w]`` as ``[rows, side, columns, side]``; incomplete tiles at the right and bottom are left
    out."""
    height, width = plane.shape
    side = min(TILE, height, width)
    rows, columns = height // side, width // side
    return plane[: rows * side, : columns * side].reshape(rows, side, columns, side)


def _best(values: Floats, band: tuple[float, float]) -> float:
    """Mean of the values of tiles, ``[rows, columns]``, that rank within a band; at least one counts."""
    inner = values[1:-1] if len(values) >= ENOUGH_ROWS else values
    ordered = np.sort(inner, axis=None)[::-1]
    first = int(band[0] * len(ordered))
    return float(ordered[first : max(math.ceil(band[1] * len(ordered)), first + 1)].mean())
