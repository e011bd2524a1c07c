"""The pose of the pictures of a Matroska or WebM file (syntax: RFC 8794; elements: RFC 9559)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO

from edge.errors import PictureError

EBML = b"\x1a\x45\xdf\xa3"
"""The first bytes of such a file."""
MAX_ELEMENTS = 100_000
"""How many elements on one level are searched for the right one."""

_SEGMENT, _TRACKS, _TRACK, _TRACK_TYPE, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0xE0
_PROJECTION, _PROJECTION_TYPE, _YAW, _PITCH, _ROLL = 0x7670, 0x7671, 0x7673, 0x7674, 0x7675
_PICTURES = 1
_FLAT = 0
_FLOATS = {4: ">f", 8: ">d"}

Span = tuple[int, int]
"""Where the content of an element begins and ends in the file, in bytes."""


def read_poses(file: BinaryIO, size: int) -> list[tuple[int, ...]]:
    """The pose of each picture track of a file of ``size`` bytes, as a display matrix of nine integers.

    Raises PictureError for a pose that leaves the plane, ValueError or struct.error for a broken header.
    """
    tracks = _first(file, _first(file, (0, size), _SEGMENT), _TRACKS)
    if tracks is None:
        raise ValueError("no list of tracks")
    poses = []
    for name, track in _elements(file, tracks):
        if name == _TRACK and _integer(file, _first(file, track, _TRACK_TYPE)) == _PICTURES:
            poses.append(_pose(file, _first(file, _first(file, track, _VIDEO), _PROJECTION)))
    return poses


def _pose(file: BinaryIO, projection: Span | None) -> tuple[int, ...]:
    yaw, pitch, roll = (_float(file, _first(file, projection, name)) for name in (_YAW, _PITCH, _ROLL))
    if _integer(file, _first(file, projection, _PROJECTION_TYPE)) != _FLAT:
        yaw = pitch = roll = 0.0  # the viewing direction in a sphere; the stored picture is upright
    if pitch or yaw not in (0, 180, -180):
        raise PictureError(
            f"its pose (yaw {yaw:g}, pitch {pitch:g}, roll {roll:g} degrees) leaves the picture's plane; "
            "encode the video again as it is to be shown (ffmpeg -i IN OUT)"
        )
    # A yaw of 180 degrees mirrors first; roll then turns anticlockwise.
    mirror = -1 if yaw else 1
    cosine, sine = (round(part(math.radians(roll)) * 65536) for part in (math.cos, math.sin))
    return (mirror * cosine, -mirror * sine, 0, sine, cosine, 0, 0, 0, 1 << 30)


def _first(file: BinaryIO, within: Span | None, wanted: int) -> Span | None:
    if within is None:
        return None
    return next((span for name, span in _elements(file, within) if name == wanted), None)


def _elements(file: BinaryIO, within: Span) -> Iterator[tuple[int, Span]]:
    """Name and content of the elements on one level."""
    place, end = within
    for _ in range(MAX_ELEMENTS):
        if place >= end:
            return
        file.seek(place)
        name, _ = _variable(file)
        marked, length = _variable(file)
        size = marked - (1 << 7 * length)
        begin = file.tell()
        if size == (1 << 7 * length) - 1:  # unknown when it was written
            size = end - begin
        place = begin + size
        yield name, (begin, min(place, end))
    raise ValueError("too many elements")


def _variable(file: BinaryIO) -> tuple[int, int]:
    """A number of variable length with its marker bit, and its length in bytes."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 9
    rest = file.read(length - 1)
    if length > 8 or len(rest) != length - 1:
        raise ValueError("broken or truncated number")
    return int.from_bytes(first + rest, "big"), length


def _integer(file: BinaryIO, span: Span | None) -> int:
    return int.from_bytes(_content(file, span), "big")


def _float(file: BinaryIO, span: Span | None) -> float:
    data = _content(file, span)
    return float(struct.unpack(_FLOATS[len(data)], data)[0]) if len(data) in _FLOATS else 0.0


def _content(file: BinaryIO, span: Span | None) -> bytes:
    """The bytes of a number; empty when the element is missing, which means 0."""
    if span is None:
        return b""
    if span[1] - span[0] > 8:
        raise ValueError("number of more than 8 bytes")
    file.seek(span[0])
    return file.read(span[1] - span[0])
