"""A store that nobody touched passes; each way to touch one is found and named."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from edge import blur
from edge.audit import AuditResult, Options, audit_store
from edge.audit import files as audit_files
from edge.audit import run as audit_run
from edge.audit.findings import EXAMPLES
from edge.audit.log import TORN_BYTES
from edge.audit.page import result_page
from edge.audit.report import SHOWN, checks_table, result_json, warnings_of
from edge.commands.audit import audit_folder
from edge.commands.decrypt import read_identities
from edge.config import AuditConfig, BlurConfig, StoreConfig, make_config
from edge.daemon.recorded_settings import settings_of
from edge.detection.detector import Detector
from edge.detection.rescan import open_for_rescan
from edge.errors import ConfigError, DetectionError, DetectorError, StoreError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.store import chain
from edge.store.images import Entry, ImageStore
from edge.store.retention import MEGABYTE
from tests.conftest import DATA

NO_LOOK = Options(sample=0)
BASE_NS = 1_790_000_000_000_000_000
COUNTS = {
    "front": {"captured": 9, "written": 4, "dropped": {"stale": 3}, "covered_whole": {"too_dark": 1}},
    "yard": {"captured": 5, "written": 3, "dropped": {"stale": 1, "overtaken": 1}, "covered_whole": {}},
}
Record = dict[str, Any]
Edit = Callable[[list[Record]], None]


def entry(number: int, camera: str = "front", pixels: Pixels | None = None, **counted: Any) -> Entry:
    if pixels is None:
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
    raw = RawFrame(pixels, camera, number, 0.0, 0.0, BASE_NS + number * 10**9)
    boxes = np.array([[20, 15, 30, 27]], np.float32)
    return Entry(blur.anonymize(raw, boxes, BlurConfig()), **counted)


def open_box(folder: Path, rotate_bytes: int = 5000, **table: Any) -> ImageStore:
    """What the daemon makes of its configuration when it starts."""
    config = make_config({"store": {"folder": folder, "format": "png"}, **table}, "test")
    audit = AuditConfig(rotate_megabytes=rotate_bytes / MEGABYTE)
    return ImageStore(config.store, audit, settings=settings_of(config), detector="ab" * 32)


def run_box(folder: Path, numbers: Sequence[int], *, stop: bool = True, **table: Any) -> ImageStore:
    """One run of the daemon that stores images, two at a time, and ends."""
    box = open_box(folder, **table)
    box.open()
    for number in numbers:
        dropped = {"stale": number - numbers[0]}
        pair = [entry(number, dropped=dropped), entry(number, "yard", held=1)]
        assert all(isinstance(path, Path) for path in box.write(pair))
    if stop:
        box.record("stop", COUNTS)
    box.close()
    return box


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, in several log files, with the last hash of each run beside them."""
    folder = tmp_path_factory.mktemp("template") / "store"
    for first in (1, 11, 21):
        box = run_box(folder, range(first, first + 3))
    (folder.parent / "head").write_text(box.audit_head)
    assert len(chain.log_files(folder)) >= 4
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))


@pytest.fixture
def head(template: Path) -> str:
    return (template.parent / "head").read_text()


def audit(store: Path, options: Options = NO_LOOK) -> AuditResult:
    return audit_store(store, options, lambda done, total: None)


def wrongs(result: AuditResult) -> dict[str, list[str]]:
    """What is wrong, by check: ``where: what``."""
    return {
        check.name: [f"{e.where}: {e.what}" for e in check.wrong.examples]
        for check in result.checks
        if check.wrong.count
    }


def notes(result: AuditResult, name: str) -> list[str]:
    (check,) = (check for check in result.checks if check.name == name)
    return [f"{e.where}: {e.what}" for e in check.notes.examples]


def images(store: Path) -> list[Path]:
    return sorted(store.rglob("*.png"))


def relative(store: Path, path: Path) -> str:
    return path.relative_to(store).as_posix()


def read_records(store: Path) -> list[list[Record]]:
    files = chain.log_files(store)
    return [[chain.decode_line(line) for line in path.read_bytes().splitlines()] for path in files]


def rechain(store: Path, edit: Edit) -> None:
    """What somebody does who may write everything: change records, and compute every hash anew."""
    head, files = chain.GENESIS, read_records(store)
    records = [record for file in files for record in file]
    edit(records)
    for path in chain.log_files(store):
        path.unlink()
    lines = []
    for number, record in enumerate(records, 1):
        lines.append(chain.encode_record({**record, "n": number, "previous": head}))
        head = chain.hash_line(lines[-1])
    (store / chain.FOLDER / chain.file_name(1)).write_bytes(b"".join(line + b"\n" for line in lines))


def edit_lines(path: Path, edit: Callable[[list[bytes]], None]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    path.write_bytes(b"".join(lines))


def test_a_store_that_nobody_touched_passes(store: Path) -> None:
    result = audit(store)
    assert wrongs(result) == {}
    assert result
    assert result.images == len(images(store)) == 18
    assert result.bytes == sum(path.stat().st_size for path in images(store))
    assert (result.first, result.number) == (1, 24)
    looked = {check.name: check.looked_at for check in result.checks}
    assert looked["chain"] == looked["form"] == 24
    assert looked["missing"] == looked["altered"] == looked["paths"] == 18
    assert looked["settings"] == 3
    assert looked["log"] == len(chain.log_files(store)) == result.log_files
    assert result.looked_at == looked["faces"] == 0


def test_the_figures_are_those_of_the_runs(store: Path) -> None:
    figures = audit(store).figures
    assert (figures.starts, figures.records, figures.not_stored, figures.clock_steps) == (3, 24, 0, 0)
    front, yard = figures.cameras["front"], figures.cameras["yard"]
    assert (front.images, front.regions, front.held, yard.held) == (9, 9, 0, 9)
    assert 0 < front.covered < 0.5
    assert front.dropped == {"stale": 9}  # three runs, of which each ended with 3
    assert yard.dropped == {"stale": 3, "overtaken": 3}
    assert front.covered_whole == {"too_dark": 3}
    assert figures.detectors == {"ab" * 32: 18}
    (settings,) = figures.settings
    assert (settings.first, settings.images, settings.last_look) == (1, 18, "always")
    assert figures.reidentifiable == figures.without_last_look == figures.unknown == []


def test_totals_of_a_run_that_was_killed_count_too(tmp_path: Path) -> None:
    run_box(tmp_path, range(1, 4), stop=False)
    run_box(tmp_path, range(11, 13), stop=False)
    assert audit(tmp_path).figures.cameras["front"].dropped == {"stale": 3}


# Each of these touches one thing.


def alter_a_byte(store: Path) -> None:
    data = bytearray(images(store)[3].read_bytes())
    data[40] ^= 1
    images(store)[3].write_bytes(data)


def cut_an_image(store: Path) -> None:
    os.truncate(images(store)[3], 100)


def remove_an_image(store: Path) -> None:
    images(store)[3].unlink()


def remove_the_last_image(store: Path) -> None:
    images(store)[-1].unlink()


def remove_a_camera(store: Path) -> None:
    shutil.rmtree(store / "yard")


def swap_two_images(store: Path) -> None:
    first, second, *_ = images(store)
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)


def add_an_image(store: Path) -> None:
    shutil.copy(images(store)[3], images(store)[3].with_name("20260101T000000.000Z-000001.png"))


def add_a_hidden_file(store: Path) -> None:
    (store / "front" / ".raw").write_bytes(b"x")


def add_a_file_to_the_log(store: Path) -> None:
    (store / chain.FOLDER / "faces.jpg").write_bytes(b"x")


def add_a_log_of_another_name(store: Path) -> None:
    (store / chain.FOLDER / "1.jsonl").write_bytes(b"x")


def add_a_file_with_a_name_like_a_log(store: Path) -> None:
    (store / "000000000001.jsonl").write_bytes(b"x")


def link_instead_of_an_image(store: Path) -> None:
    image = images(store)[3]
    shutil.move(image, store.parent / "outside.png")
    image.symlink_to(store.parent / "outside.png")


def link_instead_of_a_camera(store: Path) -> None:
    shutil.move(store / "front", store.parent / "elsewhere")
    (store / "front").symlink_to(store.parent / "elsewhere")


def link_that_leads_nowhere(store: Path) -> None:
    (store / "front" / "link").symlink_to("/nowhere")


def pipe_instead_of_an_image(store: Path) -> None:
    image = images(store)[3]
    image.unlink()
    os.mkfifo(image)


def folder_instead_of_an_image(store: Path) -> None:
    image = images(store)[3]
    image.unlink()
    image.mkdir()


def add_a_socket(store: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(store)  # the path of a socket may have 107 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(here)


def change_a_line(store: Path) -> None:
    edit_lines(
        chain.log_files(store)[1], lambda lines: lines.__setitem__(0, lines[0].replace(b"sha", b"shb"))
    )


def change_a_number_in_a_line(store: Path) -> None:
    def edit(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"regions":1', b'"regions":0')

    edit_lines(chain.log_files(store)[1], edit)


def spoil_a_line(store: Path) -> None:
    edit_lines(chain.log_files(store)[1], lambda lines: lines.__setitem__(0, b"{" + lines[0]))


def spoil_the_line_before_the_last(store: Path) -> None:
    edit_lines(chain.log_files(store)[-1], lambda lines: lines.__setitem__(-2, b"{" + lines[-2]))


def remove_a_line(store: Path) -> None:
    edit_lines(chain.log_files(store)[1], lambda lines: lines.__delitem__(1))


def insert_a_line(store: Path) -> None:
    edit_lines(chain.log_files(store)[1], lambda lines: lines.insert(1, lines[0]))


def swap_two_lines(store: Path) -> None:
    edit_lines(chain.log_files(store)[1], lambda lines: lines.__setitem__(slice(0, 2), lines[1::-1]))


def remove_a_log_file_in_the_middle(store: Path) -> None:
    chain.log_files(store)[1].unlink()


def remove_the_first_log_file(store: Path) -> None:
    chain.log_files(store)[0].unlink()


def remove_the_last_log_file(store: Path) -> None:
    chain.log_files(store)[-1].unlink()


def rename_a_log_file(store: Path) -> None:
    path = chain.log_files(store)[-1]
    path.rename(path.with_name(chain.file_name(999)))


def empty_a_log_file(store: Path) -> None:
    os.truncate(chain.log_files(store)[1], 0)


def fill_a_log_file(store: Path) -> None:
    chain.log_files(store)[-1].write_bytes(b"x" * 3 * 2**20)


def link_instead_of_a_log_file(store: Path) -> None:
    path = chain.log_files(store)[1]
    shutil.move(path, store.parent / "log")
    path.symlink_to(store.parent / "log")


def pipe_instead_of_a_log_file(store: Path) -> None:
    path = chain.log_files(store)[1]
    path.unlink()
    os.mkfifo(path)


def remove_the_log(store: Path) -> None:
    shutil.rmtree(store / chain.FOLDER)


def link_instead_of_the_log(store: Path) -> None:
    shutil.move(store / chain.FOLDER, store.parent / "log")
    (store / chain.FOLDER).symlink_to(store.parent / "log")


def remove_all_log_files(store: Path) -> None:
    for path in chain.log_files(store):
        path.unlink()


ATTACKS: list[tuple[Callable[[Path], None], str, str]] = [
    (alter_a_byte, "altered", "its sha256 is not the one on record"),
    (cut_an_image, "altered", "has 100 bytes instead of"),
    (remove_an_image, "missing", "is not there, though record 10 has it"),
    (remove_the_last_image, "missing", "is not there, though record 23 has it"),
    (remove_a_camera, "missing", "yard/"),
    (swap_two_images, "altered", "has "),
    (add_an_image, "extra", "20260101T000000.000Z-000001.png: is not on record"),
    (add_a_hidden_file, "extra", "front/.raw: is not on record"),
    (add_a_file_to_the_log, "extra", "_audit/faces.jpg: is not on record"),
    (add_a_log_of_another_name, "extra", "_audit/1.jsonl: is not on record"),
    (add_a_file_with_a_name_like_a_log, "extra", "000000000001.jsonl: is not on record"),
    (link_instead_of_an_image, "altered", "is a symbolic link"),
    (link_instead_of_a_camera, "altered", "cannot be opened"),
    (link_instead_of_a_camera, "extra", "front: a symbolic link where only files may be"),
    (link_that_leads_nowhere, "extra", "front/link: a symbolic link"),
    (pipe_instead_of_an_image, "altered", "is a pipe"),
    (pipe_instead_of_an_image, "extra", "a pipe where only files may be"),
    (folder_instead_of_an_image, "altered", "is a folder"),
    (add_a_socket, "extra", "socket: a socket where only files may be"),
    (change_a_line, "form", "'sha256' is missing"),
    (change_a_line, "chain", "one of the two was changed"),
    (change_a_number_in_a_line, "chain", "one of the two was changed"),
    (spoil_a_line, "chain", "no record, though more follows"),
    (spoil_the_line_before_the_last, "chain", "no record, though more follows"),
    (remove_a_line, "chain", "those between are missing"),
    (remove_a_line, "extra", "is not on record"),
    (insert_a_line, "chain", "out of order, or there twice"),
    (swap_two_lines, "chain", "out of order, or there twice"),
    (remove_a_log_file_in_the_middle, "chain", "those between are missing"),
    (remove_a_log_file_in_the_middle, "extra", "is not on record"),
    (remove_the_first_log_file, "log", "are missing, and no record says that they were removed"),
    (remove_the_last_log_file, "extra", "is not on record"),
    (rename_a_log_file, "log", "000000000999.jsonl: begins with record"),
    (empty_a_log_file, "log", "0 bytes at its end are no record"),
    (fill_a_log_file, "log", "it is not read any further"),
    (link_instead_of_a_log_file, "log", "is a symbolic link"),
    (pipe_instead_of_a_log_file, "log", "is a pipe"),
    (remove_the_log, "log", "there is no log here; give the folder that store.folder names"),
    (link_instead_of_the_log, "log", "cannot be read"),
    (remove_all_log_files, "log", "holds no record"),
]
NAMES = [f"{attack.__name__}-{check}" for attack, check, _ in ATTACKS]


@pytest.mark.parametrize(("attack", "check", "text"), ATTACKS, ids=NAMES)
def test_what_was_touched_is_found_and_named(
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
def test_one_change_is_not_told_as_many(
    store: Path, attack: Callable[[Path], None], expected: dict[str, int]
) -> None:
    attack(store)
    assert {name: len(found) for name, found in wrongs(audit(store)).items()} == expected


def test_a_cut_off_end_can_only_be_found_with_a_hash_that_was_kept(store: Path, head: str) -> None:
    found = audit(store, Options(sample=0, head=head))
    assert found
    assert (found.wanted_at, found.number) == (24, 24)
    edit_lines(chain.log_files(store)[-1], lambda lines: lines.__delitem__(-1))
    without = audit(store)
    assert without
    assert "the end can only be proven by a hash that was kept elsewhere" in notes(without, "head")[0]
    cut = wrongs(audit(store, Options(sample=0, head=head)))
    assert list(cut) == ["head"]
    assert cut["head"][0].startswith(f"{head}: no record has this hash: the end of the log was cut off")


def test_an_earlier_hash_is_found_too(store: Path) -> None:
    lines = chain.log_files(store)[1].read_bytes().splitlines()
    result = audit(store, Options(sample=0, head=chain.hash_line(lines[0])))
    assert result
    assert result.wanted_at == chain.decode_line(lines[0])["n"]


def test_a_log_written_anew_is_only_found_with_a_hash_that_was_kept(store: Path, head: str) -> None:
    def hide(records: list[Record]) -> None:
        del records[-1]

    rechain(store, hide)
    assert audit(store)
    assert list(wrongs(audit(store, Options(sample=0, head=head)))) == ["head"]


# Forged logs: every hash is right, what the records say is not.


def forge_settings(records: list[Record]) -> None:
    records[0]["settings"]["privacy"]["last_look"] = "off"


def forge_settings_and_hash(records: list[Record]) -> None:
    forge_settings(records)
    records[0]["config"] = chain.fingerprint(records[0]["settings"])


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
    """As if an image had not been stored that later records count."""
    image = next(record["image"] for record in records if record["event"] == "image")
    records.append({"time": records[-1]["time"], "event": "not_stored", "images": [image], "why": "x"})


def forge_a_damage(records: list[Record]) -> None:
    records[8]["damaged"] = [chain.file_name(1), 20]


@pytest.mark.parametrize(
    ("edit", "check", "text"),
    [
        (forge_settings, "settings", "record 1: its settings are not those that its hash names"),
        (forge_settings_and_hash, "settings", "record 2: was stored with another detector or other settings"),
        (forge_settings_that_are_no_json, "settings", "record 1: its settings are not those"),
        (forge_a_detector, "settings", "record 2: was stored with another detector"),
        (forge_the_first_event, "chain", "record 1: is the first, and yet no start"),
        (forge_a_removal_of_the_log, "log", "record 24: is not the last one of a log file"),
        (
            forge_an_excuse,
            "missing",
            "record 25 says that it was not stored, but records before show that it was",
        ),
        (forge_an_excuse, "extra", "is there, but was never stored by record 25"),
        (forge_a_damage, "log", "says that 20 bytes of 000000000001.jsonl are no record, which is not so"),
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
    assert f"'{field}' is not" in found["form"][0]
    assert found["form"][0].startswith("record 2: image")
    assert len(found["extra"]) == 1  # nothing that a record of a wrong form says is taken for true


@pytest.mark.parametrize(("event", "field"), [("start", "config"), ("image", "bytes"), ("stop", "cameras")])
def test_a_missing_field_is_named(store: Path, event: str, field: str) -> None:
    def edit(records: list[Record]) -> None:
        del next(record for record in records if record["event"] == event)[field]

    rechain(store, edit)
    assert f"{event}: '{field}' is missing" in wrongs(audit(store))["form"][0]


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
    assert "leads out of the folder of its camera; it was not opened" in found["paths"][0]
    assert opened
    assert not [name for name in opened if "outside" in name or ".." in name]


# What a box that was killed, or that lost its power, leaves behind.


def torn(store: Path, data: bytes = b'{"n":25,"previous":"12') -> str:
    path = chain.log_files(store)[-1]
    with path.open("ab") as file:
        file.write(data)
    return path.name


def test_a_torn_end_of_the_last_file_is_a_note(store: Path) -> None:
    name = torn(store)
    result = audit(store)
    assert result
    assert notes(result, "log") == [
        f"{name}: the last 22 bytes are no record: the process was killed while it wrote, or the power went, "
        "or it is writing now"
    ]


def test_a_torn_end_that_the_next_start_tells_of_is_a_note(store: Path) -> None:
    name = torn(store)
    run_box(store, [31])
    result = audit(store)
    assert wrongs(result) == {}
    assert notes(result, "log") == [
        f"{name}: the last 22 bytes are no record: the process was killed while it wrote, or the power went; "
        "record 25 says so"
    ]


@pytest.mark.parametrize("more", [1, -1])
def test_a_torn_end_of_another_length_than_told_is_wrong(store: Path, more: int) -> None:
    name = torn(store)
    path = store / chain.FOLDER / name
    run_box(store, [31])
    path.write_bytes(path.read_bytes() + b"x" if more > 0 else path.read_bytes()[:-1])
    assert f"{name}: {22 + more} bytes at its end are no record" in wrongs(audit(store))["log"][0]


def test_a_torn_end_that_is_gone_since_is_wrong(store: Path) -> None:
    name = torn(store)
    run_box(store, [31])
    path = store / chain.FOLDER / name
    os.truncate(path, path.stat().st_size - 22)
    assert wrongs(audit(store))["log"] == [
        f"record 25: says that 22 bytes of {name} are no record, which is not so"
    ]


def test_a_torn_end_of_which_no_start_tells_is_wrong(store: Path) -> None:
    name = chain.log_files(store)[1].name
    with (store / chain.FOLDER / name).open("ab") as file:
        file.write(b'{"n":')
    found = wrongs(audit(store))
    assert list(found) == ["log"]
    assert f"{name}: 5 bytes at its end are no record" in found["log"][0]


def test_records_that_are_hidden_in_a_torn_end_are_found(store: Path) -> None:
    """The last record but one is spoiled; the daemon takes it and what follows for a torn end."""
    spoil_the_line_before_the_last(store)
    run_box(store, [31])
    assert "no record, though more follows" in wrongs(audit(store))["chain"][0]


def test_a_long_torn_end_is_wrong(store: Path) -> None:
    torn(store, b"\0" * TORN_BYTES)
    assert "no record, though more follows" in wrongs(audit(store))["chain"][0]
    assert not audit(store)


def test_a_file_of_which_nothing_is_a_record_is_replaced_and_told(store: Path) -> None:
    name = chain.file_name(25)
    (store / chain.FOLDER / name).write_bytes(b'{"n":25,')
    result = audit(store)
    assert result
    assert f"{name}: the last 8 bytes are no record" in notes(result, "log")[0]
    run_box(store, [31])
    result = audit(store)
    assert wrongs(result) == {}
    assert notes(result, "log") == [f"{name}: replaced a file in which 8 bytes were no record"]


def test_an_empty_last_file_is_a_note(store: Path) -> None:
    (store / chain.FOLDER / chain.file_name(25)).write_bytes(b"")
    result = audit(store)
    assert result
    assert "holds no record" in notes(result, "log")[0]


def test_an_image_without_a_name_is_a_note_until_the_next_start_tells_of_it(tmp_path: Path) -> None:
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
    assert "is not there, though record 5 has it and none says that it was removed" in found["missing"][0]


def test_an_image_that_a_failing_disk_did_not_take_is_on_record(
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
    assert f"{record['images'][0]}: is there, but was never stored" in wrongs(audit(tmp_path))["extra"][0]


def test_an_image_that_is_on_record_twice_is_wrong(tmp_path: Path) -> None:
    """The store gives a name again only when its image is gone, and that must be on record."""
    run_box(tmp_path, [1])
    rechain(tmp_path, lambda records: records.append(records[1]))
    found = wrongs(audit(tmp_path))
    assert list(found) == ["missing"]
    assert "record 5 has it anew, and none says where the image of record 2 went" in found["missing"][0]


def test_a_clock_that_goes_back_is_a_note(store: Path) -> None:
    rechain(store, lambda records: records[5].__setitem__("time", "2001-01-01T00:00:00.000+00:00"))
    result = audit(store)
    assert result
    assert result.figures.clock_steps == 1
    assert notes(result, "chain")[0].startswith("record 6: its time is ")


def test_files_that_are_being_written_are_a_note(store: Path) -> None:
    (images(store)[0].parent / ".0123456789abcdef.part").write_bytes(b"x")
    result = audit(store)
    assert result
    assert ".0123456789abcdef.part: a file that is being written" in notes(result, "extra")[0]


# Removal, on record and not.


def small_store(folder: Path, megabytes: float) -> ImageStore:
    config = StoreConfig(folder=folder, format="png", quota_megabytes=megabytes)
    return ImageStore(config, AuditConfig(rotate_megabytes=0.002))


def big_entry(number: int) -> Entry:
    return entry(number, pixels=np.random.default_rng(number).integers(0, 256, (300, 320, 3), np.uint8))


@pytest.fixture
def purged(tmp_path: Path) -> Path:
    """A store that removed images for its quota."""
    box = small_store(tmp_path / "store", 1)
    box.usage.start()
    box.usage._thread.join()
    for number in range(1, 10):
        assert isinstance(box.write([big_entry(number)])[0], Path)
    box.record("stop", COUNTS)
    box.close()
    return tmp_path / "store"


def purge_of(store: Path) -> str:
    records = (record for file in read_records(store) for record in file)
    return str(next(record["images"][0] for record in records if record["event"] == "purged"))


def test_removal_on_record_is_no_fault(purged: Path) -> None:
    result = audit(purged)
    assert wrongs(result) == {}
    removed = result.figures.purged["quota"]
    assert removed > 0
    assert result.images == 9 - removed


def test_removal_that_was_not_finished_is_a_note(purged: Path) -> None:
    path = purged / purge_of(purged)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    result = audit(purged)
    assert result
    assert "that was not finished" in notes(result, "extra")[0]


def test_a_removal_of_which_the_record_is_gone_is_wrong(purged: Path) -> None:
    gone = purge_of(purged)

    def edit(records: list[Record]) -> None:
        records[:] = [record for record in records if record["event"] != "purged"]

    rechain(purged, edit)
    assert any(text.startswith(gone) for text in wrongs(audit(purged))["missing"])


def old_log_files_go(store: Path) -> int:
    """Trim all log files of which no image is left; return how many there were."""
    files = chain.log_files(store)
    for path in files[:-1]:
        os.utime(path, (1, 1))
    box = ImageStore(
        StoreConfig(folder=store, format="png"),
        AuditConfig(rotate_megabytes=0.002, keep_days=1),
        settings={"other": 1},
    )
    box.keep()
    box.record("stop", COUNTS)
    box.close()
    return len([path for path in files if not path.exists()])


def test_log_files_that_go_on_record_are_no_fault(purged: Path) -> None:
    assert old_log_files_go(purged) >= 1
    result = audit(purged)
    assert wrongs(result) == {}
    assert result.first > 1


def test_log_files_that_go_without_a_record_are_wrong(purged: Path) -> None:
    assert old_log_files_go(purged) >= 1
    chain.log_files(purged)[0].unlink()
    assert "are missing, and no record says that they were removed" in wrongs(audit(purged))["log"][0]


def test_settings_that_went_with_the_log_are_told(purged: Path) -> None:
    old_log_files_go(purged)
    assert "settings not on record any more" in warnings_of(audit(purged))[0]


# While the box goes on storing.


def test_a_box_that_stores_meanwhile_is_no_fault(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image comes after the folder was listed; later two are removed and one comes."""
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
    assert result.images in (17, 18, 19)  # those that were looked at before they went count
    assert result.number == 28


def test_a_log_file_that_goes_meanwhile_is_no_fault(purged: Path) -> None:
    steps = iter([True])

    def meanwhile(done: int, total: int) -> None:
        if next(steps, False):
            assert old_log_files_go(purged) >= 1

    result = audit_store(purged, Options(sample=0), meanwhile)
    assert wrongs(result) == {}


def test_an_image_that_goes_meanwhile_without_a_record_is_wrong(store: Path) -> None:
    last = images(store)[-1]

    def meanwhile(done: int, total: int) -> None:
        last.unlink(missing_ok=True)

    found = wrongs(audit_store(store, Options(sample=0), meanwhile))
    assert found["missing"][0].startswith(relative(store, last))


# The second look.


@pytest.fixture(scope="module")
def second_look() -> Detector:
    return open_for_rescan()


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch, second_look: Detector) -> None:
    """Open the detector once for all tests."""
    monkeypatch.setattr(audit_run, "open_for_rescan", lambda path: second_look)


def plant(store: Path, picture: Path) -> str:
    """Put another picture in the place of an image, with its record and all hashes right."""
    import hashlib

    data = picture.read_bytes()
    image = images(store)[0]
    image.write_bytes(data)
    name = relative(store, image)

    def edit(records: list[Record]) -> None:
        record = next(record for record in records if record.get("image") == name)
        record.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    rechain(store, edit)
    return name


@pytest.fixture
def little(tmp_path: Path) -> Path:
    run_box(tmp_path / "store", [1, 2])
    return tmp_path / "store"


@pytest.mark.usefixtures("looking")
def test_a_raw_face_that_is_properly_on_record_is_found(little: Path) -> None:
    result = audit(little, Options())
    assert wrongs(result) == {}
    assert (result.looked_at, result.detector) == (4, second_sha(result))
    name = plant(little, DATA / "astronaut.jpg")
    found = wrongs(audit(little, Options()))
    assert list(found) == ["faces"]
    assert found["faces"][0].startswith(f"{name}: a face (score ")
    assert audit(little)  # without a look nobody can tell


def second_sha(result: AuditResult) -> str:
    from edge.detection.session import read_detector

    return read_detector(None).sha256


@pytest.mark.usefixtures("looking")
def test_an_image_that_cannot_be_decoded_is_wrong(little: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes((DATA / "hopper.jpg").read_bytes()[:-3000])
    name = plant(little, tmp_path / "broken.jpg")
    found = wrongs(audit(little, Options()))
    assert list(found) == ["decoding"]
    assert found["decoding"][0].startswith(f"{name}: broken or truncated")


@pytest.mark.usefixtures("looking")
def test_a_picture_of_another_kind_is_wrong(little: Path, tmp_path: Path) -> None:
    Image.new("L", (64, 48)).save(tmp_path / "grey.png")
    plant(little, tmp_path / "grey.png")
    assert "grey" in wrongs(audit(little, Options()))["decoding"][0]


@pytest.mark.usefixtures("looking")
def test_a_weaker_hit_is_a_note(little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.36, 0.34, 0.49, 0.5])
    monkeypatch.setattr("edge.audit.check_image.best_score", lambda detector, pixels: next(scores))
    result = audit(little, Options())
    assert len(wrongs(result)["faces"]) == 1
    assert [text.split(": ")[1] for text in notes(result, "faces")] == [
        "to look at by eye (score 0.36)", "to look at by eye (score 0.49)",
    ]  # fmt: skip


@pytest.mark.usefixtures("looking")
def test_a_look_that_fails_is_wrong(little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(detector: Detector, pixels: Pixels) -> float:
        raise DetectionError(Reason.OVERFLOW, "all candidates are above the threshold")

    monkeypatch.setattr("edge.audit.check_image.best_score", fail)
    result = audit(little, Options(sample=1))
    assert result.looked_at == 0
    assert "could not be looked at: all candidates" in wrongs(result)["faces"][0]


@pytest.mark.usefixtures("looking")
def test_a_sample_is_drawn_with_the_last_hash_and_told(little: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(detector: Detector, pixels: Pixels) -> float:
        seen.append(int(pixels.sum()))
        return 0.0

    monkeypatch.setattr("edge.audit.check_image.best_score", look)
    first, second = audit(little, Options(sample=2)), audit(little, Options(sample=2))
    assert first.looked_at == second.looked_at == 2
    assert seen[:2] == seen[2:]
    assert first.images == 4  # every hash is checked all the same
    assert f"2 of 4 images are looked at, drawn at random with seed {first.head}" in notes(first, "faces")[0]
    assert audit(little, Options(sample=9)).looked_at == 4
    assert notes(audit(little), "faces") == [": no image is looked at (--sample 0)"]


def test_a_detector_that_finds_no_known_face_is_refused(little: Path, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"nothing\.onnx"):
        audit(little, Options(detector=tmp_path / "nothing.onnx"))


# Encrypted images.


@pytest.fixture
def encrypted(tmp_path: Path) -> tuple[Path, Any]:
    """A store that the box cannot read, and the private key."""
    pytest.importorskip("pyrage", reason="pyrage is not installed (extra encrypt)")
    from edge.store.encryption import identities_of, new_identity

    text, public = new_identity()
    config = make_config({"store": {"folder": tmp_path / "store", "recipient": public}}, "test")
    box = ImageStore(config.store, settings=settings_of(config), detector="ab" * 32)
    assert all(isinstance(path, Path) for path in box.write([entry(1), entry(2)]))
    box.record("stop", COUNTS)
    box.close()
    assert len(list((tmp_path / "store").rglob("*.age"))) == 2
    return tmp_path / "store", identities_of(text, "test")


@pytest.mark.usefixtures("looking")
def test_encrypted_images_are_only_looked_at_with_the_private_key(encrypted: tuple[Path, Any]) -> None:
    store, identities = encrypted
    without = audit(store, Options())
    assert wrongs(without) == {}
    assert (without.images, without.looked_at) == (2, 0)
    assert notes(without, "faces") == [": 2 encrypted images are not looked at: that needs --identity"]
    result = audit(store, Options(identities=identities))
    assert wrongs(result) == {}
    assert (result.images, result.looked_at) == (2, 2)
    assert notes(result, "faces") == []


@pytest.mark.usefixtures("looking")
def test_a_private_key_that_does_not_fit_is_told(encrypted: tuple[Path, Any]) -> None:
    from edge.store.encryption import identities_of, new_identity

    store, _ = encrypted
    other = identities_of(new_identity()[0], "test")
    found = wrongs(audit(store, Options(identities=other)))
    assert len(found["decoding"]) == 2
    assert "no identity opens it" in found["decoding"][0]


def test_an_altered_encrypted_image_is_found_without_the_key(encrypted: tuple[Path, Any]) -> None:
    store, _ = encrypted
    path = next(store.rglob("*.age"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert list(wrongs(audit(store))) == ["altered"]


# Reports.


def test_recognisable_people_are_told_loudly(tmp_path: Path) -> None:
    run_box(
        tmp_path, [1], blur={"fill": "mosaic"}, privacy={"allow_reidentifiable": True, "last_look": "off"}
    )
    run_box(tmp_path, [11])
    result = audit(tmp_path)
    assert result
    told = warnings_of(result)
    assert told[0].startswith("PEOPLE CAN BE RECOGNISED: 2 images from record 1 on (settings ")
    assert told[0].endswith("were stored with blur.fill = mosaic")
    assert "privacy.last_look = off" in told[1]
    assert len(told) == 2
    assert "PEOPLE CAN BE RECOGNISED" in result_page(result)
    assert result_json(result)["warnings"] == told


def test_many_findings_are_counted_and_some_named(store: Path) -> None:
    for number in range(EXAMPLES + 5):
        (store / f"{number}.txt").write_bytes(b"")
    result = audit(store)
    (check,) = (check for check in result.checks if check.name == "extra")
    assert (check.wrong.count, len(check.wrong.examples)) == (EXAMPLES + 5, EXAMPLES)
    assert result.wrong == EXAMPLES + 5
    page = result_page(result)
    assert f"and {EXAMPLES + 5 - SHOWN} more" in page
    assert page.count("is not on record") == SHOWN
    assert checks_table(result).row_count == len(result.checks)


class Strict(HTMLParser):
    """Every element that is opened is closed, in order."""

    VOID = ("meta", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attributes if name.startswith("on") or name == "src"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def run_edge(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.slow
def test_the_command_writes_reports_that_nothing_breaks_out_of(
    little: Path, tmp_path: Path, edge_script: str
) -> None:
    hostile = '<script>alert("1")<img onerror=x>&amp;\x1b[2J\n\udcff.jpg'
    (little / hostile).write_bytes(b"")
    reports = tmp_path / "report.json", tmp_path / "report.html"
    done = run_edge(edge_script, little, "--json", reports[0], "--html", reports[1], "--jobs", "1")
    assert done.returncode == 1
    assert "1 thing is wrong" in done.stdout
    assert "\x1b[2J" not in done.stdout + done.stderr
    told = json.loads(reports[0].read_text("ascii"))
    assert (told["good"], told["wrong"], told["looked_at"]) == (False, 1, 4)
    found = {check["name"]: check for check in told["checks"]}
    assert found["extra"]["wrong"]["count"] == 1
    assert found["extra"]["wrong"]["examples"][0]["where"].startswith("<script>alert")
    page = reports[1].read_text("utf-8")
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;img onerror=x&gt;&amp;amp;" in page
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not parser.tags & {"script", "img", "iframe", "form", "a"}
    assert [tag for tag in ("<html", "<head", "<body", "<title") if page.count(tag) != 1] == []


@pytest.mark.slow
def test_the_command_succeeds_on_a_good_store(little: Path, edge_script: str) -> None:
    head = audit(little).head
    done = run_edge(edge_script, little, "--sample", "0", "--head", head.upper())
    assert done.returncode == 0, done.stderr
    assert "Nothing is wrong: 4 images are as recorded, 0 were looked at for faces" in done.stdout
    assert f"Last hash (record 6): {head}" in done.stdout
    assert "is of record 6; 0 records follow it" in done.stdout


@pytest.mark.slow
def test_a_hash_that_is_none_is_a_wrong_command_line(little: Path, edge_script: str) -> None:
    done = run_edge(edge_script, little, "--head", "abc")
    assert done.returncode == 2
    assert "not a sha256" in done.stderr


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("json", "store/report.json", "lies in the store"),
        ("html", "store/front/report.html", "lies in the store"),
        ("json", "photo.jpg", "the name must end in .json"),
        ("html", "report.json", "the name must end in .html"),
    ],
)
def test_a_report_never_goes_into_the_store_or_over_a_picture(
    little: Path, tmp_path: Path, option: str, name: str, text: str
) -> None:
    path = tmp_path / name
    json_file, html_file = (path, None) if option == "json" else (None, path)
    with pytest.raises(StoreError, match=text):
        audit_folder(little, NO_LOOK, json_file, html_file, Console())
    assert not path.exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"# no key\n", b"x" * 70_000])
def test_an_identity_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="--identity"):
        read_identities(path, Console())


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"give the folder that store\.folder names"):
        audit(tmp_path / "nowhere")


# What a box that lost its power, more than once, leaves must pass


def test_an_empty_log_file_that_the_power_left_is_used_or_passed_over(tmp_path: Path) -> None:
    box = open_box(tmp_path, 100_000)
    box.write([entry(1)])
    box.close()
    (tmp_path / chain.FOLDER / chain.file_name(3)).write_bytes(b"")
    for number in (11, *range(21, 150)):
        box = open_box(tmp_path, 100_000)
        box.write([entry(number)])
        box.close()
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert result.images == 131


def test_two_cuts_in_a_row_are_both_on_record(store: Path) -> None:
    torn(store)
    (store / chain.FOLDER / chain.file_name(25)).write_bytes(b'{"n":25,"prev')
    assert wrongs(audit(store)) == {}
    run_box(store, [31])
    assert wrongs(audit(store)) == {}


def test_a_log_file_with_a_torn_end_can_be_removed_when_it_is_old(tmp_path: Path) -> None:
    run_box(tmp_path, [1])
    torn(tmp_path)
    run_box(tmp_path, [11])
    for path in images(tmp_path):
        path.unlink()
    files = chain.log_files(tmp_path)
    for path in files[:-1]:
        os.utime(path, (1, 1))
    box = ImageStore(StoreConfig(folder=tmp_path), AuditConfig(keep_days=1))
    box.keep()
    box.close()
    assert not files[0].exists()


def test_a_log_that_was_opened_anew_after_a_failure_tells_what_the_failure_left(
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


def test_the_settings_of_a_process_outlive_the_log_of_its_start(tmp_path: Path) -> None:
    config = make_config({"store": {"folder": tmp_path, "format": "png"}, "blur": {"fill": "solid"}}, "test")
    box = ImageStore(
        config.store,
        AuditConfig(rotate_megabytes=0.001, keep_days=1),
        settings=settings_of(config),
        detector="ab" * 32,
    )
    for number in range(4):
        (path,) = box.write([entry(number)])
        if number < 3:
            assert isinstance(path, Path)
            path.unlink()
    files = chain.log_files(tmp_path)
    for path in files[:-1]:
        os.utime(path, (1, 1))
    box.keep()
    box.close()
    assert not files[0].exists()
    result = audit(tmp_path)
    assert wrongs(result) == {}
    assert result.first > 1
    assert [settings.known for settings in result.figures.settings] == [True]
