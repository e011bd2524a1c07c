"""Pictures that lie, break off, or are of an odd kind, made from the shipped portrait.

Each function writes one file below a folder that exists and returns its path.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import edge
from edge.frames import Pixels

ASTRONAUT = Path(edge.__file__).parent / "data" / "astronaut.jpg"
ORIENTATION = 0x0112  # the EXIF tag

Maker = Callable[[Path], Path]


def portrait() -> Image.Image:
    """The shipped portrait, 512x512 RGB."""
    image: Image.Image
    with Image.open(ASTRONAUT) as image:
        return image.convert("RGB")


def good(folder: Path, name: str = "good.jpg") -> Path:
    """A plain 8-bit RGB picture of the format that the name says, with personal metadata."""
    path = folder / name
    exif = Image.Exif()
    exif[0x010E] = "Eileen at the desk"
    exif[0x9003] = "1999:07:23 00:31:00"
    if path.suffix.lower() == ".bmp":
        portrait().save(path)
    else:
        portrait().save(path, exif=exif, quality=92)
    return path


def rotated(folder: Path, orientation: int, name: str = "rotated.jpg") -> Path:
    """A picture that lies on its side, and says so in its EXIF data (1 to 8)."""
    path = folder / name
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    # Not square, so that a turn shows in the size too
    portrait().crop((60, 0, 460, 320)).save(path, exif=exif, quality=95)
    return path


# Broken and hostile: refused, whatever the options


def _half(folder: Path, name: str) -> Path:
    path = good(folder, name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def truncated_jpeg(folder: Path) -> Path:
    return _half(folder, "truncated.jpg")


def truncated_png(folder: Path) -> Path:
    return _half(folder, "truncated.png")


def truncated_webp(folder: Path) -> Path:
    return _half(folder, "truncated.webp")


def truncated_bmp(folder: Path) -> Path:
    return _half(folder, "truncated.bmp")


def truncated_tiff(folder: Path) -> Path:
    return _half(folder, "truncated.tif")


def text(folder: Path) -> Path:
    path = folder / "text.jpg"
    path.write_text("This is no picture.\n" * 50)
    return path


def png_named_jpg(folder: Path) -> Path:
    path = folder / "png_named.jpg"
    portrait().save(path, format="PNG")
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.png"
    path.touch()
    return path


def one_pixel(folder: Path) -> Path:
    path = folder / "one_pixel.png"
    Image.new("RGB", (1, 1), (200, 150, 120)).save(path)
    return path


def _png(path: Path, width: int, height: int, packed: bytes) -> Path:
    """Write a PNG of 1-bit grey, chunk by chunk, around an IDAT that may hold anything."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    return path


def _packed_zeros(count: int) -> bytes:
    """A zlib stream of about a thousandth of ``count``, which unpacks to so many zeros."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    out = [packer.compress(block) for _ in range(count // len(block))]
    return b"".join([*out, packer.compress(bytes(count % len(block))), packer.flush()])


def bomb(folder: Path, side: int = 22_000) -> Path:
    """Under 60 KB, complete and without an error; 484 megapixels, 1.5 GB as RGB. ``side`` mod 8 is 0."""
    return _png(folder / "bomb.png", side, side, _packed_zeros((side // 8 + 1) * side))


def header_bomb(folder: Path) -> Path:
    """70 bytes that announce 4.3 gigapixels."""
    return _png(folder / "header_bomb.png", 65_535, 65_535, _packed_zeros(1))


def webp_bomb(folder: Path, side: int = 16_383) -> Path:
    """32 bytes that are a complete lossless WebP of the largest size: 268 megapixels, 1 GB once decoded."""
    path = folder / "bomb.webp"
    size = (side - 1) | (side - 1) << 14
    # No transform, cache or map (3 bits); each of five Huffman codes has one symbol: 0 (4 bits each)
    codes = sum(0b0001 << (3 + 4 * index) for index in range(5))
    stream = b"\x2f" + struct.pack("<II", size, codes) + bytes(3)
    chunks = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    return path


def animated_webp(folder: Path) -> Path:
    path = folder / "animated.webp"
    frames = [portrait().resize((128, 128)), portrait().resize((128, 128)).rotate(90)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def gif_named_webp(folder: Path) -> Path:
    path = folder / "gif_named.webp"
    portrait().resize((128, 128)).save(path, format="GIF")
    return path


def animated_png(folder: Path) -> Path:
    path = folder / "animated.png"
    frames = [portrait().resize((128, 128)), portrait().resize((128, 128)).rotate(90)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def pages_tiff(folder: Path) -> Path:
    path = folder / "pages.tif"
    portrait().save(path, save_all=True, append_images=[portrait().rotate(90)])
    return path


def pipe(folder: Path) -> Path:
    """A named pipe: whoever opens it waits for a writer that never comes."""
    path = folder / "pipe.jpg"
    os.mkfifo(path)
    return path


def dangling_link(folder: Path) -> Path:
    path = folder / "dangling.jpg"
    path.symlink_to(folder / "gone.jpg")
    return path


def device_link(folder: Path) -> Path:
    """A link to a device that can be read without end."""
    path = folder / "device.jpg"
    path.symlink_to("/dev/zero")
    return path


# Unusual kinds that lose nothing as 8-bit RGB


def grey_jpeg(folder: Path) -> Path:
    path = folder / "grey.jpg"
    portrait().convert("L").save(path, quality=92)
    return path


def opaque_grey_png(folder: Path) -> Path:
    path = folder / "opaque_grey.png"
    portrait().convert("LA").save(path)
    return path


def opaque_png(folder: Path) -> Path:
    """As programs for screenshots write it."""
    path = folder / "opaque.png"
    portrait().convert("RGBA").save(path)
    return path


def palette_png(folder: Path) -> Path:
    path = folder / "palette.png"
    portrait().quantize(256).save(path)
    return path


def one_bit_png(folder: Path) -> Path:
    path = folder / "one_bit.png"
    portrait().convert("1").save(path)
    return path


# Odd kinds: refused as they are, taken with --convert

ERASED = 100
"""Pixels at the top left of a transparent picture, in each direction, that hide something."""


def _erased(mode: str) -> Image.Image:
    """The portrait with a corner in which somebody erased a dark square: its pixels are still there."""
    image = portrait()
    image.paste((200, 0, 0), (0, 0, ERASED, ERASED))
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, ERASED, ERASED))
    image = image.convert(mode)
    image.putalpha(alpha)
    return image


def grey_alpha_png(folder: Path) -> Path:
    path = folder / "grey_alpha.png"
    _erased("L").save(path)
    return path


def alpha_png(folder: Path) -> Path:
    path = folder / "alpha.png"
    _erased("RGB").save(path)
    return path


def alpha_webp(folder: Path) -> Path:
    path = folder / "alpha.webp"
    _erased("RGB").save(path, quality=92, exact=True)
    return path


def colour_key_png(folder: Path) -> Path:
    """RGB without an alpha channel, in which one colour is transparent."""
    path = folder / "colour_key.png"
    image = portrait()
    image.save(path, transparency=image.getpixel((0, 0)))
    return path


def cmyk_jpeg(folder: Path) -> Path:
    path = folder / "cmyk.jpg"
    portrait().convert("CMYK").save(path, quality=92)
    return path


def _wide(grey: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """The portrait in 16 bits, ``[H, W]`` or BGR ``[H, W, 3]``; the high byte is the 8-bit value."""
    pixels = np.asarray(portrait().convert("L") if grey else portrait()).astype(np.uint16)
    return np.ascontiguousarray((pixels if grey else pixels[..., ::-1]) * 257)


def _save_wide(path: Path, grey: bool) -> Path:
    assert cv2.imwrite(str(path), _wide(grey))
    return path


def wide_grey_png(folder: Path) -> Path:
    return _save_wide(folder / "wide_grey.png", grey=True)


def wide_rgb_png(folder: Path) -> Path:
    return _save_wide(folder / "wide_rgb.png", grey=False)


def wide_grey_tiff(folder: Path) -> Path:
    return _save_wide(folder / "wide_grey.tif", grey=True)


def wide_rgb_tiff(folder: Path) -> Path:
    return _save_wide(folder / "wide_rgb.tif", grey=False)


BROKEN: dict[Maker, str] = {
    truncated_jpeg: "broken or truncated",
    truncated_png: "broken or truncated",
    truncated_webp: "broken",
    truncated_bmp: "broken or truncated",
    truncated_tiff: "broken",
    text: "not a JPEG, PNG, WebP, BMP or TIFF picture",
    empty: "empty file",
    one_pixel: "1x1 is smaller than 16x16",
    bomb: "22000x22000 is over the limit",
    header_bomb: "65535x65535 is over the limit",
    webp_bomb: "16383x16383 is over the limit",
    animated_webp: "animated",
    gif_named_webp: "not a JPEG, PNG, WebP, BMP or TIFF picture",
    animated_png: "animated",
    pages_tiff: "several pages",
    pipe: "not a regular file",
    dangling_link: "No such file",
    device_link: "not a regular file",
}
"""Makers of files that nothing helps, and a part of the reason that ``read_picture`` gives."""

UNUSUAL: tuple[Maker, ...] = (grey_jpeg, opaque_grey_png, opaque_png, palette_png, one_bit_png)
"""Makers of files that lose nothing as 8-bit RGB."""
ODD: dict[Maker, str] = {
    grey_alpha_png: "alpha",
    alpha_png: "alpha",
    colour_key_png: "alpha",
    alpha_webp: "alpha",
    cmyk_jpeg: "CMYK",
    wide_grey_png: "16-bit",
    wide_rgb_png: "16-bit",
    wide_grey_tiff: "16-bit",
    wide_rgb_tiff: "16-bit",
}
"""Makers of files that ``--convert`` takes, and what the reason without it begins with."""


def bgr(image: Image.Image) -> Pixels:
    """What Pillow makes of a picture, as uint8 BGR ``[H, W, 3]``."""
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
