"""Images and log files that the box removes, recorded and not, also while the audit runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.audit import Options, audit_store
from edge.audit import files as audit_files
from edge.audit import run as audit_run
from edge.audit.report import warnings_of
from edge.config import AuditConfig, StoreConfig, make_config
from edge.daemon.recorded_settings import settings_of
from edge.store import log_format
from edge.store.images import ImageStore
from tests.audit.boxes import (
    COUNTS,
    Record,
    audit,
    entry,
    images,
    notes,
    open_box,
    read_records,
    rechain,
    relative,
    run_box,
    torn,
    wrongs,
)

AT_ONCE = 1e-9
"""Days after which a log file counts as old."""


def purge_of(store: Path) -> str:
    records = (record for file in read_records(store) for record in file)
    return str(next(record["images"][0] for record in records if record["event"] == "purged"))


def test_recorded_removal_is_fine(purged: Path) -> None:
    result = audit(purged)
    assert wrongs(result) == {}
    removed = result.figures.purged["quota"]
    assert removed > 0
    assert result.images == 9 - removed


def test_unfinished_removal_is_a_note(purged: Path) -> None:
    path = purged / purge_of(purged)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    result = audit(purged)
    assert result
    assert "is there: its removal by record" in notes(result, "extra")[0]


def test_a_removal_whose_record_is_gone_is_wrong(purged: Path) -> None:
    gone = purge_of(purged)

    def edit(records: list[Record]) -> None:
        records[:] = [record for record in records if record["event"] != "purged"]

    rechain(purged, edit)
    assert any(text.startswith(gone) for text in wrongs(audit(purged))["missing"])


def old_log_files_go(store: Path) -> int:
    """Have all log files removed whose images are gone; return how many there were."""
    files = log_format.log_files(store)
    box = ImageStore(
        StoreConfig(folder=store, format="png"),
        AuditConfig(rotate_megabytes=0.002, keep_days=AT_ONCE),
        settings={"other": 1},
    )
    box.keep()
    box.record("stop", COUNTS)
    box.close()
    return len([path for path in files if not path.exists()])


def test_recorded_removal_of_log_files_is_fine(purged: Path) -> None:
    assert old_log_files_go(purged) >= 1
    result = audit(purged)
    assert wrongs(result) == {}
    assert result.first > 1


def test_log_files_removed_without_a_record_are_wrong(purged: Path) -> None:
    assert old_log_files_go(purged) >= 1
    log_format.log_files(purged)[0].unlink()
    assert "are missing, and no record says that they were removed" in wrongs(audit(purged))["log"][0]


def test_settings_removed_with_the_log_cause_a_warning(purged: Path) -> None:
    old_log_files_go(purged)
    assert "the record of these settings is gone" in warnings_of(audit(purged))[0]


def test_a_box_that_stores_during_the_audit_is_fine(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image is stored after the folder was listed; later two are removed and one is stored."""
    real = audit_files.list_files
    box = open_box(store)
    box.open()

    def list_then_store(*args: Any) -> set[str]:
        listed = real(*args)
        box.write([entry(31)])
        return listed

    monkeypatch.setattr(audit_run, "list_files", list_then_store)
    steps = iter([True])

    def meanwhile(done: int, total: int) -> None:
        if next(steps, False):
            gone = images(store)[-3:-1]
            box._record_purge([relative(store, path) for path in gone], "age")
            for path in gone:
                path.unlink()
            box.write([entry(32)])

    result = audit_store(store, Options(sample=0), meanwhile)
    box.close()
    assert wrongs(result) == {}
    assert result.images in (17, 18, 19)  # those that were checked before they were removed count
    assert result.number == 28


def test_a_log_file_removed_during_the_audit_is_fine(purged: Path) -> None:
    steps = iter([True])

    def meanwhile(done: int, total: int) -> None:
        if next(steps, False):
            assert old_log_files_go(purged) >= 1

    result = audit_store(purged, Options(sample=0), meanwhile)
    assert wrongs(result) == {}


def test_an_image_removed_during_the_audit_without_a_record_is_wrong(store: Path) -> None:
    last = images(store)[-1]

    def meanwhile(done: int, total: int) -> None:
        last.unlink(missing_ok=True)

    found = wrongs(audit_store(store, Options(sample=0), meanwhile))
    assert found["missing"][0].startswith(relative(store, last))


def test_a_log_file_with_a_torn_end_can_be_removed_when_it_is_old(tmp_path: Path) -> None:
    run_box(tmp_path, [1])
    torn(tmp_path)
    run_box(tmp_path, [11])
    for path in images(tmp_path):
        path.unlink()
    files = log_format.log_files(tmp_path)
    box = ImageStore(StoreConfig(folder=tmp_path), AuditConfig(keep_days=AT_ONCE))
    box.keep()
    box.close()
    assert not files[0].exists()


def test_the_settings_of_a_process_outlive_the_log_of_its_start(tmp_path: Path) -> None:
    config = make_config({"store": {"folder": tmp_path, "format": "png"}, "blur": {"fill": "solid"}}, "test")
    box = ImageStore(
        config.store,
        AuditConfig(rotate_megabytes=0.001, keep_days=AT_ONCE),
        settings=settings_of(config),
        detector="ab" * 32,
    )
    for number in range(4):
        (path,) = box.write([entry(number)])
        if number < 3:
            assert isinstance(path, Path)
            path.unlink()
    files = log_format.log_files(tmp_path)
    box.keep()
    box.close()
    assert not files[0].exists()
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert result.first > 1
    assert [settings.known for settings in result.figures.settings] == [True]
