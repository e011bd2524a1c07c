"""What a process that was killed, or the power, left half done, told by the end of the log."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edge.errors import StoreError
from edge.store.chain import Record
from edge.store.durable import is_temporary

TAIL_IMAGES = 64
"""So many of the last images on record may lack their names, or be named without their record having been
answered; a group is smaller."""


def images_without_name(store: Path, records: Sequence[Record]) -> list[str]:
    """Images at the end of a log that never got their name, as paths below the store.

    Raises StoreError when nobody can tell.
    """
    gone = {
        image
        for record in records
        if record["event"] in ("not_stored", "purged")
        for image in record["images"]
    }
    gone.update(image for record in records if record["event"] == "start" for image in record["not_stored"])
    images = [image for image in _last_images(records) if image not in gone]
    try:
        return [image for image in images if not (store / image).exists()]
    except OSError as error:
        raise StoreError(f"{store}: {error.strerror or error}") from error


def remove_temporaries(store: Path, records: Sequence[Record]) -> None:
    """Remove files with a temporary name beside the last images; only filesystems without O_TMPFILE have
    any. Raises StoreError."""
    try:
        for folder in {(store / image).parent for image in _last_images(records)}:
            with contextlib.suppress(FileNotFoundError):
                for path in list(folder.iterdir()):
                    if is_temporary(path.name):
                        path.unlink()
    except OSError as error:
        raise StoreError(f"{store}: {error.strerror or error}") from error


def _last_images(records: Sequence[Record]) -> list[str]:
    return [record["image"] for record in records if record["event"] == "image"][-TAIL_IMAGES:]
