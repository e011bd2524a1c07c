"""What a run needs to go on after it was killed, in one file that is replaced as a whole."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from convert.errors import ConvertError
from convert.graphs import Array

PARTIAL = ".part"
"""Ending of a file that is being written."""


def save(file: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name. After a power cut the file holds either these or what it held before."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    partial = file.with_name(file.name + PARTIAL)
    with partial.open("wb") as stream:
        stream.write(content.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)


def load(file: Path) -> dict[str, Array]:
    """Read what ``save`` wrote. Raises ConvertError."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise ConvertError(f"{file}: {error}; it was not written by edge-train fit, or is damaged") from error


def numbered(prefix: str, arrays: list[Array]) -> dict[str, Array]:
    return {f"{prefix}_{number:04}": array for number, array in enumerate(arrays)}


def in_order(prefix: str, stored: Mapping[str, Array]) -> list[Array]:
    return [stored[name] for name in sorted(stored) if name.startswith(f"{prefix}_")]
