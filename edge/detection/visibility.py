"""Can anybody tell whether a face is in this frame? Too dark, too noisy, too blurred, lens covered.

The detector finds nothing in such a frame, and "nothing found" must not be taken for "nobody there".
The frame is shrunk to about 320 pixels and cut into tiles. A measure is the mean of the best tiles
after the very best ones, so that no single spot speaks for the whole: a plain wall needs only a door,
but a few street lamps do not light a night. The rows at the top and the bottom are left out where there
are enough: cameras write their clock there.

Sharpness compares edges before and after more blur, as in Zhuo and Sim 2011, "Defocus map estimation
from a single image", section 3: the ratio tells the width of an edge whatever its contrast. Noise is
the mixed second difference, which edges along rows and columns do not have (the idea of Immerkaer
1996, "Fast noise variance estimation"). Limits and the choice of thresholds: docs/visibility.md.
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
"""The frame is looked at with its longer side shrunk to this, in pixels."""
MIN_SHORT_SIDE = 16
"""... but its shorter side not below this."""
TILE = 20
"""Side of a tile of the shrunken frame, in pixels."""
ENOUGH_ROWS = 6
"""From so many rows of tiles on, the first and the last are left out."""
DAY_BAND, NIGHT_BAND = (0.03, 0.1), (0.1, 0.3)
"""A measure is the mean of the tiles that rank between these shares, from the best down. In the dark
more tiles must show something, because lamps do."""
QUIET_SHARE = 0.25
"""The noise is that of the quietest tiles: what this share of them stay below."""

MIN_STRUCTURE = 8.0
"""Lowest edge over noise; ordinary frames have 15 to 240. Below it the detector loses about half of the
faces that it had found, and soon all."""
NOISE_FLOOR = 0.6
"""Noise is taken for at least this many levels: rounding to 8 bits, and what encoders smooth away."""
MIN_SHARPNESS = 1.7
"""Lowest ratio of an edge to the same edge blurred. 1 is utter blur; ordinary frames have 2 to 4."""
BLOWN_LEVEL, MAX_BLOWN_SHARE = 250, 0.8
"""Grey from which a pixel is blown out, and the largest share of such pixels."""
DARK_LEVEL = 24.0
"""It is dark where the light is below this."""
GRAINY_LEVELS = 4.0
"""A frame without structure is called dark also above this noise, because a camera in the dark turns up
its gain; otherwise its lens is covered."""


@dataclass(frozen=True)
class Visibility:
    """What was measured on one frame.

    ``light`` is the grey (0..255) of the best tiles, ``noise`` the standard deviation of the noise of
    the shrunken grey in levels, ``structure`` the strongest edge of a tile over the noise, ``sharpness``
    such an edge over the same edge blurred, ``blown_share`` the share of blown-out pixels.
    """

    light: float
    noise: float
    structure: float
    sharpness: float
    blown_share: float

    @property
    def problem(self) -> Reason | None:
        """Why nobody could tell whether a face is there; None: one could."""
        if self.blown_share > MAX_BLOWN_SHARE:
            return Reason.TOO_BRIGHT
        if self.structure < MIN_STRUCTURE:
            dark = self.light < DARK_LEVEL or self.noise > GRAINY_LEVELS
            return Reason.TOO_DARK if dark else Reason.OBSTRUCTED
        if self.sharpness < MIN_SHARPNESS:
            return Reason.TOO_BLURRED
        return None


def problem(pixels: Pixels) -> Reason | None:
    """Why nobody could tell whether a face is in uint8 ``[H, W, 3]`` BGR; None: one could.

    Takes frames of 16x16 pixels and more; the same pixels always give the same answer.
    """
    return measure(pixels).problem


def measure(pixels: Pixels) -> Visibility:
    """Measure uint8 ``[H, W, 3]`` BGR, sides of 16 or more."""
    small = shrink(pixels)
    grey = small.astype(np.float32)
    light = _best(_tiles(grey).mean(axis=1).mean(axis=2), NIGHT_BAND)
    band = NIGHT_BAND if light < DARK_LEVEL else DAY_BAND
    noise = _noise(grey)
    fine = np.asarray(cv2.blur(grey, (3, 3)), np.float32)
    # Twice a mean over 7x7: nearly a Gaussian of sigma 2.8 pixels.
    wide = np.asarray(cv2.blur(cv2.blur(grey, (7, 7)), (7, 7)), np.float32)
    steps, ratios = [], []
    # Motion blurs the edges across it and spares those along it: the two directions apart.
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
    """uint8 ``[H, W, 3]`` BGR becomes uint8 grey ``[h, w]``: longer side 320 or, if it is less, as it is."""
    height, width = pixels.shape[:2]
    scale = min(1.0, max(LONG_SIDE / max(height, width), MIN_SHORT_SIDE / min(height, width)))
    # Two rows for each row of the result are enough, and save most of the time.
    grey = cv2.cvtColor(pixels[:: max(1, int(0.5 / scale))], cv2.COLOR_BGR2GRAY)
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _steps(grey: Floats, axis: int) -> Floats:
    """Largest difference of pixels two apart along an axis, for each tile."""
    first, second = (grey[2:, 1:-1], grey[:-2, 1:-1]) if axis == 0 else (grey[1:-1, 2:], grey[1:-1, :-2])
    # One axis after the other: numpy is several times faster than over both at once.
    return np.asarray(_tiles(cv2.absdiff(first, second)).max(axis=1).max(axis=2), np.float32)


def _noise(grey: Floats) -> float:
    """Standard deviation of the noise in levels, from the quietest tiles."""
    across = grey[:, 1:] - grey[:, :-1]
    mixed = cv2.absdiff(across[1:], across[:-1])
    means = np.sort(_tiles(mixed).mean(axis=1).mean(axis=2), axis=None)
    quiet = float(means[int(QUIET_SHARE * len(means))])
    # Four pixels add up to twice the deviation; the mean of |x| of a Gaussian is sqrt(2 / pi) of its own.
    return quiet / 2 / float(np.sqrt(2 / np.pi))


def _tiles(plane: npt.NDArray[Any]) -> Floats:
    """``[h, w]`` as ``[rows, side, columns, side]``; a rest at the right and bottom is left out."""
    height, width = plane.shape
    side = min(TILE, height, width)
    rows, columns = height // side, width // side
    return plane[: rows * side, : columns * side].reshape(rows, side, columns, side)


def _best(values: Floats, band: tuple[float, float]) -> float:
    """Mean of the values of tiles, ``[rows, columns]``, that rank within a band; one of them at least."""
    inner = values[1:-1] if len(values) >= ENOUGH_ROWS else values
    ordered = np.sort(inner, axis=None)[::-1]
    first = int(band[0] * len(ordered))
    return float(ordered[first : max(math.ceil(band[1] * len(ordered)), first + 1)].mean())
