"""What the audit log says in the end, and whether that is what was found on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.audit.expected_images import unstored_of
from edge.audit.run import Options, audit_store
from edge.store import log_format


@dataclass
class Chain:
    """``acknowledged`` images were stored according to the log, ``lost`` are those of them that were never
    found as they were recorded, and ``unrecorded`` were found without a record. ``purged`` counts removals by
    reason, ``unseen`` by camera those of images that were removed before anybody had looked. ``clock`` has
    the states that were recorded. ``wrong`` is what ``edge audit`` finds beside the images that the soak has
    removed."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    purged: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] = field(default_factory=Counter)
    clock: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def read_chain(store: Path, found: Mapping[str, str], removed: Collection[str]) -> Chain:
    """``found``: the sha256 of each image that was seen, by its path below the store; the soak has removed
    those in ``removed``. Raises StoreError."""
    chain, recorded = Chain(), {}
    purged: set[str] = set()
    for file in log_format.log_files(store):
        for line in file.read_bytes().splitlines():
            record = log_format.decode_line(line)
            if record["event"] == "image":
                recorded[record["image"]] = record["sha256"]
            elif record["event"] == "purged":
                chain.purged[record["why"]] += len(record["images"])
                purged.update(record["images"])
            elif record["event"] == "clock":
                chain.clock[record["state"]] += 1
            for path in unstored_of(record):
                recorded.pop(path, None)
    chain.acknowledged = len(recorded)
    chain.unrecorded = sorted(found.keys() - recorded.keys())
    for path, sha256 in recorded.items():
        if path in purged and path not in found:
            chain.unseen[path.split("/")[0]] += 1
        elif found.get(path) != sha256:
            chain.lost.append(path)
    chain.wrong = _audit(store, len(set(removed) - purged))
    return chain


def _audit(store: Path, removed: int) -> list[str]:
    wrong = []
    for check in audit_store(store, Options(sample=0), lambda done, total: None).checks:
        expected = removed if check.name == "missing" else 0
        if check.wrong.count != expected:
            wrong.append(f"{check.title}: {check.wrong.count} instead of {expected}")
    return wrong
