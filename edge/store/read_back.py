"""Read a stored image back: the preview shows files from the store, never pictures from memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_LARGEST_BYTES = 64 * 2**20


def read_image(path: Path) -> tuple[bytes, str] | None:
    """Bytes and media type of a stored image; None if it is gone or not a regular image file."""
    media_type = MEDIA_TYPES.get(path.suffix)
    if media_type is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # removed in the meantime, or replaced by a link
        return None
    try:
        with open(handle, "rb") as file:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_BYTES:
                return None
            return file.read(), media_type
    except OSError:  # the disk fails, which the store itself reports
        return None
