"""The hunt for a known pattern in files, answers and logs: raw, as a picture, packed, or written as text."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from tests.privacy.world import FACE, Bytes

RUN = 24
"""So many bytes of the pattern in a row are a find: eight pixels, or 24 of one plane."""
ROW_PIXELS = 16
"""Where in each row of the pattern the run is taken, in pixels from its left side."""
SCALES = (1.0, 0.5, 0.25)
ALIKE = 0.5
"""Correlation (TM_CCOEFF_NORMED) from which a picture shows the pattern. Raw frames have more than 0.8 at
JPEG quality 30, what is stored of them less than 0.35."""
PAGE, CHUNK = 4096, 1 << 20
MOST_PACKED, MOST_UNPACKED, MOST_PICTURE = 4 << 20, 8 << 20, 4 << 20
DEPTH = 3
"""A packed picture in a text in a packed text is still found."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{32,}|[A-Za-z0-9_-]{32,}")
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_HEX = re.compile(rb"[0-9A-Fa-f]{48,}")
_NUMBERS = re.compile(rb"(?:[0-9]{1,3}[\s,;\[\]()]+){23,}[0-9]{1,3}")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})|\\([nrt\\'])")
_ESCAPES = re.compile(rb"[ -~]{32,}")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_ONLY_FIRST = (b"BM", b"II*\0", b"MM\0*")
_PACKED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b\x08")


def _known(one: bytes) -> npt.NDArray[np.bool_]:
    """Whether a regular expression matches each byte from 0 to 255."""
    return np.array([re.match(one, bytes([byte])) is not None for byte in range(256)])


_BASE64_BYTES = _known(rb"[A-Za-z0-9+/_-]")
_HEX_BYTES = _known(rb"[0-9A-Fa-f]")
_NUMBER_BYTES = _known(rb"[0-9\s,;\[\]()]")
_TEXT_BYTES = _known(rb"[ -~]")


class Hunter:
    """Looks for the pattern of each of ``frames`` (uint8 ``[H, W, 3]`` BGR, as the daemon sees them), and for
    ``packets``, the frames as their camera encoded them."""

    def __init__(self, frames: Sequence[Bytes], packets: Sequence[bytes] = ()) -> None:
        self._runs = dict(_runs(frames, packets))
        self._first = np.zeros(1 << 24, np.bool_)
        for run in self._runs:
            self._first[int.from_bytes(run[:3], "little")] = True
        self._templates = list(_templates(frames))
        self._pictures: dict[bytes, str] = {}
        self._clean: set[bytes] = set()

    def hunt(
        self, paths: Sequence[Path] = (), bodies: Mapping[str, bytes] | None = None, log: str = ""
    ) -> list[str]:
        """All finds, each with its place and form, in files, in answers by name, and in a log."""
        finds = [f"{path}: {form}" for path in paths for form in self.search(path.read_bytes())]
        for name, body in (bodies or {}).items():
            finds += [f"answer {name}: {form}" for form in self.search(body)]
        return finds + [f"log: {form}" for form in self.search(log.encode("utf-8", "surrogateescape"))]

    def search(self, data: bytes, depth: int = DEPTH) -> list[str]:
        """In which forms the pattern is in some bytes."""
        digest = hashlib.sha256(data).digest()
        if digest in self._clean:
            return []
        data = without_gaps(data)
        finds = sorted(set(self._find_runs(data)) | set(self._find_pictures(data)))
        if depth:
            for name, inner in _unpacked(data):
                if len(inner) >= RUN:
                    finds += [f"{name} of {form}" for form in self.search(inner, depth - 1)]
        if not finds:
            self._clean.add(digest)
        return finds

    def likeness(self, pixels: Bytes) -> float:
        """Highest correlation of any pattern with any place of uint8 ``[H, W, 3]`` BGR."""
        return max((value for value, _ in self._correlations(pixels)), default=0.0)

    def _find_runs(self, data: bytes) -> Iterator[str]:
        for begin in range(0, len(data), CHUNK):
            chunk = np.frombuffer(data[begin : begin + CHUNK + RUN], np.uint8)
            for offset in range(4):
                words = chunk[offset : offset + (len(chunk) - offset) // 4 * 4].view("<u4")
                for index in np.flatnonzero(self._first[words & 0xFFFFFF]):
                    at = begin + offset + 4 * int(index)
                    form = self._runs.get(data[at : at + RUN])
                    if form is not None:
                        yield form

    def _find_pictures(self, data: bytes) -> Iterator[str]:
        for begin in _pictures(data):
            blob = _cut(data, begin)
            digest = hashlib.sha256(blob).digest()
            if digest not in self._pictures:
                self._pictures[digest] = self._judge(blob)
            if self._pictures[digest]:
                yield self._pictures[digest]

    def _judge(self, blob: bytes) -> str:
        try:
            pixels = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # larger than OpenCV decodes at all
            return ""
        if pixels is None:
            return ""
        best = max(self._correlations(np.asarray(pixels, np.uint8)), default=(0.0, ""))
        return f"picture of {best[1]} ({best[0]:.2f})" if best[0] >= ALIKE else ""

    def _correlations(self, pixels: Bytes) -> Iterator[tuple[float, str]]:
        grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        for template, name in self._templates:
            if grey.shape[0] >= template.shape[0] and grey.shape[1] >= template.shape[1]:
                found = cv2.matchTemplate(np.asarray(grey, np.uint8), template, cv2.TM_CCOEFF_NORMED)
                yield float(np.nan_to_num(found, posinf=0, neginf=0).max()), name


def _runs(frames: Sequence[Bytes], packets: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
    x1, y1, x2, y2 = FACE
    for number, frame in enumerate(frames):
        luma = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)[: len(frame)]
        orders: dict[str, npt.NDArray[np.generic]] = {
            "blue-green-red": frame,
            "red-green-blue": frame[..., ::-1],
            "grey": cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY),
            "luma": luma,
            "a plane of blue": frame[..., 0],
            "a plane of green": frame[..., 1],
            "a plane of red": frame[..., 2],
            "floats": frame[..., ::-1].astype("<f4"),
        }
        for name, pixels in orders.items():
            for row in pixels[y1:y2, x1 + ROW_PIXELS : x2]:
                # A float begins with zeros, of which there are many elsewhere
                yield row.tobytes()[2 if name == "floats" else 0 :][:RUN], f"{name} of frame {number}"
    for number, packet in enumerate(packets):
        for begin in range(256, len(packet) - RUN, 64):
            run = packet[begin : begin + RUN]
            if len(set(run)) > RUN // 2:  # not a row of equal bytes, which are everywhere
                yield run, f"the camera's own data of frame {number}"


def _templates(frames: Sequence[Bytes]) -> Iterator[tuple[npt.NDArray[np.uint8], str]]:
    x1, y1, x2, y2 = FACE
    for number, frame in enumerate(frames):
        grey = cv2.cvtColor(frame[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
        for scale in SCALES:
            small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            yield np.asarray(small, np.uint8), f"frame {number} at scale {scale:g}"


def _pictures(data: bytes) -> Iterator[int]:
    """Where pictures may begin."""
    for signature in _SIGNATURES:
        if signature in _ONLY_FIRST:
            if data.startswith(signature):
                yield 0
            continue
        yield from _places(data, signature)


def _cut(data: bytes, begin: int) -> bytes:
    """The picture that begins there, no longer than it says itself: so it is known again in another place."""
    blob = data[begin : begin + MOST_PICTURE]
    if blob.startswith(b"RIFF"):
        return blob[: 8 + int.from_bytes(blob[4:8], "little")]
    if blob.startswith(b"\x89PNG"):
        end = blob.find(b"IEND")
        return blob if end < 0 else blob[: end + 8]
    if blob.startswith(b"\xff\xd8"):
        end = blob.find(b"\xff\xd9", _scan_of(blob))
        return blob + b"\xff\xd9" if end < 0 else blob[: end + 2]  # OpenCV takes a part that has an end
    return blob


def _scan_of(blob: bytes) -> int:
    """Where the scan of a JPEG file begins; the segments before it may hold another JPEG file."""
    at = 2
    while blob[at : at + 1] == b"\xff" and blob[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(blob[at + 2 : at + 4], "big")
    return at


def _places(data: bytes, word: bytes) -> Iterator[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + 1)


def without_gaps(data: bytes) -> bytes:
    """A disk without the long stretches on which nothing was ever written."""
    if len(data) < CHUNK:
        return data
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    return b"".join(page for page in pages if page.count(0) < len(page))


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What is in some bytes in another form: compressed, or written as text."""
    view = memoryview(data)
    for form in _PACKED:
        for at in _places(data, form):
            yield "zlib", _inflated(view[at : at + MOST_PACKED])
    flat = re.sub(rb"[\r\n]+", b"", data)  # base64 is often broken into lines
    for text in (data, flat) if flat != data else (data,):
        codes = [code.translate(_URLSAFE) for code in _matches(_BASE64, _BASE64_BYTES, 32, text)]
        yield "base64", b"\0".join(_from_base64(code[skip:]) for code in codes for skip in range(4))
        digits = list(_matches(_HEX, _HEX_BYTES, 48, text))
        yield "hex", b"\0".join(_from_hex(digit[skip:]) for digit in digits for skip in range(2))
    numbers = [re.findall(rb"[0-9]+", match) for match in _matches(_NUMBERS, _NUMBER_BYTES, 47, data)]
    yield "numbers", b"\0".join(bytes(int(number) & 255 for number in row) for row in numbers)
    escaped = [text for text in _matches(_ESCAPES, _TEXT_BYTES, 32, data) if b"\\x" in text]
    yield "escapes", b"\0".join(_ESCAPE.sub(_from_escape, text) for text in escaped)


def _matches(
    pattern: re.Pattern[bytes], known: npt.NDArray[np.bool_], least: int, data: bytes
) -> Iterator[bytes]:
    """All that matches a pattern of at least ``least`` bytes, all of them ``known``. Finds what ``finditer``
    finds, and is quicker in the bytes of a disk, where such stretches are rare."""
    ends = np.flatnonzero(np.diff(known[np.frombuffer(data, np.uint8)], prepend=False, append=False))
    for begin, end in ends.reshape(-1, 2)[ends[1::2] - ends[::2] >= least].tolist():
        yield from (match[0] for match in pattern.finditer(data, begin, end))


def _inflated(packed: memoryview) -> bytes:
    """What a zlib or gzip stream holds, as far as it is whole."""
    stream, inner = zlib.decompressobj(wbits=47), bytearray()
    for begin in range(0, len(packed), PAGE):
        try:
            inner += stream.decompress(packed[begin : begin + PAGE])
        except zlib.error:
            break
        if stream.eof or len(inner) > MOST_UNPACKED:
            break
    return bytes(inner)


def _from_base64(code: bytes) -> bytes:
    whole = code[:-1] if len(code) % 4 == 1 else code
    return base64.b64decode(whole + b"=" * (-len(whole) % 4))


def _from_hex(digits: bytes) -> bytes:
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))


def _from_escape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 16)])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(match[2], match[2])
