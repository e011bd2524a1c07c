"""Check one recorded image: is its file as the record says, and is a face still to be found on it?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.audit.files import open_below
from edge.audit.recorded_searches import RecordedSearches
from edge.detection.detector import Detector
from edge.detection.rescan import best_score
from edge.detection.views import Search
from edge.errors import DetectionError, PictureError, StoreError
from edge.pictures import MAX_PICTURE_BYTES, decode_picture
from edge.store.encryption import SUFFIX, decrypt


@dataclass(frozen=True)
class RecordedImage:
    """An image as record ``number`` describes it: ``path`` below the store, ``sha256`` and ``size`` in bytes
    of its file, its ``camera``, and ``config``, the hash of the settings under which it was stored."""

    number: int
    path: str
    sha256: str
    size: int
    camera: str
    config: str


@dataclass(frozen=True)
class CheckedImage:
    """The result for one image. ``altered`` says what is wrong with its file, which is then not searched for
    faces. ``undecodable`` says why it could not be decoded and ``rescan_error`` why the detector failed on
    it. ``score`` (0..1) is that of the most certain face; None: not searched, 0: no face found. ``search`` is
    what was looked for."""

    missing: bool = False
    altered: str = ""
    undecodable: str = ""
    rescan_error: str = ""
    score: float | None = None
    search: Search | None = None


@dataclass(frozen=True, eq=False)
class Rescan:
    """What is needed to search stored images for faces, each for those that the box looked for in it.
    Encrypted images are skipped unless there are ``identities`` to open them."""

    detector: Detector
    searches: RecordedSearches
    identities: Sequence[Any] = ()

    def can_open(self, path: str) -> bool:
        """Whether an image of this name is unencrypted, or there is a key to open it with."""
        return bool(self.identities) or not path.endswith(SUFFIX)


def check_image(store: int, image: RecordedImage, rescan: Rescan | None) -> CheckedImage:
    """Compare an image with its record and, with ``rescan``, search it for faces."""
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
            # One byte too many, in case the file grows while it is being read.
            data = file.read(size + 1)
    except OSError as error:
        return CheckedImage(altered=f"cannot be read: {error.strerror or error}")
    if hashlib.sha256(data).hexdigest() != image.sha256:
        return CheckedImage(altered="its sha256 is not the recorded one")
    return CheckedImage() if rescan is None else _search(image, data, rescan)


def _search(image: RecordedImage, data: bytes, rescan: Rescan) -> CheckedImage:
    try:
        if image.path.endswith(SUFFIX):
            data = decrypt(data, rescan.identities)
        pixels = decode_picture(data).pixels
    except (PictureError, StoreError) as error:
        return CheckedImage(undecodable=str(error))
    search = rescan.searches.of(image.config, image.camera)
    try:
        return CheckedImage(score=best_score(rescan.detector, pixels, search), search=search)
    except DetectionError as error:
        return CheckedImage(rescan_error=str(error))
