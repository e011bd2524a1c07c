"""What happens to a picture between the world and the detector: light, lens, motion, sensor, coder."""

from __future__ import annotations

import cv2
import numpy as np

from convert.graphs import Array

DARK, GREY, SOFT, MOVED, NOISY, CODED = 0.15, 0.08, 0.12, 0.12, 0.3, 0.5
"""Shares of the canvases that are dark, without colour, out of focus, moved while exposed, noisy, coded."""


def weather(pixels: Array, rng: np.random.Generator) -> Array:
    """Change uint8 ``[H, W, 3]`` RGB as a camera might; returns a new array."""
    x = _light(pixels, rng)
    if rng.random() < SOFT:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6)))
    if rng.random() < MOVED:
        x = _motion(x, rng)
    if rng.random() < NOISY:
        x = x + rng.normal(0, rng.uniform(1, 10), x.shape).astype(np.float32)
    byte = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < GREY:
        byte = np.repeat(cv2.cvtColor(byte, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < CODED:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        _, coded = cv2.imencode(".jpg", np.ascontiguousarray(byte[..., ::-1]), quality)
        byte = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
    return np.ascontiguousarray(byte)


def _light(pixels: Array, rng: np.random.Generator) -> Array:
    """Exposure, contrast, white balance and saturation; float32."""
    x = pixels.astype(np.float32)
    gain = rng.uniform(0.12, 0.45) if rng.random() < DARK else rng.uniform(0.7, 1.35)
    balance = rng.uniform(0.9, 1.1, 3).astype(np.float32) * np.float32(gain)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * np.float32(rng.uniform(0.6, 1.4))
    middle = np.float32(x.mean())
    return np.asarray((middle + (x - middle) * np.float32(rng.uniform(0.75, 1.25))) * balance)


def _motion(x: Array, rng: np.random.Generator) -> Array:
    """The mean over a short straight path."""
    length, angle = int(rng.integers(2, 6)), rng.uniform(0, np.pi)
    size = 2 * length + 1
    kernel = np.zeros((size, size), np.float32)
    ends = [(length + s * length * np.cos(angle), length + s * length * np.sin(angle)) for s in (-0.5, 0.5)]
    start, end = (tuple(round(v) for v in point) for point in ends)
    cv2.line(kernel, start, end, 1.0, 1)
    return np.asarray(cv2.filter2D(x, -1, kernel / kernel.sum()))
