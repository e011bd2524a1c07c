"""Publish a build: everything is written to a draft folder first and then moved, never half.

Each file is flushed to the disk before it is moved. The ``.sha256`` of a detector is moved last: the box
takes no detector without it, nor one that does not match it, so a build that is interrupted while it
publishes leaves nothing that the box would load by mistake.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from convert.result import BuiltDetector

REPORTS = ("report.json", "report.md")


@contextlib.contextmanager
def open_draft(out: Path) -> Iterator[Path]:
    """An empty folder on the same disk as ``out``, removed at the end.

    ``out`` is made when it is missing, and removed again when nothing was published in it.
    """
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".edge-convert-", dir=out) as folder:
            yield Path(folder)
    finally:
        if not existed and not any(out.iterdir()):
            out.rmdir()


def write_detector(path: Path, data: bytes) -> str:
    """Write an ONNX file and its ``.sha256`` beside it; return the hash."""
    digest = hashlib.sha256(data).hexdigest()
    _write(path, data)
    _write(path.with_suffix(".sha256"), f"{digest}  {path.name}\n".encode("ascii"))
    return digest


def write_report(path: Path, text: str) -> None:
    """Write one of ``REPORTS``."""
    _write(path, text.encode())


def publish(detectors: Sequence[BuiltDetector], draft: Path, out: Path) -> tuple[BuiltDetector, ...]:
    """Move detectors, reports and last the hashes from ``draft`` to ``out``; return the moved detectors."""
    names = [detector.path.name for detector in detectors]
    for name in (*names, *REPORTS):
        os.replace(draft / name, out / name)
    _flush_folder(out)
    for name in names:
        digest = Path(name).with_suffix(".sha256").name
        os.replace(draft / digest, out / digest)
    _flush_folder(out)
    return tuple(dataclasses.replace(detector, path=out / detector.path.name) for detector in detectors)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
