"""What a process that was killed, or the power, left half done, told by the end of the log."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from edge.errors import StoreError
from edge.store.log_format import Record
from edge.store.durable import flush_folder, is_temporary

TAIL_IMAGES = 16
"""So many of the last images on record may lack their names; a group is smaller."""


def images_without_name(store: Path, records: Sequence[Record]) -> list[str]:
    """Images at the end of a log that never got their name, as paths below the store.

    Raises StoreError when nobody can tell.
    """
    # What was missing at the start before, or when the process ended well, is not lost now.
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


def finish_removals(store: Path, records: Sequence[Record], why: str) -> None:
    """Remove images of which the last records say that they are removed for this reason: the process may have
    ended before that was done. Raises StoreError."""
    purged = [record for record in records if record["event"] == "purged" and record["why"] == why]
    for path in [store / image for record in purged for image in record["images"]]:
        try:
            if path.exists():
                path.unlink()
                flush_folder(path.parent)
        except OSError as error:
            text = f"on record as removed ({why}), but it cannot be: {error.strerror or error}; remove it"
            raise StoreError(f"{path}: {text}") from error


def _last_images(records: Sequence[Record]) -> list[str]:
    return [record["image"] for record in records if record["event"] == "image"][-TAIL_IMAGES:]
