"""Which way is up in a video file, read from its bytes.

OpenCV reports the angle of a display matrix but not its mirror, so the matrix itself is read here. MP4 and
MOV have one for the movie and one for each track (ISO/IEC 14496-12, 8.2.2 and 8.3.2), Matroska and WebM have
a pose instead (``edge/sources/matroska.py``), and other containers have neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edge.errors import PictureError
from edge.sources.matroska import EBML, Span, read_poses
from edge.sources.orientation import Orientation, orientation_of

MAX_BOXES = 100_000
"""How many boxes on one level are searched for the right one."""

_FIRST = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"uuid", b"wide", b"free", b"skip", b"pnot")
"""Types of the first box of an MP4 or MOV file."""
_COLUMN_BITS = (16, 16, 30)
"""Fractional bits in the columns of a matrix."""


def read_orientation(path: Path) -> Orientation:
    """How the pictures of a video file are to be shown; as stored when its container does not say.

    Raises OSError, and PictureError when the orientation cannot be read, is not supported, or differs between
    tracks.
    """
    with path.open("rb") as file:
        start = file.read(8)
        size = path.stat().st_size
        try:
            if start[:4] == EBML:
                matrices = read_poses(file, size)
            elif start[4:] in _FIRST:
                matrices = _matrices(file, size)
            else:
                return Orientation()
        except (ValueError, struct.error) as error:
            raise PictureError(f"which way is up cannot be read from its header: {error}") from error
    orientations = {orientation_of(matrix) for matrix in matrices}
    if len(orientations) > 1:
        raise PictureError("its picture tracks are not turned alike; keep one of them")
    return orientations.pop() if orientations else Orientation()


def _matrices(file: BinaryIO, size: int) -> list[tuple[int, ...]]:
    """The matrix of each picture track, multiplied with that of the movie as players do."""
    movie = _first(file, (0, size), b"moov")
    whole = _matrix(file, _first(file, movie, b"mvhd"), 36)
    matrices = []
    for kind, track in _boxes(file, movie):
        if kind == b"trak" and _has_pictures(file, track):
            own = _matrix(file, _first(file, track, b"tkhd"), 40)
            matrices.append(
                tuple(
                    sum(own[row + k] * whole[3 * k + column] >> _COLUMN_BITS[k] for k in range(3))
                    for row in (0, 3, 6)
                    for column in range(3)
                )
            )
    return matrices


def _has_pictures(file: BinaryIO, track: Span) -> bool:
    handler = _first(file, _first(file, track, b"mdia"), b"hdlr")
    return handler is not None and _read(file, handler, 8, 4) == b"vide"


def _matrix(file: BinaryIO, header: Span | None, place: int) -> tuple[int, ...]:
    """The matrix of a header box, at ``place`` in its version 0; in version 1, times take 12 bytes more."""
    if header is None:
        raise ValueError("no header")
    version = _read(file, header, 0, 1)[0]
    return struct.unpack(">9i", _read(file, header, place + 12 * (version == 1), 36))


def _first(file: BinaryIO, within: Span | None, wanted: bytes) -> Span | None:
    if within is None:
        return None
    return next((span for kind, span in _boxes(file, within) if kind == wanted), None)


def _boxes(file: BinaryIO, within: Span | None) -> Iterator[tuple[bytes, Span]]:
    """Type and content of the boxes on one level."""
    place, end = within or (0, 0)
    for _ in range(MAX_BOXES):
        if place + 8 > end:
            return
        size, kind = struct.unpack(">I4s", _read(file, (place, end), 0, 8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", _read(file, (place, end), 8, 8)), 16
        elif size == 0:  # up to the end
            size = end - place
        if not head <= size <= end - place:
            raise ValueError("broken or truncated box")
        yield kind, (place + head, place + size)
        place += size
    raise ValueError("too many boxes")


def _read(file: BinaryIO, span: Span, place: int, count: int) -> bytes:
    begin = span[0] + place
    if begin + count > span[1]:
        raise ValueError("truncated box")
    file.seek(begin)
    data = file.read(count)
    if len(data) != count:
        raise ValueError("truncated file")
    return data
