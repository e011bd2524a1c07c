"""Logs that were rewritten with correct hashes but false or malformed records."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.store import log_format
from tests.audit.boxes import (
    Edit,
    Record,
    audit,
    images,
    rechain,
    wrongs,
)


def forge_settings(records: list[Record]) -> None:
    records[0]["settings"]["privacy"]["last_look"] = "off"


def forge_settings_and_hash(records: list[Record]) -> None:
    forge_settings(records)
    records[0]["config"] = log_format.fingerprint(records[0]["settings"])


def forge_settings_that_are_no_json(records: list[Record]) -> None:
    records[0]["config"] = "0" * 64


def forge_a_detector(records: list[Record]) -> None:
    records[1]["detector"] = "cd" * 32


def forge_the_first_event(records: list[Record]) -> None:
    records.insert(0, {"time": records[0]["time"], "event": "counts", "cameras": {}})


def forge_a_removal_of_the_log(records: list[Record]) -> None:
    last = records[-1]["time"]
    records.append(
        {
            "time": last,
            "event": "log_purged",
            "through": 24,
            "head": "0" * 64,
            **{key: records[0][key] for key in ("settings", "config", "detector")},
        }
    )


def forge_an_excuse(records: list[Record]) -> None:
    """Claim that an image was not stored although later records show that it was."""
    image = next(record["image"] for record in records if record["event"] == "image")
    records.append({"time": records[-1]["time"], "event": "not_stored", "images": [image], "why": "x"})


def forge_a_damage(records: list[Record]) -> None:
    records[8]["damaged"] = [log_format.file_name(1), 20]


FORGED_DAMAGE = "says that 20 bytes of 000000000001.jsonl are not a record, which is not true"


@pytest.mark.parametrize(
    ("edit", "check", "text"),
    [
        (forge_settings, "settings", "record 1: its settings do not match their hash"),
        (forge_settings_and_hash, "settings", "record 2: was stored with a detector or settings that differ"),
        (forge_settings_that_are_no_json, "settings", "record 1: its settings do not match"),
        (forge_a_detector, "settings", "record 2: was stored with a detector"),
        (forge_the_first_event, "chain", "record 1: is the first record, but not a start"),
        (forge_a_removal_of_the_log, "log", "record 24: is not the last one of a log file"),
        (
            forge_an_excuse,
            "missing",
            "record 25 says that it was not stored, but earlier records show that it was",
        ),
        (forge_an_excuse, "extra", "is there, although record 25 says that it was never stored"),
        (
            forge_a_damage,
            "log",
            FORGED_DAMAGE,
        ),
    ],
)
def test_a_forged_record_is_named(store: Path, edit: Edit, check: str, text: str) -> None:
    rechain(store, lambda records: None)
    assert audit(store)
    rechain(store, edit)
    assert text in "\n".join(wrongs(audit(store))[check])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "AB" * 32), ("sha256", 5), ("bytes", -1), ("bytes", True), ("covered", 1.5),
        ("covered", "0.5"), ("whole", 0), ("dropped", {"stale": "2"}), ("captured", "yesterday"),
        ("captured", "2026-01-01T00:00:00+02:00"), ("regions", None), ("boxes", [[1, 2, 3]]),
        ("time", "noon"), ("config", ""), ("image", ["a"]),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_type_is_named(store: Path, field: str, value: Any) -> None:
    rechain(store, lambda records: records[1].__setitem__(field, value))
    found = wrongs(audit(store))
    assert f"'{field}' is not" in found["fields"][0]
    assert found["fields"][0].startswith("record 2: image")
    assert len(found["extra"]) == 1  # a malformed record is not believed


@pytest.mark.parametrize(("event", "field"), [("start", "config"), ("image", "bytes"), ("stop", "cameras")])
def test_a_missing_field_is_named(store: Path, event: str, field: str) -> None:
    def edit(records: list[Record]) -> None:
        del next(record for record in records if record["event"] == event)[field]

    rechain(store, edit)
    assert f"{event}: '{field}' is missing" in wrongs(audit(store))["fields"][0]


@pytest.mark.parametrize(
    "path",
    [
        "../outside.png", "front/../../outside.png", "/{outside}", "front//x.png", "front/./x.png", "",
        "yard/x.png", "_audit/000000000001.jsonl", "front/x\0.png", "front/\ud800.png", "front",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_store_is_named_and_never_opened(
    store: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    outside = store.parent / "outside.png"
    shutil.copy(images(store)[0], outside)
    path = path.replace("{outside}", str(outside).lstrip("/"))
    opened: list[str] = []
    real = os.open

    def record_open(name: Any, *args: Any, **kwargs: Any) -> int:
        opened.append(str(name))
        return real(name, *args, **kwargs)

    rechain(store, lambda records: records[1].__setitem__("image", path))
    monkeypatch.setattr(os, "open", record_open)
    found = wrongs(audit(store))
    assert "record 2: " in found["paths"][0]
    assert "lies outside the folder of its camera; it was not opened" in found["paths"][0]
    assert opened
    assert not [name for name in opened if "outside" in name or ".." in name]
