"""Pictures as the merged set has them: upright and 8-bit RGB. A file that is so already stays as it is.

A picture whose EXIF says how to turn it is turned, and one of another kind (grey, 16-bit, alpha, palette,
CMYK) becomes 8-bit RGB. Both are encoded anew: JPEG as JPEG of quality 95, anything else as PNG.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edge.errors import PictureError
from edge.pictures import MAX_PICTURE_BYTES, Picture, decode_picture

QUALITY = 95
"""Of JPEG, without thinning out the colours."""
TURNED = "pictures turned upright as their EXIF says"
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
_KINDS = {"L": "grey", "1": "black and white", "P": "palette"}
"""Pillow's modes of pictures that lose nothing as 8-bit RGB, but are not stored as that."""
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Prepared:
    """``data``: the file to write, with this ``suffix``. ``size``: width and height in pixels, upright.
    ``sha256``: of the file as it was; ``pixels_sha256``: of what it shows. ``changes``: what was done."""

    data: bytes
    suffix: str
    size: tuple[int, int]
    sha256: str
    pixels_sha256: str
    changes: tuple[str, ...]


def prepare(path: Path) -> Prepared:
    """Read a picture and bring it into the form of the merged set. Raises PictureError."""
    data = _read(path)
    picture, kind = _decode(data)
    changes = [f"{kind} pictures converted to 8-bit RGB"] if kind else []
    if _orientation(data) not in (None, 1):
        changes.append(TURNED)
    height, width = picture.pixels.shape[:2]
    written, suffix = (_encode(picture), _suffix(picture)) if changes else (data, SUFFIXES[picture.format])
    return Prepared(
        written,
        suffix,
        (width, height),
        hashlib.sha256(data).hexdigest(),
        hashlib.sha256(f"{width}x{height}:".encode() + picture.pixels.tobytes()).hexdigest(),
        tuple(changes),
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise PictureError(f"over the limit of {MAX_PICTURE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error


def _decode(data: bytes) -> tuple[Picture, str]:
    """The picture, and its kind where that is not 8-bit RGB."""
    try:
        picture = decode_picture(data)
        with Image.open(io.BytesIO(data)) as image:
            return picture, "" if image.mode == "RGB" else _KINDS.get(image.mode, "alpha")
    except PictureError as error:
        problem = str(error)
    # A picture that is broken is so in both ways.
    return decode_picture(data, convert=True), problem.partition(":")[0]


def _orientation(data: bytes) -> int | None:
    with Image.open(io.BytesIO(data)) as image:
        orientation = image.getexif().get(_ORIENTATION)
    return orientation if isinstance(orientation, int) else None


def _suffix(picture: Picture) -> str:
    return ".jpg" if picture.format == "JPEG" else ".png"


def _encode(picture: Picture) -> bytes:
    target = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture.pixels[..., ::-1]))
    if picture.format == "JPEG":
        image.save(target, "JPEG", quality=QUALITY, subsampling=0)
    else:
        image.save(target, "PNG")
    return target.getvalue()
