"""How a model resizes and normalises pictures, measured and not guessed.

A TensorFlow graph resizes and normalises in a loop that cannot stay in the detector. Its rule is found by
running just that part of the graph on pictures made for the purpose: plain colours show the normalisation,
plain pictures of several shapes show resizing and padding, and noise shows the interpolation. The rule is
then checked against the code that scales frames on the box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array
from edge import boxes as geometry
from edge.boxes import Letterbox
from edge.contract import INTERPOLATIONS
from edge.detection.detector import paint

MAX_LEVELS = 1.0
"""Upper limit on the mean difference between TensorFlow's canvas and the box's, in levels of 0..255 (rounding
to bytes alone costs about 0.25)."""

_SHAPES = (
    (1.0, 1.0),
    (0.5, 1.5),
    (1.5, 0.5),
    (0.75, 1.0),
    (1.0, 0.75),
    (2.25, 4.0),
    (0.09, 0.13),
    (3.1, 1.3),
)
"""Heights and widths of the test pictures, as shares of the canvas."""


@dataclass(frozen=True)
class Preprocessing:
    """The rule from a picture to what the first convolution reads: ``byte * scale + offset`` per channel.

    ``width``, ``height`` and ``short_side`` are pixels of the canvas, ``padding`` is RGB 0..255, and
    ``letterbox`` and ``interpolation`` are words of ``edge.contract``. ``levels`` is the largest mean
    difference that was measured between TensorFlow's canvas and the box's, 0..255; None where the
    graph takes a canvas, so that there was nothing to measure. Both sides are multiples of ``multiple``.
    """

    width: int
    height: int
    letterbox: str
    short_side: int
    padding: tuple[int, int, int]
    interpolation: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    levels: float | None = None
    multiple: int = 1

    def fit(self, frame_width: int, frame_height: int) -> Letterbox:
        """Where a frame of this size (in pixels) lies on the canvas."""
        if self.letterbox == "stretch":
            return geometry.stretch(frame_width, frame_height, self.width, self.height)
        return geometry.fit(frame_width, frame_height, self.width, self.height, self.short_side)

    def canvas(self, picture: Array) -> Array:
        """The box's canvas, uint8 ``[height, width, 3]`` RGB, for an RGB picture of any size."""
        letterbox = self.fit(picture.shape[1], picture.shape[0])
        return paint(picture[..., ::-1], letterbox, self.interpolation, self.padding)

    def normalise(self, canvas: Array) -> Array:
        """What the first convolution reads, float32, for a canvas."""
        return np.asarray(canvas * np.array(self.scale) + np.array(self.offset), np.float32)

    def text(self) -> str:
        """The normalisation in one line, for the metadata."""
        if self.scale == (1.0, 1.0, 1.0) and self.offset == (0.0, 0.0, 0.0):
            return "none (RGB 0..255)"
        scale = ", ".join(f"{value:.8g}" for value in self.scale)
        offset = ", ".join(f"{value:.8g}" for value in self.offset)
        return f"RGB 0..255 times ({scale}) plus ({offset})"


def measure(run: Callable[[Array], Array]) -> Preprocessing:
    """Find the rule of ``run``, which takes uint8 ``[1, h, w, 3]`` RGB and returns float ``[1, H, W, 3]``.

    Raises ConvertError when the box cannot follow the rule.
    """
    height, width = _size(run)
    scale, offset = _normalisation(run, height, width)
    rule = Preprocessing(width, height, "stretch", 0, (0, 0, 0), "linear", scale, offset)
    rule = _padding(run, rule)
    return _interpolation(run, rule)


def _size(run: Callable[[Array], Array]) -> tuple[int, int]:
    shapes = {run(np.zeros((1, *size, 3), np.uint8)).shape for size in ((240, 320), (320, 240), (333, 333))}
    if len(shapes) != 1:
        raise ConvertError(
            f"the size of the model's canvas depends on the picture ({sorted(shapes)}); set a "
            f"fixed_shape_resizer, or pad_to_max_dimension: true, in pipeline.config and export it again"
        )
    shape = shapes.pop()
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
        raise ConvertError(
            f"the first convolution reads an array of shape {list(shape)}; expected [1, H, W, 3]"
        )
    return int(shape[1]), int(shape[2])


def _normalisation(
    run: Callable[[Array], Array], height: int, width: int
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    def plain(*colour: int) -> Array:
        canvas = run(np.full((1, height, width, 3), colour, np.uint8))
        return np.asarray(canvas[0, 0, 0], np.float64)

    offset = plain(0, 0, 0)
    columns = [plain(255, 0, 0) - offset, plain(0, 255, 0) - offset, plain(0, 0, 255) - offset]
    matrix = np.stack(columns, axis=1) / 255
    scale = np.diag(matrix)
    if np.abs(matrix - np.diag(scale)).max() > 1e-5 * np.abs(scale).max() or (scale <= 0).any():
        raise ConvertError(
            "the model mixes or swaps colour channels before its first convolution; the box gives RGB: "
            "export it with RGB input"
        )
    expected = np.array([90, 33, 201]) * scale + offset
    if np.abs(plain(90, 33, 201) - expected).max() > 1e-3 * np.abs(scale).max() * 255:
        raise ConvertError(
            "the model's normalisation is not linear in the pixel values; the box cannot follow it"
        )
    return tuple(scale.tolist()), tuple(offset.tolist())


def _padding(run: Callable[[Array], Array], rule: Preprocessing) -> Preprocessing:
    """Decide between stretching and padding, and find the padding's colour."""
    scale, offset = np.array(rule.scale), np.array(rule.offset)
    square = min(rule.width, rule.height)
    fitted: list[tuple[int, int, int, int]] = []
    colours = []
    for rows, columns in (*_SHAPES, (square / rule.height, square / rule.width)):
        height, width = max(8, round(rows * rule.height)), max(8, round(columns * rule.width))
        # White differs from any padding with a mean colour.
        canvas = run(np.full((1, height, width, 3), 255, np.uint8))[0]
        inner = (np.abs(canvas - (255 * scale + offset)) < 2 * scale).all(axis=-1)
        inner_height, inner_width = int(inner[:, 0].sum()), int(inner[0].sum())
        if not inner[:inner_height, :inner_width].all() or inner.sum() != inner_height * inner_width:
            raise ConvertError(
                f"a picture of {width}x{height} does not lie at the top left of the model's canvas; "
                "only padding at the right and bottom can be followed on the box"
            )
        fitted.append((width, height, inner_width, inner_height))
        if not inner.all():
            colours.append((canvas[~inner] - offset) / scale)
    if not colours:
        return rule
    colour = np.concatenate(colours)
    if np.ptp(colour, axis=0).max() > 1 or colour.min() < -1 or colour.max() > 256:
        raise ConvertError("the model's padding is not one plain colour; it cannot be followed on the box")
    padding = np.clip(np.rint(colour.mean(axis=0)), 0, 255).astype(int).tolist()
    side = fitted[-1][3]
    padded = replace(
        rule,
        letterbox="pad-right-bottom",
        padding=(padding[0], padding[1], padding[2]),
        short_side=0 if side == square else side,
    )
    for width, height, inner_width, inner_height in fitted:
        ours = padded.fit(width, height)
        if (ours.inner_width, ours.inner_height) != (inner_width, inner_height):
            raise ConvertError(
                f"the model scales {width}x{height} to {inner_width}x{inner_height}, the box to "
                f"{ours.inner_width}x{ours.inner_height}: the model's resizer is not a known one; "
                "set keep_aspect_ratio_resizer or fixed_shape_resizer in pipeline.config and export it again"
            )
    return padded


def _interpolation(run: Callable[[Array], Array], rule: Preprocessing) -> Preprocessing:
    scale, offset = np.array(rule.scale), np.array(rule.offset)
    noise = np.random.default_rng(0)
    pictures = [
        noise.integers(0, 256, (max(8, round(h * rule.height)), max(8, round(w * rule.width)), 3)).astype(
            np.uint8
        )
        for h, w in ((0.31, 0.47), (2.3, 3.1), (1.0, 1.0), (1.9, 0.8))
    ]
    theirs = [(run(picture[None])[0] - offset) / scale for picture in pictures]
    differences: dict[str, float] = {}
    for name in INTERPOLATIONS:
        candidate = replace(rule, interpolation=name)
        levels = []
        for picture, canvas in zip(pictures, theirs, strict=True):
            inner = candidate.fit(picture.shape[1], picture.shape[0])
            area = np.s_[: inner.inner_height, : inner.inner_width]
            levels.append(np.abs(candidate.canvas(picture)[area].astype(np.float64) - canvas[area]).mean())
        differences[name] = float(max(levels))
    best = min(differences, key=lambda name: differences[name])
    if differences[best] > MAX_LEVELS:
        raise ConvertError(
            f"the model's resizing is none of {', '.join(INTERPOLATIONS)} (the nearest, {best}, differs by "
            f"{differences[best]:.1f} levels of 255); set resize_method: BILINEAR in pipeline.config and "
            "export it again"
        )
    return replace(rule, interpolation=best, levels=round(differences[best], 3))
