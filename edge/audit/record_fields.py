"""The fields that each record must have, and their types (edge/store/log_format.py explains them)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from edge.store import log_format
from edge.store.log_format import Record

_HASH = re.compile(r"[0-9a-f]{64}")
Test = Callable[[Any], bool]


def problem_of(record: Record) -> str:
    """What is wrong with a record that ``log_format.decode_line`` accepted; empty if nothing is."""
    event = record["event"]
    for name, (test, wanted) in {**_ALL, **_NEEDED[event]}.items():
        if name not in record:
            return f"{event}: {name!r} is missing"
        if not test(record[name]):
            return f"{event}: {name!r} is not {wanted}"
    for name, (test, wanted) in _OPTIONAL.items():
        if name in record and not test(record[name]):
            return f"{event}: {name!r} is not {wanted}"
    return ""


def settings_match(record: Record) -> bool:
    """Whether the ``config`` of a record is the hash of its ``settings``."""
    try:
        return bool(log_format.fingerprint(record["settings"]) == record["config"])
    except (ValueError, RecursionError):  # NaN or infinity, which no box writes
        return False


def moment_of(text: str) -> datetime | None:
    """The time that a record gives; None if it is not a UTC time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.utcoffset() == timedelta(0) else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _is_moment(value: Any) -> bool:
    return isinstance(value, str) and moment_of(value) is not None


def _is_moment_or_unknown(value: Any) -> bool:
    return value is None or _is_moment(value)


def _is_clock_state(value: Any) -> bool:
    return value in ("in_doubt", "unproven", "proven")


def _is_number_or_unknown(value: Any) -> bool:
    return value is None or type(value) in (int, float)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_count(item) for item in value.values())


def _are_boxes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(box, list) and len(box) == 4 and all(_is_count(side) for side in box) for box in value
    )


def is_damage(value: Any) -> bool:
    """Whether a value is valid as the ``damaged`` field of a record."""
    return isinstance(value, list) and len(value) == 2 and _is_text(value[0]) and _is_count(value[1])


def _are_cameras(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(camera, dict)
        and _is_count(camera.get("captured"))
        and _is_count(camera.get("written"))
        and _are_counts(camera.get("dropped"))
        and _are_counts(camera.get("covered_whole"))
        for camera in value.values()
    )


def _are_discarded(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(camera, dict)
        and _is_count(camera.get("images"))
        and _is_moment(camera.get("first"))
        and _is_moment(camera.get("last"))
        for camera in value.values()
    )


_TEXT = (_is_text, "a text")
_COUNT = (_is_count, "a number from 0 on")
_FLAG = (_is_flag, "true or false")
_DIGEST = (_is_hash, "a sha256")
_MOMENT = (_is_moment, "a UTC time")
_TEXTS = (_are_texts, "a list of texts")
_COUNTS = (_are_counts, "a table of numbers")

_CAMERAS = (_are_cameras, "a table of captured, written, dropped and covered_whole")
_ALL: dict[str, tuple[Test, str]] = {"previous": _DIGEST, "time": _MOMENT}
_NEEDED: dict[str, dict[str, tuple[Test, str]]] = {
    "start": {
        "version": _TEXT,
        "settings": (_is_table, "a table"),
        "config": _DIGEST,
        "detector": _TEXT,
        "not_stored": _TEXTS,
    },
    "image": {
        "camera": _TEXT,
        "image": _TEXT,
        "sha256": _DIGEST,
        "bytes": _COUNT,
        "captured": _MOMENT,
        "frame": _COUNT,
        "regions": _COUNT,
        "held": _COUNT,
        "covered": (_is_share, "a share from 0 to 1"),
        "whole": _FLAG,
        "regrown": _FLAG,
        "escalated": _FLAG,
        "detector": _TEXT,
        "config": _DIGEST,
        "dropped": _COUNTS,
        "covered_whole": _COUNTS,
    },
    "not_stored": {"images": _TEXTS, "why": _TEXT},
    "discarded": {"cameras": (_are_discarded, "a table of images, first and last"), "why": _TEXT},
    "purged": {"images": _TEXTS, "why": _TEXT},
    "log_purged": {
        "through": _COUNT,
        "head": _DIGEST,
        "settings": (_is_table, "a table"),
        "config": _DIGEST,
        "detector": _TEXT,
    },
    "clock": {
        "state": (_is_clock_state, "in_doubt, unproven or proven"),
        "why": _TEXT,
        "ahead_seconds": (_is_number_or_unknown, "a number or null"),
    },
    "counts": {"cameras": _CAMERAS},
    "stop": {"cameras": _CAMERAS},
}
_OPTIONAL: dict[str, tuple[Test, str]] = {
    "damaged": (is_damage, "a file and a number of bytes"),
    "steady": (_is_moment_or_unknown, "a UTC time or null"),
    "boxes": (_are_boxes, "a list of boxes"),
    "labels": _COUNTS,
    "box_labels": _TEXTS,
}
