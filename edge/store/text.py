"""Write text files: reports, sample configurations, keys. No pixels pass through here."""

from __future__ import annotations

from pathlib import Path

from edge.store.durable import make_folder, write_bytes


def write_text(path: Path, text: str, *, replace: bool = False) -> None:
    """Write UTF-8 text durably. Raises StoreError, also when the file exists and ``replace`` is false."""
    make_folder(path.parent)
    write_bytes(path, text.encode(), replace=replace)
