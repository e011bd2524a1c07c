"""The two kinds of picture, kept apart by type.

A ``RawFrame`` may show faces and exists in memory only. The store takes nothing but an ``AnonymizedFrame``,
and only ``edge/blur.py`` can make one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, final

import numpy as np
import numpy.typing as npt

from edge.boxes import Ints

Pixels = npt.NDArray[np.uint8]
"""uint8 ``[H, W, 3]``, BGR, as OpenCV delivers it."""

MIN_SIDE = 16
"""Smallest side of a frame, in pixels. On smaller ones no detector can be trusted."""

_SEAL = object()


def check_pixels(pixels: Pixels) -> None:
    """Raise ValueError unless ``pixels`` is uint8 ``[H, W, 3]`` with sides of 16 or more."""
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 pixels, got {getattr(pixels, 'dtype', type(pixels).__name__)}")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"expected pixels of shape [H, W, 3], got {list(pixels.shape)}")
    if min(pixels.shape[:2]) < MIN_SIDE:
        raise ValueError(f"{pixels.shape[1]}x{pixels.shape[0]} is smaller than {MIN_SIDE}x{MIN_SIDE}")


Pack = Callable[[], Callable[[], Pixels]]
"""Packs a picture so that it takes less memory, and returns what makes its very pixels again."""


@final
class RawFrame:
    """One picture from a camera, in memory only. It cannot be pickled and never prints its pixels.

    ``pixels`` is uint8 ``[H, W, 3]`` BGR, and ``number`` counts the frames of one camera from 0. The times
    are ``media_seconds`` on the source's own clock (for hold), ``captured`` on the monotonic clock in seconds
    (for its age), and ``utc_ns`` on the wall clock (for names). Raises ValueError when the pixels are not
    uint8 ``[H, W, 3]`` with sides of 16 or more.
    """

    __slots__ = (
        "_again", "_pack", "_pixels", "camera", "captured", "height", "media_seconds", "number", "utc_ns",
        "width",
    )  # fmt: skip

    def __init__(
        self,
        pixels: Pixels,
        camera: str,
        number: int,
        media_seconds: float,
        captured: float,
        utc_ns: int,
        pack: Pack | None = None,
    ) -> None:
        """``pack`` makes less of the same pixels, for a frame that has to wait."""
        check_pixels(pixels)
        self._pixels: Pixels | None = pixels
        self._pack = pack
        self._again: Callable[[], Pixels] | None = None
        self.camera, self.number = camera, number
        self.media_seconds, self.captured, self.utc_ns = media_seconds, captured, utc_ns
        self.height, self.width = (int(side) for side in pixels.shape[:2])

    @property
    def pixels(self) -> Pixels:
        """Those of a packed frame are made again each time. Raises ValueError where they are others."""
        if self._pixels is not None:
            return self._pixels
        made = self._again() if self._again is not None else None
        # What is covered lies where it does in a picture of this size.
        if made is None or made.shape != (self.height, self.width, 3):
            raise ValueError("the pixels of a packed frame are not there again")
        return made

    @property
    def packed(self) -> bool:
        """Whether its pixels are made again each time."""
        return self._pixels is None

    def pack(self) -> None:
        """Take less memory from now on, where that is possible. No other thread may use the frame."""
        if self._pack is not None:
            self._again = self._pack()
            self._pixels = self._pack = None

    def __repr__(self) -> str:
        return f"<RawFrame {self.camera} #{self.number} {self.width}x{self.height}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RawFrame stays in the memory of its process")


@final
class AnonymizedFrame:
    """A picture in which every region is covered. Only ``edge/blur.py`` can make one.

    ``pixels`` is uint8 ``[H, W, 3]`` BGR and read-only; ``areas`` int64 ``[N, 4]`` are the covered regions
    (``x1 y1 x2 y2``, pixels); ``covered`` is the share of the picture that they and the zones take up, 0..1;
    ``whole`` says that the whole frame is covered (then ``areas`` is empty). ``labels`` say what each area
    was covered for; empty: faces. ``camera``, ``number`` and ``utc_ns`` are those of its raw frame, and
    ``steady`` is when that was captured, on the monotonic clock in seconds.
    """

    __slots__ = ("areas", "camera", "covered", "labels", "number", "pixels", "steady", "utc_ns", "whole")

    areas: Ints
    camera: str
    covered: float
    labels: tuple[str, ...]
    number: int
    pixels: Pixels
    steady: float
    utc_ns: int
    whole: bool

    def __init__(
        self,
        raw: RawFrame,
        pixels: Pixels,
        areas: Ints,
        covered: float,
        whole: bool,
        *,
        seal: object,
        labels: tuple[str, ...] = (),
    ) -> None:
        if seal is not _SEAL:
            raise TypeError("only edge.blur makes an AnonymizedFrame")
        check_pixels(pixels)
        pixels.setflags(write=False)
        areas.setflags(write=False)
        for name, value in (
            ("areas", areas),
            ("camera", raw.camera),
            ("covered", covered),
            ("labels", labels),
            ("number", raw.number),
            ("pixels", pixels),
            ("steady", raw.captured),
            ("utc_ns", raw.utc_ns),
            ("whole", whole),
        ):
            object.__setattr__(self, name, value)

    @property
    def regions(self) -> int:
        """Number of covered regions."""
        return len(self.areas)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an AnonymizedFrame cannot be changed ({name})")

    def __init_subclass__(cls, **kwargs: object) -> NoReturn:
        raise TypeError("AnonymizedFrame has no subclasses")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<AnonymizedFrame {self.camera} #{self.number} {width}x{height}>"
