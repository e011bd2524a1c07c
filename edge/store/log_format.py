"""The form of the audit log: JSON lines, each with the hash of the line before.

``STORE/_audit/NNNNNNNNNNNN.jsonl`` holds records from number NNNNNNNNNNNN on, one compact JSON object in
ASCII per line. Every record has ``n`` (counts from 1, without gaps over all files), ``previous`` (sha256 of
the line before, without its newline; 64 zeros for the first), ``time`` (UTC) and ``event``. A changed, lost
or inserted line breaks the chain at the next one (Schneier and Kelsey 1999, "Secure Audit Logs to Support
Computer Forensics", section 4, without its keys: who holds the last hash can tell that all before it is
unchanged). Records that were written while nobody could rely on the wall clock also have ``steady``: the UTC
time by the steady clock, or null where there is none to begin with (edge/store/clock.py).

Events, and what else their records hold:

* ``start``: a process began. ``version``, ``settings`` (the configuration, without passwords),
  ``config`` (sha256 of the settings as they are written here), ``detector`` (sha256 of its file),
  ``not_stored`` (images of earlier records that never got their name: the power went),
  ``damaged`` (``[file, bytes]``: so many bytes at the end of that file are no records, but what such an end
  left; the chain goes on from the last good line before; also in ``not_stored``).
* ``image``: written and flushed *before* the image gets its name. ``camera``, ``image`` (path below the
  store), ``sha256`` and ``bytes`` of the file, ``captured`` (UTC), ``frame`` (its number), ``regions``,
  ``held`` (of these, added by hold), ``covered`` (share of the picture), ``whole``, ``regrown``,
  ``escalated``, ``detector``, ``config``, ``dropped`` and ``covered_whole`` (frames of this camera by reason
  since the start), and ``boxes`` (``[x1, y1, x2, y2]`` in pixels) only with ``audit.boxes = true``.
* ``not_stored``: ``images`` of earlier records that could not be stored; ``why``.
* ``purged``: ``images`` that are removed, written before they are; ``why``: age, quota, min_free, or
  known_face (the detector ceased to find the known face after they were stored).
* ``log_purged``: log files up to record ``through`` are removed; ``head`` is the hash of that record.
  ``settings``, ``config`` and ``detector`` of the running process, whose start may be among them.
* ``counts``, ``stop``: ``cameras``: of each, ``captured``, ``written``, ``dropped`` and ``covered_whole``
  since the start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "_audit"
"""Below the store's folder; no camera can have this name."""
GENESIS = "0" * 64
EVENTS = ("start", "image", "not_stored", "purged", "log_purged", "counts", "stop")

Record = dict[str, Any]


def encode_record(record: Mapping[str, Any]) -> bytes:
    """One line, without its newline."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")


def hash_line(line: bytes) -> str:
    """Hash of a line without its newline: what the next record calls ``previous``."""
    return hashlib.sha256(line).hexdigest()


def decode_line(line: bytes) -> Record:
    """Read one line, without its newline. Raises ValueError when it is no record of this form."""
    try:
        record = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    for key, kind in (("n", int), ("previous", str), ("time", str), ("event", str)):
        if not isinstance(record.get(key), kind) or isinstance(record[key], bool):
            raise ValueError(f"{key!r} is missing or of a wrong type")
    if record["event"] not in EVENTS:
        raise ValueError(f"unknown event {record['event']!r}")
    return record


def file_name(first: int) -> str:
    """Name of the log file that begins with record ``first``.

    >>> file_name(12)
    '000000000012.jsonl'
    """
    return f"{first:012d}.jsonl"


def first_number(name: str) -> int:
    """Number of the record that a log file begins with, told by its name."""
    return int(name.removesuffix(".jsonl"))


def log_files(store: Path) -> list[Path]:
    """The log files below a store's folder, oldest first. Raises OSError where the folder cannot be read."""
    folder = store / FOLDER
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl" and path.stem.isdecimal())


def fingerprint(settings: Mapping[str, Any]) -> str:
    """The ``config`` of a record: sha256 of the settings as a record writes them."""
    return hashlib.sha256(encode_record(settings)).hexdigest()
