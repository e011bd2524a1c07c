"""Masks drawn on faces that wear none: a share of the faces of any street does."""

from __future__ import annotations

import cv2
import numpy as np

from convert.graphs import Array
from convert.training.samples import Kind

SHARE = 0.15
SMALLEST = 14.0
"""A mask on a smaller face is a few pixels of one colour."""
COLOURS = ((225, 230, 235), (150, 195, 215), (30, 30, 35), (200, 200, 205), (120, 150, 185), (70, 90, 80))
"""Red, green, blue: surgical white and blue, black, grey, cloth."""


def paste_masks(pixels: Array, boxes: Array, kinds: Array, rng: np.random.Generator) -> Array:
    """Draw masks on some of the plain faces of uint8 ``[H, W, 3]`` RGB, in place.

    ``boxes`` is float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels). Returns the kinds, where these faces are hard.
    """
    kinds = kinds.copy()
    for number in np.flatnonzero(kinds == Kind.PLAIN):
        width, height = boxes[number, 2:] - boxes[number, :2]
        if min(width, height) >= SMALLEST and rng.random() < SHARE:
            _draw(pixels, boxes[number], rng)
            kinds[number] = Kind.HARD
    return kinds


def _draw(pixels: Array, box: Array, rng: np.random.Generator) -> None:
    """A mask from the bridge of the nose to the chin."""
    shape = np.array([[0.08, 0.58], [0.5, 0.46], [0.92, 0.58], [0.88, 0.82], [0.5, 1.0], [0.12, 0.82]])
    shape = shape + rng.normal(0, 0.025, shape.shape)
    corners = box[:2] + shape * (box[2:] - box[:2])
    colour = np.clip(np.array(COLOURS[rng.integers(len(COLOURS))]) + rng.normal(0, 14, 3), 0, 255)
    x1, y1 = np.maximum(corners.min(axis=0).astype(int) - 1, 0)
    x2, y2 = corners.max(axis=0).astype(int) + 2
    under = pixels[y1:y2, x1:x2]
    if not under.size:
        return
    cover = np.zeros(under.shape[:2], np.uint8)
    cv2.fillPoly(cover, [((corners - [x1, y1]) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    share = cover[..., None].astype(np.float32) / 255
    # The light on the face also falls on the mask.
    light = cv2.GaussianBlur(under, (0, 0), max(1.0, (x2 - x1) / 8)).mean(axis=2, keepdims=True)
    shaded = colour * np.clip(0.6 + 0.4 * light / max(float(light.mean()), 1.0), 0.4, 1.4)
    pixels[y1:y2, x1:x2] = np.clip(under * (1 - share) + shaded * share, 0, 255).astype(np.uint8)
