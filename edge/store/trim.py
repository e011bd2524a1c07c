"""Remove the log files of images that are gone, once all of their records are old."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import StoreError
from edge.store import log_format
from edge.store.audit_log import AuditLog, records_in
from edge.store.durable import flush_folder
from edge.store.recorded_times import RecordedTimes


def trim(log: AuditLog, store: Path, limit: float, origin: Mapping[str, Any]) -> None:
    """Remove the oldest log files if all their records are older than ``limit`` (Unix time) and all their
    images are gone. Each removal is recorded, together with ``origin``: the fields of the start record,
    which may be in one of these files. Raises StoreError."""
    times = RecordedTimes(store)
    times.refresh()
    try:
        for path, after in itertools.pairwise(log_format.log_files(store)):
            if times.of_head(after) > limit:
                return
            records = list(records_in(path.read_bytes()))
            images = [record["image"] for record, _ in records if record["event"] == "image"]
            if any((store / image).exists() for image in images):
                return
            head = log_format.hash_line(records[-1][1])
            through = log_format.first_number(after.name) - 1
            log.append([{"event": "log_purged", "through": through, "head": head, **origin}])
            path.unlink()
            flush_folder(path.parent)
    except (OSError, ValueError) as error:
        raise StoreError(f"audit log {store / log_format.FOLDER}: {error}") from error
