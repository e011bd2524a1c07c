"""What a killed process, a power failure or a failing disk leaves behind is not reported as tampering."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from edge.audit.check_log import TORN_BYTES
from edge.errors import StoreError
from edge.store import log_format
from tests.audit.boxes import (
    COUNTS,
    audit,
    entry,
    images,
    notes,
    open_box,
    read_records,
    relative,
    run_box,
    torn,
    wrongs,
)
from tests.audit.tampering import (
    spoil_the_line_before_the_last,
)


def test_a_torn_end_of_the_last_file_is_a_note(store: Path) -> None:
    name = torn(store)
    result = audit(store)
    assert result
    assert notes(result, "log") == [
        f"{name}: its last 22 bytes are not a record: the process was killed while writing, or the power "
        "failed, or the box is writing it now"
    ]


def test_a_torn_end_that_the_next_start_mentions_is_a_note(store: Path) -> None:
    name = torn(store)
    run_box(store, [31])
    result = audit(store)
    assert wrongs(result) == {}
    assert notes(result, "log") == [
        f"{name}: its last 22 bytes are not a record: the process was killed while writing, or the power "
        "failed; record 25 says so"
    ]


@pytest.mark.parametrize("more", [1, -1])
def test_a_torn_end_of_another_length_than_recorded_is_wrong(store: Path, more: int) -> None:
    name = torn(store)
    path = store / log_format.FOLDER / name
    run_box(store, [31])
    path.write_bytes(path.read_bytes() + b"x" if more > 0 else path.read_bytes()[:-1])
    assert f"{name}: its last {22 + more} bytes are not a record" in wrongs(audit(store))["log"][0]


def test_a_torn_end_that_was_removed_since_is_wrong(store: Path) -> None:
    name = torn(store)
    run_box(store, [31])
    path = store / log_format.FOLDER / name
    os.truncate(path, path.stat().st_size - 22)
    assert wrongs(audit(store))["log"] == [
        f"record 25: says that 22 bytes of {name} are not a record, which is not true"
    ]


def test_a_torn_end_that_no_start_mentions_is_wrong(store: Path) -> None:
    name = log_format.log_files(store)[1].name
    with (store / log_format.FOLDER / name).open("ab") as file:
        file.write(b'{"n":')
    found = wrongs(audit(store))
    assert list(found) == ["log"]
    assert f"{name}: its last 5 bytes are not a record" in found["log"][0]


def test_records_hidden_in_a_torn_end_are_found(store: Path) -> None:
    """The last record but one is spoiled; the daemon takes it and what follows for a torn end."""
    spoil_the_line_before_the_last(store)
    run_box(store, [31])
    assert "not a record, although more follows" in wrongs(audit(store))["chain"][0]


def test_a_long_torn_end_is_wrong(store: Path) -> None:
    torn(store, b"\0" * TORN_BYTES)
    assert "not a record, although more follows" in wrongs(audit(store))["chain"][0]
    assert not audit(store)


def test_a_file_without_any_record_is_replaced_and_noted(store: Path) -> None:
    name = log_format.file_name(25)
    (store / log_format.FOLDER / name).write_bytes(b'{"n":25,')
    result = audit(store)
    assert result
    assert f"{name}: its last 8 bytes are not a record" in notes(result, "log")[0]
    run_box(store, [31])
    result = audit(store)
    assert wrongs(result) == {}
    assert notes(result, "log") == [f"{name}: replaced a file whose 8 bytes were not a record"]


def test_an_empty_last_file_is_a_note(store: Path) -> None:
    (store / log_format.FOLDER / log_format.file_name(25)).write_bytes(b"")
    result = audit(store)
    assert result
    assert "is empty: the process was killed" in notes(result, "log")[0]


def test_an_image_without_a_name_is_a_note_until_the_next_start_records_it(tmp_path: Path) -> None:
    run_box(tmp_path, [1, 2], stop=False)
    images(tmp_path)[-1].unlink()  # as if the process had been killed after its record
    killed = audit(tmp_path)
    assert killed
    assert "was killed before it was stored, or is storing it now" in notes(killed, "missing")[0]
    run_box(tmp_path, [11])
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert notes(result, "missing") == []
    assert result.figures.not_stored == 1


def test_an_image_that_was_stored_before_a_stop_has_no_excuse(tmp_path: Path) -> None:
    run_box(tmp_path, [1, 2])
    gone = relative(tmp_path, images(tmp_path)[-1])
    (tmp_path / gone).unlink()
    assert list(wrongs(audit(tmp_path))) == ["missing"]
    run_box(tmp_path, [11])
    found = wrongs(audit(tmp_path))
    assert list(found) == ["missing"]
    assert "is missing; record 5 says it was stored, and none says it was removed" in found["missing"][0]


def test_an_image_that_a_failing_disk_refused_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = open_box(tmp_path)
    box.write([entry(1)])

    def fail(files: Any) -> Any:
        return [StoreError("disk full") for _ in files]

    with monkeypatch.context() as patch:
        patch.setattr("edge.store.images.write_group", fail)
        assert isinstance(box.write([entry(2)])[0], StoreError)
    box.write([entry(3)])
    box.record("stop", COUNTS)
    box.close()
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert (result.images, result.figures.not_stored) == (2, 1)
    record = next(
        record for file in read_records(tmp_path) for record in file if record["event"] == "not_stored"
    )
    path = tmp_path / record["images"][0]
    path.write_bytes(b"x")
    assert f"{record['images'][0]}: is there, although record" in wrongs(audit(tmp_path))["extra"][0]


def test_an_empty_log_file_after_a_power_failure_is_used_or_skipped(tmp_path: Path) -> None:
    box = open_box(tmp_path, 100_000)
    box.write([entry(1)])
    box.close()
    (tmp_path / log_format.FOLDER / log_format.file_name(3)).write_bytes(b"")
    for number in (11, *range(21, 150)):
        box = open_box(tmp_path, 100_000)
        box.write([entry(number)])
        box.close()
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert result.images == 131


def test_two_power_failures_in_a_row_are_both_recorded(store: Path) -> None:
    torn(store)
    (store / log_format.FOLDER / log_format.file_name(25)).write_bytes(b'{"n":25,"prev')
    assert wrongs(audit(store)) == {}
    run_box(store, [31])
    assert wrongs(audit(store)) == {}


def test_a_log_reopened_after_a_failure_records_what_the_failure_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, real = open_box(tmp_path), os.write
    box.write([entry(1)])

    def half(handle: int, data: Any) -> int:
        real(handle, bytes(data)[:20])
        raise OSError(5, "Input/output error")

    def refuse(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(StoreError):
            box.record("counts", COUNTS)
    box.write([entry(2)])
    box.record("stop", COUNTS)
    box.close()
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert result.images == 2
