"""Pictures with a colour profile look as they do in a program that applies it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.pictures import read_picture

GAMMA = 563 / 256
# Columns of red, green and blue, adapted to D50: Adobe RGB (1998), 4.3.5; ICC's registry, ROMM RGB
PRIMARIES = {
    "adobe": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "prophoto": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
}
D50 = (0.9642, 1.0, 0.8249)
TO_SRGB = np.linalg.inv(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
"""From D50 to linear sRGB: ICC's profile of sRGB, whose columns are adapted to D50, turned round."""


def profile(space: str, columns: tuple[tuple[float, ...], ...]) -> bytes:
    """A profile of the second version with one gamma (ICC.1:2001-04, 6.1 to 6.5)."""

    def numbers(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(GAMMA * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79
    tags = [(b"desc", text), (b"wtpt", numbers(D50)), (b"cprt", b"text\0\0\0\0none\0\0\0\0")]
    if space == "RGB ":
        tags += [
            (name + b"XYZ", numbers(column)) for name, column in zip((b"r", b"g", b"b"), columns, strict=True)
        ]
        tags += [(name + b"TRC", curve) for name in (b"r", b"g", b"b")]
    else:
        tags += [(b"kTRC", curve)]
    table, body = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, data in tags:
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", begin + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s", begin + len(body), b"lcms", 0x02100000, b"mntr", space.encode(), b"XYZ "
    )
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(68 - 24, b"\0")
    header += struct.pack(">3i", *(round(65536 * value) for value in D50))
    return header.ljust(128, b"\0") + table + body


def as_srgb(colour: tuple[int, int, int], columns: tuple[tuple[float, ...], ...]) -> list[float]:
    """IEC 61966-2-1, 5.2: linear light to the values of sRGB, 0 to 255."""
    light = TO_SRGB @ np.array(columns).T @ (np.array(colour) / 255) ** GAMMA
    light = np.clip(light, 0, 1)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return list(255 * curved)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("space", sorted(PRIMARIES))
def test_colours_of_a_wide_space_are_converted(tmp_path: Path, space: str, suffix: str) -> None:
    colour, path = (190, 120, 90), tmp_path / f"a.{suffix}"
    image = Image.new("RGB", (64, 48), colour)
    image.save(path, icc_profile=profile("RGB ", PRIMARIES[space]), quality=100)
    blue, green, red = read_picture(path).pixels[20, 20].tolist()
    assert [red, green, blue] == pytest.approx(as_srgb(colour, PRIMARIES[space]), abs=4)
    assert abs(red - colour[0]) > 8


def test_grey_has_profiles_too(tmp_path: Path) -> None:
    Image.new("L", (64, 48), 40).save(tmp_path / "a.png", icc_profile=profile("GRAY", ()))
    (value,) = set(read_picture(tmp_path / "a.png").pixels[20, 20].tolist())
    light = (40 / 255) ** GAMMA
    assert value == pytest.approx(255 * (1.055 * light ** (1 / 2.4) - 0.055), abs=1)


@pytest.mark.parametrize(
    "data", [b"no profile", profile("RGB ", PRIMARIES["adobe"])[:200], profile("GRAY", ())]
)
def test_a_profile_that_cannot_be_right_is_ignored(tmp_path: Path, data: bytes) -> None:
    Image.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "a.png", icc_profile=data)
    assert read_picture(tmp_path / "a.png").pixels[20, 20].tolist() == [30, 30, 200]
