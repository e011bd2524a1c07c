"""A store on a machine whose clocks a test sets."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import blur
from edge.audit import record_fields
from edge.boxes import NO_BOXES
from edge.commands import doctor_clock
from edge.config import AuditConfig, BlurConfig, StoreConfig
from edge.frames import RawFrame
from edge.store import clock_evidence, names, retention, trusted_clock
from edge.store.images import Entry, ImageStore
from tests.store.records import records_of

DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0
BEGIN = datetime(2026, 7, 14, 12, tzinfo=timezone.utc).timestamp()
FRESH = 5


class Box:
    """A store, and the two clocks of the machine. There are ``FRESH`` images of the last half hour."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.wall, self.steady = BEGIN, 1000.0
        self.limits: dict[str, Any] = {"max_age_days": 30}
        self.keep_days: float | None = None
        self.rotate_megabytes = 0.001
        self.store: ImageStore | None = None
        self.kept = False  # whether a time server keeps the clock
        for module in (trusted_clock, clock_evidence, names):
            monkeypatch.setattr(module, "read_clocks", lambda: (self.wall, self.steady))
        for module in (clock_evidence, doctor_clock, names):
            monkeypatch.setattr(module, "kept_by_outside", lambda: self.kept)
        monkeypatch.setattr(retention, "_AGE_EVERY_SECONDS", 0.0)
        self.start()
        for number in range(FRESH):
            self.image(5 * number * MINUTE)

    def image(self, age: float) -> None:
        """Lay an image down that is so old by the wall clock."""
        moment = datetime.fromtimestamp(self.wall - age, timezone.utc)
        path = self.folder / "front" / f"{moment:%Y-%m-%d}" / f"{moment:%Y%m%dT%H%M%S.000Z}-000001.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def start(self, **limits: Any) -> None:
        """The process that runs is killed, and another starts."""
        if self.store is not None:
            self.store.close()
        self.limits |= limits
        self.store = ImageStore(
            StoreConfig(folder=self.folder, **self.limits),
            AuditConfig(keep_days=self.keep_days, rotate_megabytes=self.rotate_megabytes),
        )
        self.store.open()

    def keep(self) -> int:
        """What the store does every minute; returns how many images are left."""
        assert self.store is not None
        self.passes(MINUTE)
        self.store.keep()
        self.store.record("counts", {})
        return len(list(self.folder.rglob("*.jpg")))

    def store_images(self, count: int = 1, camera: str = "front", ahead: float = 0) -> list[Path]:
        """Store images that were captured just now, as the box does; ``ahead``: by a clock ahead of this."""
        assert self.store is not None
        entries = [self.captured(camera, number, ahead) for number in range(count)]
        return [path for path in self.store.write(entries) if isinstance(path, Path)]

    def captured(self, camera: str = "front", number: int = 0, ahead: float = 0) -> Entry:
        """An image that waits to be stored."""
        pixels = np.full((16, 16, 3), 128, np.uint8)
        frame = RawFrame(pixels, camera, number, 0, self.steady, round((self.wall + ahead) * 1e9))
        return Entry(blur.anonymize(frame, NO_BOXES, BlurConfig()))

    def clock_records(self) -> list[tuple[str, str]]:
        records = [record for record in records_of(self.folder) if record["event"] == "clock"]
        assert all(record_fields.problem_of(record) == "" for record in records)
        return [(record["state"], record["why"]) for record in records]

    @property
    def doubt(self) -> str:
        assert self.store is not None
        return self.store.clock_doubt
