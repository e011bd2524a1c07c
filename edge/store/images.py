"""Encode anonymized frames, and put a camera's images where they belong.

Names are made of UTC time and a counter, never of anything that a camera says.
"""

from __future__ import annotations

import itertools
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import cv2

from edge.config import StoreConfig
from edge.errors import StoreError
from edge.frames import AnonymizedFrame
from edge.store.durable import make_folder, write_bytes

_ENDINGS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "bmp": ".bmp", "tiff": ".tif"}


def encode(frame: AnonymizedFrame, kind: str, quality: int) -> bytes:
    """Encode one anonymized frame; the file carries pixels and no metadata.

    ``kind`` is jpeg, png, webp, bmp or tiff; ``quality`` is 1..100 for jpeg and webp. Raises
    StoreError, and TypeError for anything that is not an AnonymizedFrame.
    """
    if type(frame) is not AnonymizedFrame:
        raise TypeError(f"the store takes an AnonymizedFrame, not {type(frame).__name__}")
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 3],
        "bmp": [],
        "tiff": [],
    }
    if kind not in options:
        raise StoreError(f"unknown image format {kind!r}; use one of {', '.join(options)}")
    try:
        good, data = cv2.imencode(_ENDINGS[kind], frame.pixels, options[kind])
    except cv2.error as error:
        raise StoreError(f"{kind}: {error}") from error
    if not good:
        raise StoreError(f"{kind}: the encoder failed")
    return data.tobytes()


def write_picture(path: Path, frame: AnonymizedFrame, kind: str, quality: int, *, replace: bool) -> None:
    """Encode one anonymized frame and write it durably under ``path``. Raises StoreError."""
    make_folder(path.parent)
    write_bytes(path, encode(frame, kind, quality), replace=replace)


class ImageStore:
    """``FOLDER/CAMERA/YYYY-MM-DD/YYYYMMDDTHHMMSS.mmmZ-NNNNNN.ending`` (UTC).

    ``encode_seconds`` and ``write_seconds`` say how long the last write took, ``size_bytes`` how large it is.
    """

    def __init__(self, config: StoreConfig) -> None:
        self.folder = config.folder
        self._kind = config.format
        self._quality = config.quality
        self._counter = itertools.count(1)
        self._lock = threading.Lock()
        self.encode_seconds = 0.0
        self.write_seconds = 0.0
        self.size_bytes = 0

    def write(self, frame: AnonymizedFrame) -> Path:
        """Store one image durably and return its path. Raises StoreError."""
        begin = time.perf_counter()
        data = encode(frame, self._kind, self._quality)
        encoded = time.perf_counter()
        path = self._path(frame)
        make_folder(path.parent)
        write_bytes(path, data)
        self.size_bytes = len(data)
        self.encode_seconds = encoded - begin
        self.write_seconds = time.perf_counter() - encoded
        return path

    def _path(self, frame: AnonymizedFrame) -> Path:
        moment = datetime.fromtimestamp(frame.utc_ns // 1_000_000 / 1000, timezone.utc)
        with self._lock:
            count = next(self._counter)
        stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
        name = f"{stamp}-{count:06d}{_ENDINGS[self._kind]}"
        return self.folder / frame.camera / f"{moment:%Y-%m-%d}" / name
