"""Find in the end of the log what a killed process or a power failure left half done, and clean it up."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edge.errors import StoreError
from edge.store.durable import flush_folder, is_temporary
from edge.store.log_format import Record

TAIL_IMAGES = 16
"""At most this many of the last recorded images can lack their names; a group is smaller."""


def images_without_name(store: Path, records: Sequence[Record]) -> list[str]:
    """Images at the end of the log that never got their names, as paths below the store.

    Raises StoreError when the store cannot be read.
    """
    # What was missing at the last start, or at a regular stop, was not lost since.
    ends = [number for number, record in enumerate(records, 1) if record["event"] in ("start", "stop")]
    open_records = records[ends[-1] :] if ends else records
    gone = {
        image
        for record in open_records
        if record["event"] in ("not_stored", "purged")
        for image in record["images"]
    }
    images = [image for image in _last_images(open_records) if image not in gone]
    try:
        return [image for image in images if not (store / image).exists()]
    except OSError as error:
        raise StoreError(f"{store}: {error.strerror or error}") from error


def remove_temporaries(store: Path, records: Sequence[Record]) -> None:
    """Remove files with temporary names beside the last images, which only filesystems without O_TMPFILE
    have. Raises StoreError."""
    try:
        for folder in {(store / image).parent for image in _last_images(records)}:
            with contextlib.suppress(FileNotFoundError):
                for path in list(folder.iterdir()):
                    if is_temporary(path.name):
                        path.unlink()
    except OSError as error:
        raise StoreError(f"{store}: {error.strerror or error}") from error


def finish_removals(store: Path, records: Sequence[Record], reasons: Sequence[str]) -> None:
    """Remove the images that, according to the last records, were to be removed for one of these reasons, in
    case the process ended before that was done. Raises StoreError."""
    purged = [record for record in records if record["event"] == "purged" and record["why"] in reasons]
    for path, why in [(store / image, record["why"]) for record in purged for image in record["images"]]:
        try:
            if path.exists():
                path.unlink()
                flush_folder(path.parent)
        except OSError as error:
            text = f"recorded as removed ({why}), but cannot be removed: {error.strerror or error}; remove it"
            raise StoreError(f"{path}: {text}") from error


def _last_images(records: Sequence[Record]) -> list[str]:
    return [record["image"] for record in records if record["event"] == "image"][-TAIL_IMAGES:]
