"""Pictures to run a model on: the public-domain portraits of the package, or those of a folder; all RGB."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array
from edge.errors import PictureError
from edge.pictures import SUFFIXES, read_picture


def sample_picture() -> Array:
    """The shipped portrait, uint8 ``[512, 512, 3]`` RGB."""
    return read_rgb(_data() / "astronaut.jpg")


def _data() -> Path:
    return Path(str(resources.files("edge") / "data"))


def read_rgb(path: Path) -> Array:
    """Read a picture as uint8 ``[H, W, 3]`` RGB. Raises PictureError."""
    return np.ascontiguousarray(read_picture(path).pixels[..., ::-1])


def sample_pictures(width: int, height: int) -> Iterator[tuple[str, Array]]:
    """Names, and pictures of many sizes and shapes made from the shipped ones, uint8 ``[H, W, 3]`` RGB.

    ``width`` and ``height`` are the size of the model's input in pixels.
    """
    astronaut, hopper = sample_picture(), read_rgb(_data() / "hopper.jpg")
    yield "astronaut", astronaut
    yield "hopper", hopper
    yield "portrait", np.ascontiguousarray(astronaut[:, 96:352])
    yield "landscape", np.ascontiguousarray(hopper[40:300])
    yield "tiny", cv2.resize(astronaut, (96, 80), interpolation=cv2.INTER_AREA)
    yield "4K", cv2.resize(np.concatenate([astronaut, hopper[:512]], axis=1), (3840, 2160))
    yield "model-size", cv2.resize(hopper, (width, height), interpolation=cv2.INTER_AREA)
    yield "mirrored", np.ascontiguousarray(astronaut[:, ::-1])


def crowds() -> Iterator[tuple[str, Array]]:
    """Names, and pictures of sixteen portraits each, made from the shipped ones: uint8 ``[960, 960, 3]`` RGB.

    Scale, brightness and direction differ from one portrait to the next.
    """
    rng = np.random.default_rng(0)
    portraits = [sample_picture()[:400, 60:460], read_rgb(_data() / "hopper.jpg")]
    for number in range(3):
        picture = np.full((960, 960, 3), rng.integers(60, 200, 3), np.uint8)
        for place in range(16):
            row, column = divmod(place, 4)
            side = int(rng.integers(170, 240))
            portrait = cv2.resize(portraits[(row + column) % 2], (side, side), interpolation=cv2.INTER_AREA)
            if rng.random() < 0.5:
                portrait = portrait[:, ::-1]
            portrait = np.clip(portrait * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8)
            picture[row * 240 : row * 240 + side, column * 240 : column * 240 + side] = portrait
        yield f"crowd {number + 1}", picture


def folder_pictures(folder: Path, limit: int) -> Iterator[tuple[str, Array]]:
    """Names and pictures of a folder in the order of their names, at most ``limit``; uint8 ``[H, W, 3]`` RGB.

    Raises ConvertError when there is no picture in the folder, or one that cannot be read.
    """
    if not folder.is_dir():
        raise ConvertError(f"{folder} is not a folder; name one with pictures")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ConvertError(f"{folder} holds no pictures")
    for path in paths[:limit]:
        try:
            yield str(path.relative_to(folder)), read_rgb(path)
        except PictureError as error:
            raise ConvertError(f"{error}; remove it from {folder}") from error
