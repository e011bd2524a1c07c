"""Images of a stretch of time, by their names."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

from edge.errors import StoreError

_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3})Z-(\d{6,})\.(jpg|png|webp)(\.age)?")


def read_name(name: str) -> tuple[datetime, str] | None:
    """When the image of this file name was captured (UTC), and the digits of its number; None for a name that
    no store gives.

    >>> moment, number = read_name("20261127T220934.338Z-000002.jpg")
    >>> moment.isoformat(), number
    ('2026-11-27T22:09:34.338000+00:00', '000002')
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S.%f").replace(tzinfo=timezone.utc), match[2]
    except ValueError:
        return None


def captured_at(name: str) -> datetime | None:
    """When the image of this file name was captured (UTC); None for a name that no store gives."""
    read = read_name(name)
    return None if read is None else read[0]


def images_between(store: Path, first: datetime, last: datetime, camera: str | None = None) -> list[Path]:
    """The images of one camera, or of all, that were captured from ``first`` to ``last``, oldest first.

    Links are not followed. Raises StoreError when the store cannot be read.
    """
    found = []
    try:
        for lane in store.iterdir():
            wanted = not lane.name.startswith((".", "_")) and camera in (None, lane.name)
            if not wanted or lane.is_symlink() or not lane.is_dir():
                continue
            for path in lane.glob("*/*"):
                moment = captured_at(path.name)
                plain = path.is_file() and not path.is_symlink() and not path.parent.is_symlink()
                if moment is not None and first <= moment <= last and plain:
                    found.append((moment, path))
    except OSError as error:
        raise StoreError(f"{store}: cannot be read: {error.strerror or error}") from error
    return [path for _, path in sorted(found)]
