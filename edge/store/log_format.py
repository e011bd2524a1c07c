"""The format of the audit log: JSON lines, each with the hash of the previous line.

``STORE/_audit/NNNNNNNNNNNN.jsonl`` holds records from number NNNNNNNNNNNN on, one compact JSON object in
ASCII per line. Every record has ``n`` (counts from 1, without gaps over all files), ``previous`` (sha256 of
the previous line, without its newline; 64 zeros for the first), ``time`` (UTC) and ``event``. A changed,
lost or inserted line breaks the chain at the next one (Schneier and Kelsey 1999, "Secure Audit Logs to
Support Computer Forensics", section 4, but without its keys: whoever has the last hash can tell that nothing
before it was changed). Records that were written while the wall clock was not proven also have ``steady``:
the UTC time by the clock that continues from the newest record, or null if no record says a time
(edge/store/trusted_clock.py).

Events, and the other fields of their records:

* ``start``: a process began. ``version``, ``settings`` (the configuration, without passwords),
  ``config`` (sha256 of the settings as they are written here), ``detector`` (sha256 of its file; those of
  ``[detectors.NAME]`` have theirs in the settings),
  ``not_stored`` (images of earlier records that never got their names because the power failed),
  ``damaged`` (``[file, bytes]``: that many bytes at the end of that file are not records but the remains of
  an interrupted write; the chain continues from the last valid line before them). A ``not_stored`` record can
  have ``damaged`` too.
* ``image``: written and flushed *before* the image gets its name. ``camera``, ``image`` (its path below the
  store), ``sha256`` and ``bytes`` of the file, ``captured`` (UTC), ``frame`` (its number), ``regions``,
  ``held`` (how many of these were added by hold), ``covered`` (share of the picture), ``whole``, ``regrown``,
  ``escalated``, ``detector``, ``config``, ``dropped`` and ``covered_whole`` (frames of this camera by reason
  since the start), and ``boxes`` (``[x1, y1, x2, y2]`` in pixels) only with ``audit.boxes = true``. With
  several detectors also ``labels`` (how many regions were covered for a face, a plate, ...) and, beside
  ``boxes``, ``box_labels`` (one for each); regions without a label are those of faces.
* ``not_stored``: ``images`` of earlier records that could not be stored; ``why``.
* ``discarded``: images that were never written nor recorded by name, because the detector no longer found the
  known face after them (``why``: known_face). ``cameras`` has for each camera how many ``images``, and when
  the ``first`` and the ``last`` of them were captured (UTC).
* ``purged``: ``images`` that are about to be removed; ``why``: age, quota, min_free, operator (``edge
  purge``), or, in logs of version 0.1, known_face (the detector did not find it after they were stored).
* ``log_purged``: log files up to record ``through`` are about to be removed; ``head`` is the hash of that
  record. ``settings``, ``config`` and ``detector`` of the running process, whose start may be among them.
* ``clock``: from here on the wall clock is in ``state`` in_doubt, unproven or proven. ``why``: what is wrong,
  or what proves it; ``ahead_seconds``: how far it is ahead of ``steady``, null if that is unknown.
* ``counts``, ``stop``: ``cameras`` has ``captured``, ``written``, ``dropped`` and ``covered_whole`` of each
  camera since the start.
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
EVENTS = ("start", "image", "not_stored", "discarded", "purged", "log_purged", "clock", "counts", "stop")

Record = dict[str, Any]


def encode_record(record: Mapping[str, Any]) -> bytes:
    """One line, without its newline."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")


def hash_line(line: bytes) -> str:
    """Hash of a line without its newline: what the next record calls ``previous``."""
    return hashlib.sha256(line).hexdigest()


def decode_line(line: bytes) -> Record:
    """Read one line, without its newline. Raises ValueError when it is not a record in this format."""
    try:
        record = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    for key, kind in (("n", int), ("previous", str), ("time", str), ("event", str)):
        if not isinstance(record.get(key), kind) or isinstance(record[key], bool):
            raise ValueError(f"{key!r} is missing or has a wrong type")
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
    """Number of the first record of a log file, taken from its name."""
    return int(name.removesuffix(".jsonl"))


def log_files(store: Path) -> list[Path]:
    """The log files below a store's folder, oldest first. Raises OSError if the folder cannot be read."""
    folder = store / FOLDER
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl" and path.stem.isdecimal())


def fingerprint(settings: Mapping[str, Any]) -> str:
    """The ``config`` of a record: sha256 of the settings as a record writes them."""
    return hashlib.sha256(encode_record(settings)).hexdigest()
