"""Numbered frames with a secret in each face, and an oracle of what may be stored of them.

The oracle (``flaw``) knows where the faces are and shares no code with the product. It reads the blue of each
pixel: the background has two values, the secret in the faces two others, and no fill comes near any of the
four. So each stored pixel tells whether it is raw, covered, or secret.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge.frames import Pixels

WIDTH, HEIGHT, FRAMES = 160, 120, 6
BACKGROUND, SECRET, FILL = (40, 200), (0, 255), (100, 150)
"""Blue of raw pixels outside and inside faces; lowest and highest blue of a fill."""
RED, RED_STEP = 60, 5
GREY = 128
MARGIN_SIDES, MARGIN_TOP, MARGIN_BOTTOM = 0.2, 0.6, 0.2

WHEN: dict[str, frozenset[int]] = {
    "first": frozenset({0}),
    "middle": frozenset({3}),
    "last": frozenset({FRAMES - 1}),
    "twice": frozenset({3, 4}),
    "every": frozenset(range(FRAMES)),
}
"""Numbers of the frames at which a fault is injected."""
ALL = WHEN["every"]

Box = tuple[int, int, int, int]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def faces(number: int) -> list[Box]:
    """Where the faces of a frame are, ``x1 y1 x2 y2`` in pixels: one walks, the other comes in at frame 1."""
    walking = (20 + 2 * number, 40, 44 + 2 * number, 68)
    return [walking] if number < 1 else [walking, (104, 50, 124, 74)]


@lru_cache(maxsize=64)
def picture(number: int, scale: int = 1, secret: int = 0) -> Pixels:
    """A frame, uint8 ``[H, W, 3]`` BGR, read-only. Red tells its number; ``secret`` chooses one of two."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = np.resize(np.array(BACKGROUND, np.uint8), WIDTH)
    pixels[..., 1] = 100
    pixels[..., 2] = RED + RED_STEP * number
    for x1, y1, x2, y2 in faces(number):
        y, x = np.mgrid[y1:y2, x1:x2]
        pixels[y1:y2, x1:x2] = np.where((x // 2 + y // 2 + secret) % 2, SECRET[1], SECRET[0])[..., None]
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    pixels.setflags(write=False)
    return pixels


def number_of(pixels: Image, *, rgb: bool = False) -> int | None:
    """The number of the frame that a picture was made of; None where its corner is covered."""
    blue, _, red = pixels[0, 0, ::-1] if rgb else pixels[0, 0]
    return (int(red) - RED) // RED_STEP if int(blue) == BACKGROUND[0] else None


def heads(number: int, scale: int = 1) -> list[Box]:
    """What must be covered at least: each face and the documented margins, in pixels of the frame."""
    regions = []
    for x1, y1, x2, y2 in faces(number):
        sides, height = MARGIN_SIDES * (x2 - x1), y2 - y1
        left, right = max(0.0, x1 - sides), min(float(WIDTH), x2 + sides)
        top, bottom = max(0.0, y1 - MARGIN_TOP * height), min(float(HEIGHT), y2 + MARGIN_BOTTOM * height)
        # A thousandth of a pixel for float32, in which the product computes.
        low = [math.floor(side * scale + 1e-3) for side in (left, top)]
        high = [math.ceil(side * scale - 1e-3) for side in (right, bottom)]
        regions.append((low[0], low[1], high[0], high[1]))
    return regions


def is_whole(image: Image) -> bool:
    return bool((image == GREY).all())


def covered(image: Image, number: int) -> Mask:
    """Which pixels of a stored image are not those of its frame, bool ``[H, W]``."""
    changed: Mask = image[..., 0] != picture(number, len(image) // HEIGHT)[..., 0]
    return changed


def flaw(image: Image, number: int) -> str:
    """Why this image of frame ``number`` may never be stored; empty when it may be."""
    if is_whole(image):
        return ""
    scale = len(image) // HEIGHT
    raw = picture(number, scale)
    if image.shape != raw.shape:
        return f"its shape is {image.shape}"
    if np.isin(image[..., 0], SECRET).any():
        return "a pixel of the secret is in it"
    changed = covered(image, number)
    if (image[~changed] != raw[~changed]).any():
        return "pixels outside the regions were changed"
    fill = image[changed]
    if ((fill[:, 0] < FILL[0]) | (fill[:, 0] > FILL[1])).any():
        return "something shines through a region"
    for x1, y1, x2, y2 in heads(number, scale):
        if not changed[y1:y2, x1:x2].all():
            return f"the head at {x1},{y1},{x2},{y2} is not covered"
    return ""
