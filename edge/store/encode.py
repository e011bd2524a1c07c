"""Encode anonymized frames. This is the last check before the disk: any other type is refused."""

from __future__ import annotations

from pathlib import Path

import cv2

from edge.errors import StoreError
from edge.frames import AnonymizedFrame
from edge.store.durable import make_folder, write_bytes

ENDINGS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "bmp": ".bmp", "tiff": ".tif"}


def encode(frame: AnonymizedFrame, kind: str, quality: int) -> bytes:
    """Encode one anonymized frame. The result holds pixels and no metadata.

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
        good, data = cv2.imencode(ENDINGS[kind], frame.pixels, options[kind])
    except cv2.error as error:
        raise StoreError(f"{kind}: {error}") from error
    if not good:
        raise StoreError(f"{kind}: the encoder failed")
    return data.tobytes()


def write_picture(path: Path, frame: AnonymizedFrame, kind: str, quality: int, *, replace: bool) -> None:
    """Encode one anonymized frame and write it durably under ``path``. Raises StoreError."""
    make_folder(path.parent)
    write_bytes(path, encode(frame, kind, quality), replace=replace)
