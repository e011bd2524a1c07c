"""The two kinds of picture, kept apart by type.

A ``RawFrame`` may show faces and lives in memory only. An ``AnonymizedFrame`` is the only thing that
the store takes, and only ``edge/blur.py`` can make one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, final

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""uint8 ``[H, W, 3]``, BGR, as OpenCV delivers it."""

MIN_SIDE = 16
"""Smallest side of a frame, in pixels. Below it no detector can be trusted either way."""

_SEAL = object()


def check_pixels(pixels: Pixels) -> None:
    """Raise ValueError unless ``pixels`` is uint8 ``[H, W, 3]`` with sides of 16 or more."""
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise ValueError(f"wanted uint8 pixels, got {getattr(pixels, 'dtype', type(pixels).__name__)}")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"wanted pixels of shape [H, W, 3], got {list(pixels.shape)}")
    if min(pixels.shape[:2]) < MIN_SIDE:
        raise ValueError(f"{pixels.shape[1]}x{pixels.shape[0]} is smaller than {MIN_SIDE}x{MIN_SIDE}")


@final
@dataclass(frozen=True, eq=False, repr=False)
class RawFrame:
    """One picture from a camera, in memory only. It cannot be pickled and never prints its pixels.

    ``number`` counts the frames of one camera from 0. ``media_seconds`` is the source's own clock
    (for hold), ``captured`` the monotonic clock (for age), ``utc_ns`` the wall clock (for names).
    Raises ValueError when the pixels are not uint8 ``[H, W, 3]``.
    """

    pixels: Pixels
    camera: str
    number: int
    media_seconds: float
    captured: float
    utc_ns: int

    def __post_init__(self) -> None:
        check_pixels(self.pixels)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def __repr__(self) -> str:
        return f"<RawFrame {self.camera} #{self.number} {self.width}x{self.height}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RawFrame stays in the memory of its process")


@final
class AnonymizedFrame:
    """A picture in which every region is covered. Only ``edge/blur.py`` can make one.

    ``pixels`` is uint8 ``[H, W, 3]`` BGR and read-only; ``regions`` is how many were covered,
    ``whole`` says that the whole frame was.
    """

    __slots__ = ("camera", "number", "pixels", "regions", "utc_ns", "whole")

    camera: str
    number: int
    pixels: Pixels
    regions: int
    utc_ns: int
    whole: bool

    def __init__(self, raw: RawFrame, pixels: Pixels, regions: int, whole: bool, *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only edge.blur makes an AnonymizedFrame")
        check_pixels(pixels)
        pixels.setflags(write=False)
        for name, value in (
            ("camera", raw.camera),
            ("number", raw.number),
            ("pixels", pixels),
            ("regions", regions),
            ("utc_ns", raw.utc_ns),
            ("whole", whole),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an AnonymizedFrame cannot be changed ({name})")

    def __init_subclass__(cls, **kwargs: object) -> NoReturn:
        raise TypeError("AnonymizedFrame has no subclasses")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<AnonymizedFrame {self.camera} #{self.number} {width}x{height}>"
