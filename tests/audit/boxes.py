"""Stores as a box leaves them, their records, and what an audit finds in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge import blur
from edge.audit import AuditResult, Options, audit_store
from edge.config import AuditConfig, BlurConfig, StoreConfig, make_config
from edge.daemon.recorded_settings import settings_of
from edge.frames import Pixels, RawFrame
from edge.store import log_format
from edge.store.images import Entry, ImageStore
from edge.store.retention import MEGABYTE

NO_RESCAN = Options(sample=0)
BASE_NS = 1_790_000_000_000_000_000
COUNTS = {
    "front": {"captured": 9, "written": 4, "dropped": {"stale": 3}, "covered_whole": {"too_dark": 1}},
    "yard": {"captured": 5, "written": 3, "dropped": {"stale": 1, "overtaken": 1}, "covered_whole": {}},
}
Record = dict[str, Any]
Edit = Callable[[list[Record]], None]


def entry(number: int, camera: str = "front", pixels: Pixels | None = None, **counted: Any) -> Entry:
    if pixels is None:
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    raw = RawFrame(pixels, camera, number, 0.0, 0.0, BASE_NS + number * 10**9)
    boxes = np.array([[20, 15, 30, 27]], np.float32)
    return Entry(blur.anonymize(raw, boxes, BlurConfig()), **counted)


def open_box(folder: Path, rotate_bytes: int = 5000, **table: Any) -> ImageStore:
    """The store as the daemon opens it for a configuration."""
    config = make_config({"store": {"folder": folder, "format": "png"}, **table}, "test")
    audit = AuditConfig(rotate_megabytes=rotate_bytes / MEGABYTE)
    return ImageStore(config.store, audit, settings=settings_of(config), detector="ab" * 32)


def run_box(folder: Path, numbers: Sequence[int], *, stop: bool = True, **table: Any) -> ImageStore:
    """One run of the daemon that stores images, two at a time, and ends."""
    box = open_box(folder, **table)
    box.open()
    for number in numbers:
        dropped = {"stale": number - numbers[0]}
        pair = [entry(number, dropped=dropped), entry(number, "yard", held=1)]
        assert all(isinstance(path, Path) for path in box.write(pair))
    if stop:
        box.record("stop", COUNTS)
    box.close()
    return box


def audit(store: Path, options: Options = NO_RESCAN) -> AuditResult:
    return audit_store(store, options, lambda done, total: None)


def wrongs(result: AuditResult) -> dict[str, list[str]]:
    """The findings that are wrong, by check, as ``where: what``."""
    return {
        check.name: [f"{e.where}: {e.what}" for e in check.wrong.examples]
        for check in result.checks
        if check.wrong.count
    }


def notes(result: AuditResult, name: str) -> list[str]:
    (check,) = (check for check in result.checks if check.name == name)
    return [f"{e.where}: {e.what}" for e in check.notes.examples]


def images(store: Path) -> list[Path]:
    return sorted(store.rglob("*.png"))


def relative(store: Path, path: Path) -> str:
    return path.relative_to(store).as_posix()


def read_records(store: Path) -> list[list[Record]]:
    files = log_format.log_files(store)
    return [[log_format.decode_line(line) for line in path.read_bytes().splitlines()] for path in files]


def rechain(store: Path, edit: Edit) -> None:
    """Change records and recompute every hash, as someone could who may write everything."""
    head, files = log_format.GENESIS, read_records(store)
    records = [record for file in files for record in file]
    edit(records)
    for path in log_format.log_files(store):
        path.unlink()
    lines = []
    for number, record in enumerate(records, 1):
        lines.append(log_format.encode_record({**record, "n": number, "previous": head}))
        head = log_format.hash_line(lines[-1])
    (store / log_format.FOLDER / log_format.file_name(1)).write_bytes(
        b"".join(line + b"\n" for line in lines)
    )


def edit_lines(path: Path, edit: Callable[[list[bytes]], None]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    path.write_bytes(b"".join(lines))


def torn(store: Path, data: bytes = b'{"n":25,"previous":"12') -> str:
    path = log_format.log_files(store)[-1]
    with path.open("ab") as file:
        file.write(data)
    return path.name


def small_store(folder: Path, megabytes: float) -> ImageStore:
    config = StoreConfig(folder=folder, format="png", quota_megabytes=megabytes)
    return ImageStore(config, AuditConfig(rotate_megabytes=0.002))


def big_entry(number: int) -> Entry:
    return entry(number, pixels=np.random.default_rng(number).integers(0, 256, (300, 320, 3), np.uint8))
