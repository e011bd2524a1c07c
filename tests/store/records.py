"""Read the audit log of a store, and check that it is chained."""

from __future__ import annotations

from pathlib import Path

from edge.store import log_format


def lines_of(store: Path) -> list[bytes]:
    return [line for path in log_format.log_files(store) for line in path.read_bytes().splitlines()]


def records_of(store: Path) -> list[log_format.Record]:
    """All records, after checking that they are chained without a gap."""
    records, head = [], log_format.GENESIS
    for number, line in enumerate(lines_of(store), 1):
        record = log_format.decode_line(line)
        assert (record["n"], record["previous"]) == (number, head)
        head = log_format.hash_line(line)
        records.append(record)
    return records
