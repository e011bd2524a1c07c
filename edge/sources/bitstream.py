"""What the bytes of H.264 and H.265 tell of loss, and FFmpeg does not (ITU-T H.264, H.265).

FFmpeg misses a lost reference picture of H.264 where pictures between others refer to each other, and decodes
bytes that no encoder writes, such as those of a hole in a file, into some picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ILLEGAL = re.compile(rb"\x00\x00(?:[\x00\x02]|\x03[\x04-\xff])")
"""What no unit may contain (H.264, 7.4.1; H.265, 7.4.2): a decoder would take it for the begin of one."""
_HEADER_BYTES = 40
"""The begin of a slice, more than what is read of it."""
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
"""Profiles whose parameter sets say more of colours (H.264, 7.3.2.1.1)."""


class Bitstream:
    """Looks at the packets of one stream before they are decoded."""

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        """``codec`` as FFmpeg names it; nothing is found in others than ``h264`` and ``hevc``."""
        self._codec = codec
        self._length = _length_size(codec, extradata or b"")
        self._frame_numbers = FrameNumbers()
        if codec == "h264" and extradata:
            self._frame_numbers.read_sets(_sets(extradata) if self._length else _units(extradata, 0))

    def forget(self) -> None:
        """Begin anew with the next packet, whatever came before."""
        self._frame_numbers.forget()

    @property
    def may_continue(self) -> bool:
        """Whether a picture may come in several packets. Where start codes separate the units, it may: some
        cameras repeat their parameter sets before each slice, which looks like the begin of a picture."""
        return self._codec in ("h264", "hevc") and not self._length

    def continues(self, data: bytes) -> bool:
        """Whether a packet goes on with the picture of the one before it."""
        if not self.may_continue:
            return False
        head = 1 if self._codec == "h264" else 2
        unit = next((unit for unit in _units(data, 0) if unit and _is_slice(self._codec, unit)), b"")
        # The number of the first macroblock, of which 0 begins with a set bit, or the flag of the first slice
        return len(unit) > head and not unit[head] & 0x80

    def sign(self, data: bytes) -> str:
        """A sign of loss in a packet or before it; empty when there is none."""
        if self._codec not in ("h264", "hevc"):
            return ""
        units = [unit for unit in _units(data, self._length) if unit]
        if any(_is_slice(self._codec, unit) and ILLEGAL.search(unit) for unit in units):
            return "the data are damaged"
        if self._codec == "h264":
            try:
                return "an earlier picture is missing" if self._frame_numbers.gap(units) else ""
            except IndexError:  # a header ends too early
                return "the data are damaged"
        return ""


class FrameNumbers:
    """Follows ``frame_num`` of H.264: it rises by one after each picture that others refer to (7.4.3)."""

    def __init__(self) -> None:
        self._bits: dict[int, tuple[int, bool, bool]] = {}  # by set: bits, gaps are allowed, planes apart
        self._set_of: dict[int, int] = {}  # picture parameter set -> sequence parameter set
        self._last: int | None = None

    def forget(self) -> None:
        self._last = None

    def read_sets(self, units: Iterator[bytes] | list[bytes]) -> None:
        """Read the parameter sets among units."""
        for unit in units:
            kind = unit[0] & 31 if unit else 0
            if kind == 7:
                number, described = _sequence_set(_Bits(unit[1:]))
                self._bits[number] = described
            elif kind == 8:
                bits = _Bits(unit[1:_HEADER_BYTES])
                picture = bits.unsigned()
                self._set_of[picture] = bits.unsigned()

    def gap(self, units: list[bytes]) -> bool:
        """Whether a picture that others refer to is missing before the one of these units. Raises IndexError
        when a header is cut off."""
        self.read_sets(units)
        unit = next((unit for unit in units if unit[0] & 31 in (1, 2, 5)), None)
        if unit is None:
            return False
        bits = _Bits(unit[1:_HEADER_BYTES])
        bits.unsigned()  # its first macroblock
        bits.unsigned()  # its type
        described = self._bits.get(self._set_of.get(bits.unsigned(), -1))
        if described is None:
            return False  # the decoder says so
        length, gaps_allowed, planes = described
        bits.take(2 * planes)
        number, last = bits.take(length), self._last
        begins, referred = unit[0] & 31 == 5, unit[0] & 0x60
        if referred:
            self._last = number
        if begins or gaps_allowed or last is None:
            return False
        # A second field has the number of the first
        return number not in (last, (last + 1) % (1 << length))


def _sequence_set(bits: _Bits) -> tuple[int, tuple[int, bool, bool]]:
    profile = bits.take(24) >> 16
    number = bits.unsigned()
    planes = False
    if profile in _HIGH:
        chroma = bits.unsigned()
        planes = chroma == 3 and bool(bits.take(1))
        bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for place in range(12 if chroma == 3 else 8):
                _skip_scaling_list(bits, 16 if place < 6 else 64)
    length = bits.unsigned() + 4
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.unsigned()
        bits.unsigned()
        for _ in range(min(bits.unsigned(), 255)):
            bits.unsigned()
    bits.unsigned()
    return number, (length, bool(bits.take(1)), planes)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    if not bits.take(1):
        return
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.unsigned()
            following = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        last = following or last


class _Bits:
    """Reads bits and Exp-Golomb numbers (9.1). Raises IndexError at the end."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\0\0\3", b"\0\0")  # bytes that keep a unit from looking like the begin of one
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _is_slice(codec: str, unit: bytes) -> bool:
    return unit[0] & 31 in (1, 2, 3, 4, 5) if codec == "h264" else unit[0] >> 1 & 63 < 32


def _length_size(codec: str, extradata: bytes) -> int:
    """How many bytes give the length of each unit; 0 where start codes separate them (ISO/IEC 14496-15)."""
    place = 4 if codec == "h264" else 21
    return (extradata[place] & 3) + 1 if len(extradata) > place and extradata[0] == 1 else 0


def _sets(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets of an ``avcC`` box (ISO/IEC 14496-15, 5.3.3.1)."""
    place = 5
    for mask in (31, 255):
        count = extradata[place] & mask if place < len(extradata) else 0
        place += 1
        for _ in range(count):
            size = int.from_bytes(extradata[place : place + 2], "big")
            yield extradata[place + 2 : place + 2 + size]
            place += 2 + size


def _units(data: bytes, length: int) -> Iterator[bytes]:
    if not length:
        yield from (unit.rstrip(b"\0") for unit in data.split(b"\0\0\1"))
        return
    place = 0
    while place + length < len(data):
        size = int.from_bytes(data[place : place + length], "big")
        place += length
        yield data[place : place + size]
        place += size
