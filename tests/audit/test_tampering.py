"""Each way to tamper with a store is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.audit import Options
from edge.store import log_format
from tests.audit.boxes import (
    Record,
    audit,
    edit_lines,
    notes,
    rechain,
    run_box,
    wrongs,
)
from tests.audit.tampering import (
    add_a_file_to_the_log,
    add_a_file_with_a_name_like_a_log,
    add_a_hidden_file,
    add_a_log_of_another_name,
    add_a_socket,
    add_an_image,
    alter_a_byte,
    change_a_line,
    change_a_number_in_a_line,
    cut_an_image,
    empty_a_log_file,
    fill_a_log_file,
    folder_instead_of_an_image,
    insert_a_line,
    link_instead_of_a_camera,
    link_instead_of_a_log_file,
    link_instead_of_an_image,
    link_instead_of_the_log,
    link_that_leads_nowhere,
    pipe_instead_of_a_log_file,
    pipe_instead_of_an_image,
    remove_a_camera,
    remove_a_line,
    remove_a_log_file_in_the_middle,
    remove_all_log_files,
    remove_an_image,
    remove_the_first_log_file,
    remove_the_last_image,
    remove_the_last_log_file,
    remove_the_log,
    rename_a_log_file,
    spoil_a_line,
    spoil_the_line_before_the_last,
    swap_two_images,
    swap_two_lines,
)

ATTACKS: list[tuple[Callable[[Path], None], str, str]] = [
    (alter_a_byte, "altered", "its sha256 is not the recorded one"),
    (cut_an_image, "altered", "has 100 bytes instead of"),
    (remove_an_image, "missing", "is missing; record 10 says it was stored"),
    (remove_the_last_image, "missing", "is missing; record 23 says it was stored"),
    (remove_a_camera, "missing", "yard/"),
    (swap_two_images, "altered", "has "),
    (add_an_image, "extra", "20260101T000000.000Z-000001.png: has no record"),
    (add_a_hidden_file, "extra", "front/.raw: has no record"),
    (add_a_file_to_the_log, "extra", "_audit/faces.jpg: has no record"),
    (add_a_log_of_another_name, "extra", "_audit/1.jsonl: has no record"),
    (add_a_file_with_a_name_like_a_log, "extra", "000000000001.jsonl: has no record"),
    (link_instead_of_an_image, "altered", "is a symbolic link"),
    (link_instead_of_a_camera, "altered", "cannot be opened"),
    (link_instead_of_a_camera, "extra", "front: is a symbolic link; only regular files belong here"),
    (link_that_leads_nowhere, "extra", "front/link: is a symbolic link"),
    (pipe_instead_of_an_image, "altered", "is a pipe"),
    (pipe_instead_of_an_image, "extra", "is a pipe; only regular files belong here"),
    (folder_instead_of_an_image, "altered", "is a folder"),
    (add_a_socket, "extra", "socket: is a socket; only regular files belong here"),
    (change_a_line, "fields", "'sha256' is missing"),
    (change_a_line, "chain", "one of the two was changed"),
    (change_a_number_in_a_line, "chain", "one of the two was changed"),
    (spoil_a_line, "chain", "not a record, although more follows"),
    (spoil_the_line_before_the_last, "chain", "not a record, although more follows"),
    (remove_a_line, "chain", "the records between are missing"),
    (remove_a_line, "extra", "has no record"),
    (insert_a_line, "chain", "out of order or a duplicate"),
    (swap_two_lines, "chain", "out of order or a duplicate"),
    (remove_a_log_file_in_the_middle, "chain", "the records between are missing"),
    (remove_a_log_file_in_the_middle, "extra", "has no record"),
    (remove_the_first_log_file, "log", "are missing, and no record says that they were removed"),
    (remove_the_last_log_file, "extra", "has no record"),
    (rename_a_log_file, "log", "000000000999.jsonl: begins with record"),
    (empty_a_log_file, "log", "is empty, which record"),
    (fill_a_log_file, "log", "the rest was not read"),
    (link_instead_of_a_log_file, "log", "is a symbolic link"),
    (pipe_instead_of_a_log_file, "log", "is a pipe"),
    (remove_the_log, "log", "there is no log here; give the folder set as store.folder"),
    (link_instead_of_the_log, "log", "cannot be read"),
    (remove_all_log_files, "log", "holds no record"),
]
NAMES = [f"{attack.__name__}-{check}" for attack, check, _ in ATTACKS]


@pytest.mark.parametrize(("attack", "check", "text"), ATTACKS, ids=NAMES)
def test_tampering_is_found_and_named(
    store: Path, attack: Callable[[Path], None], check: str, text: str
) -> None:
    attack(store)
    result = audit(store)
    assert not result
    assert text in "\n".join(wrongs(result)[check])


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (alter_a_byte, {"altered": 1}),
        (remove_an_image, {"missing": 1}),
        (add_an_image, {"extra": 1}),
        (change_a_number_in_a_line, {"chain": 1}),
        (remove_a_line, {"chain": 1, "extra": 1}),
        (remove_the_first_log_file, {"log": 1, "extra": 4}),
        (spoil_the_line_before_the_last, {"chain": 2, "extra": 1}),
        (link_instead_of_a_log_file, {"log": 1, "chain": 1, "extra": 5}),
        (link_instead_of_the_log, {"log": 2, "extra": 19}),
    ],
)
def test_one_change_is_not_reported_as_many(
    store: Path, attack: Callable[[Path], None], expected: dict[str, int]
) -> None:
    attack(store)
    assert {name: len(found) for name, found in wrongs(audit(store)).items()} == expected


def test_a_cut_off_end_is_only_found_with_a_saved_hash(store: Path, head: str) -> None:
    found = audit(store, Options(sample=0, head=head))
    assert found
    assert (found.wanted_at, found.number) == (24, 24)
    edit_lines(log_format.log_files(store)[-1], lambda lines: lines.__delitem__(-1))
    without = audit(store)
    assert without
    assert "only a hash saved outside the box proves that the end is complete" in notes(without, "head")[0]
    cut = wrongs(audit(store, Options(sample=0, head=head)))
    assert list(cut) == ["head"]
    assert cut["head"][0].startswith(f"{head}: no record has this hash: the end of the log was cut off")


def test_an_earlier_hash_is_found_too(store: Path) -> None:
    lines = log_format.log_files(store)[1].read_bytes().splitlines()
    result = audit(store, Options(sample=0, head=log_format.hash_line(lines[0])))
    assert result
    assert result.wanted_at == log_format.decode_line(lines[0])["n"]


def test_a_rewritten_log_is_only_found_with_a_saved_hash(store: Path, head: str) -> None:
    def hide(records: list[Record]) -> None:
        del records[-1]

    rechain(store, hide)
    assert audit(store)
    assert list(wrongs(audit(store, Options(sample=0, head=head)))) == ["head"]


def test_an_image_that_is_recorded_twice_is_wrong(tmp_path: Path) -> None:
    """The store reuses a name only if its image is gone, and that must be recorded."""
    run_box(tmp_path, [1])
    rechain(tmp_path, lambda records: records.append(records[1]))
    found = wrongs(audit(tmp_path))
    assert list(found) == ["missing"]
    assert (
        "record 5 stores it again, and no record says what became of the image of record 2"
        in found["missing"][0]
    )
