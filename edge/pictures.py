"""Read picture files, and refuse those that other programs might show differently.

Pillow decodes them, because OpenCV returns a half-grey picture for a truncated JPEG without an error.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edge import MAX_PICTURE_PIXELS
from edge.errors import PictureError
from edge.frames import MIN_SIDE, Pixels
from edge.srgb import to_srgb

MAX_PICTURE_BYTES = 512 * 2**20
"""Largest picture file that is read, in bytes."""

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File name endings and Pillow's names of the formats."""

_WITHOUT_LOSS = ("RGB", "L", "1", "P")
"""Pillow's modes of pictures that lose nothing as 8-bit RGB."""
_WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_KINDS = {
    "RGBX": "four channels",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "LAB",
    "HSV": "HSV",
    "I": "32-bit",
    "F": "floating point",
}

# The size is checked in _decode, against MAX_PICTURE_PIXELS and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, eq=False)
class Picture:
    """``pixels`` uint8 ``[H, W, 3]`` BGR, upright; ``format`` is Pillow's name of the file format."""

    pixels: Pixels
    format: str


def read_picture(path: Path, *, convert: bool = False) -> Picture:
    """Read one picture and apply its EXIF orientation.

    Colours are those of sRGB: a colour profile in the file is applied. Only pictures with one frame that lose
    nothing as 8-bit RGB are accepted; with ``convert``, transparent ones are laid on white, and 16-bit and
    CMYK ones are converted, too. Raises PictureError, whose text says what is wrong.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise PictureError("not a regular file")
        if size > MAX_PICTURE_BYTES:
            raise PictureError(f"{size} bytes is over the limit of {MAX_PICTURE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    return decode_picture(data, convert=convert)


def decode_picture(data: bytes, *, convert: bool = False) -> Picture:
    """Decode the bytes of a file as ``read_picture`` does. Raises PictureError."""
    if not data:
        raise PictureError("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=sorted(set(SUFFIXES.values())))
    # A hostile header can make Pillow's readers raise any exception
    except Exception as error:
        raise PictureError("not a JPEG, PNG, WebP, BMP or TIFF picture, or its header is broken") from error
    with image:
        return _decode(image, data, convert)


def _decode(image: Image.Image, data: bytes, convert: bool) -> Picture:
    width, height = image.size
    if width * height > MAX_PICTURE_PIXELS:
        raise PictureError(f"{width}x{height} is over the limit of {MAX_PICTURE_PIXELS} pixels")
    if min(width, height) < MIN_SIDE:
        raise PictureError(f"{width}x{height} is smaller than {MIN_SIDE}x{MIN_SIDE}")
    # A stereo or burst JPEG (MPO) has more pictures behind the first one, which is the one to take.
    kind = image.format or ""
    if kind == "MPO":
        kind = "JPEG"
    try:
        if kind != "JPEG" and _has_second(image):
            raise PictureError("animated or several pages: there is no single picture to check")
        problem = _problem(image, data)
        if problem is None:
            image.load()
            problem = "alpha" if _is_transparent(image) else None
        if problem and not convert:
            raise PictureError(f"{problem}: not 8-bit RGB; --convert converts it")
        image.load()
        upright = ImageOps.exif_transpose(image)
        pixels = np.asarray(_to_rgb(upright))
        if problem == "16-bit" and image.mode == "RGB" and pixels.max(initial=0) < 128:
            raise PictureError("16-bit, but the upper bits are empty: scale its values first")
    except PictureError:
        raise
    # Broken data can make Pillow's decoders raise any exception
    except Exception as error:
        raise PictureError(f"broken or truncated: {error}"[:300]) from error
    return Picture(np.ascontiguousarray(pixels[..., ::-1]), kind)


def _has_second(image: Image.Image) -> bool:
    """Whether there is a second frame or page."""
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    try:  # counting would walk all pages, and a hostile file has millions
        image.seek(1)
    except EOFError:
        return False
    image.seek(0)
    return True


def _problem(image: Image.Image, data: bytes) -> str | None:
    """What a picture would lose as plain 8-bit RGB, transparency aside, or None."""
    if image.mode.startswith("I;16") or _bits(image, data) > 8:
        return "16-bit"
    if image.mode in (*_WITHOUT_LOSS, *_WITH_ALPHA):
        return None
    return _KINDS.get(image.mode, image.mode)


def _is_transparent(image: Image.Image) -> bool:
    """Whether any pixel of a loaded picture is not opaque."""
    return _has_alpha(image) and np.asarray(_alpha(image)).min(initial=255) < 255


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def _alpha(image: Image.Image) -> Image.Image:
    return (image if image.mode in ("RGBA", "LA") else image.convert("RGBA")).getchannel("A")


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per sample according to the file. Pillow silently reduces 16-bit RGB to 8 bits."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 8


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise PictureError("floating point: the range of its values is not stated")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.float64)
        # Cameras put 10 or 12 bits into 16; read as 16 bits, the picture would be too dark to detect on.
        top = float(2 ** max(8, int(wide.max(initial=0)).bit_length()) - 1)
        grey = Image.fromarray(np.clip(wide * (255.0 / top), 0, 255).astype(np.uint8))
        grey.info = image.info
        return to_srgb(grey)
    if not _has_alpha(image):
        return to_srgb(image)
    # What a transparent pixel hides may be what somebody erased.
    visible = Image.new("RGB", image.size, "white")
    visible.paste(image.convert("RGBA").convert("RGB"), mask=_alpha(image))
    visible.info = image.info
    return to_srgb(visible)
