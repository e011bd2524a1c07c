"""One image on record: is its file as the record says, and is a face still to be found on it?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.audit.files import open_below
from edge.detection.detector import Detector
from edge.detection.rescan import best_score
from edge.errors import DetectionError, PictureError, StoreError
from edge.pictures import MAX_PICTURE_BYTES, decode_picture
from edge.store.encryption import SUFFIX, decrypt


@dataclass(frozen=True)
class Image:
    """An image on record: ``path`` below the store, ``sha256`` and ``size`` of its file."""

    number: int
    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class CheckedImage:
    """What came of an image. ``altered`` says what is wrong with its file; then it was not looked at.
    ``broken`` says why it could not be decoded, ``unseen`` why it could not be looked at for faces;
    ``score`` is that of the surest face on it (None: not looked at, 0: none found)."""

    missing: bool = False
    altered: str = ""
    broken: str = ""
    unseen: str = ""
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Look:
    """How to look for faces. ``identities`` open encrypted images; without any those are not looked at."""

    detector: Detector
    identities: Sequence[Any] = ()

    def can(self, path: str) -> bool:
        """Whether an image of this name can be looked at."""
        return bool(self.identities) or not path.endswith(SUFFIX)


def examine(store: int, image: Image, look: Look | None) -> CheckedImage:
    """Compare an image with its record and, with ``look``, search it for faces."""
    try:
        handle = open_below(store, image.path)
    except FileNotFoundError:
        return CheckedImage(missing=True)
    except OSError as error:
        return CheckedImage(altered=f"cannot be opened: {error.strerror or error}")
    try:
        with open(handle, "rb") as file:
            size = os.fstat(handle).st_size
            if size != image.size:
                return CheckedImage(altered=f"has {size} bytes instead of {image.size}")
            if size > MAX_PICTURE_BYTES:
                return CheckedImage(altered=f"has {size} bytes, more than any image")
            # One more than there should be: it may grow while it is read.
            data = file.read(size + 1)
    except OSError as error:
        return CheckedImage(altered=f"cannot be read: {error.strerror or error}")
    if hashlib.sha256(data).hexdigest() != image.sha256:
        return CheckedImage(altered="its sha256 is not the one on record")
    return _look(image, data, look) if look is not None else CheckedImage()


def _look(image: Image, data: bytes, look: Look) -> CheckedImage:
    try:
        if image.path.endswith(SUFFIX):
            data = decrypt(data, look.identities)
        pixels = decode_picture(data).pixels
    except (PictureError, StoreError) as error:
        return CheckedImage(broken=str(error))
    try:
        return CheckedImage(score=best_score(look.detector, pixels))
    except DetectionError as error:
        return CheckedImage(unseen=str(error))
