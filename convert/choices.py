"""What can be chosen on the command line: enumerations, and values that are parsed from text."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

MIN_SIDE, MAX_SIDE = 32, 8192
"""Limits of ``--size``, in pixels."""


class Target(str, Enum):
    """What a detector is built for; ``any`` is one file for all of them."""

    ANY = "any"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    OPENVINO = "openvino"


TARGETS = tuple(target.value for target in Target)


class Precision(str, Enum):
    """The arithmetic inside a detector; ``edge.contract.PRECISIONS``."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class BoxFormat(str, Enum):
    """The order of a box's four numbers: two corners, or centre and size."""

    YXYX = "yxyx"
    XYXY = "xyxy"
    CXCYWH = "cxcywh"
    CYCXHW = "cycxhw"


class InputRange(str, Enum):
    """The numbers that a float input was trained on."""

    UNIT = "0..1"
    SYMMETRIC = "-1..1"
    BYTES = "0..255"


class Resize(str, Enum):
    """How a frame becomes the model's input."""

    STRETCH = "stretch"
    PAD = "pad"


class Size(NamedTuple):
    """The size of a model's input, in pixels."""

    width: int
    height: int


class Colour(NamedTuple):
    """One number per channel, in the order of the channels."""

    red: float
    green: float
    blue: float


class Variances(NamedTuple):
    """One number for each number of a box's offset, in the order of ``--box-format``."""

    first: float
    second: float
    third: float
    fourth: float


def parse_size(text: str) -> Size:
    """Read ``WIDTHxHEIGHT``. Raises ValueError, which shows a right value.

    >>> parse_size("640x384")
    Size(width=640, height=384)
    """
    sides = text.split("x")
    if len(sides) == 2 and all(side.isdecimal() and MIN_SIDE <= int(side) <= MAX_SIDE for side in sides):
        return Size(int(sides[0]), int(sides[1]))
    raise ValueError(
        f"{text!r} is not WIDTHxHEIGHT in pixels, {MIN_SIDE} to {MAX_SIDE} each, such as 640x384"
    )


def parse_colour(text: str) -> Colour:
    """Read three numbers. Raises ValueError, which shows a right value.

    >>> parse_colour("0.485,0.456,0.406")
    Colour(red=0.485, green=0.456, blue=0.406)
    """
    return Colour(*_numbers(text, 3, "three", "0.485,0.456,0.406"))


def parse_variances(text: str) -> Variances:
    """Read four numbers. Raises ValueError, which shows a right value.

    >>> parse_variances("0.1,0.1,0.2,0.2")
    Variances(first=0.1, second=0.1, third=0.2, fourth=0.2)
    """
    return Variances(*_numbers(text, 4, "four", "0.1,0.1,0.2,0.2"))


def _numbers(text: str, count: int, word: str, example: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) == count and all(math.isfinite(number) and abs(number) < 1e6 for number in numbers):
        return numbers
    raise ValueError(f"{text!r} is not {word} numbers with commas between them, such as {example}")
