"""The audit log as it is written: chained, on disk before what it announces, complete after any failure."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import blur
from edge.config import AuditConfig, BlurConfig, StoreConfig
from edge.errors import StoreError
from edge.frames import RawFrame
from edge.store import durable, log_format, trusted_clock
from edge.store.audit_log import AuditLog
from edge.store.images import Entry, ImageStore
from tests.store.records import lines_of, records_of

Make = Callable[..., RawFrame]
FACE = np.array([[40, 30, 80, 80]], np.float32)
EVENT = {"event": "counts", "cameras": {}}


def opened(store: Path, rotate_bytes: int = 10_000_000) -> AuditLog:
    log = AuditLog(store, rotate_bytes)
    log.open()
    return log


def test_records_are_chained_and_the_head_is_the_last(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.last == (0, log_format.GENESIS)
    log.append([EVENT, EVENT])
    log.append([EVENT])
    records = records_of(tmp_path)
    assert [record["event"] for record in records] == ["counts"] * 3
    assert log.last == (3, log_format.hash_line(lines_of(tmp_path)[-1]))
    assert log_format.log_files(tmp_path)[0].stat().st_mode & 0o777 == 0o600


def test_a_log_continues_where_it_ended(tmp_path: Path) -> None:
    for _ in range(3):
        log = opened(tmp_path)
        log.append([EVENT])
        log.close()
    assert len(records_of(tmp_path)) == 3
    assert len(log_format.log_files(tmp_path)) == 1


def test_rotation_does_not_break_the_chain(tmp_path: Path) -> None:
    log = opened(tmp_path, rotate_bytes=500)
    for _ in range(20):
        log.append([EVENT])
    files = log_format.log_files(tmp_path)
    assert len(files) > 3
    assert all(path.stat().st_size <= 500 for path in files)
    assert len(records_of(tmp_path)) == 20
    firsts = [log_format.decode_line(path.read_bytes().splitlines()[0])["n"] for path in files]
    assert [log_format.first_number(path.name) for path in files] == firsts


def test_only_one_process_has_a_store(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(StoreError, match="another process stores images there"):
        AuditLog(tmp_path, 1000).open()
    log.close()
    opened(tmp_path).close()


@pytest.mark.parametrize("rest", [b"{", b'{"n":4,"prev', b"\0" * 4096, b"\0" * 100 + b"\n", b"[]\n", b"\n\n"])
def test_the_remains_of_a_lost_write_are_recorded_and_skipped(tmp_path: Path, rest: bytes) -> None:
    log = opened(tmp_path)
    log.append([EVENT, EVENT, EVENT])
    log.close()
    (path,) = log_format.log_files(tmp_path)
    with path.open("ab") as file:
        file.write(rest)
    log = AuditLog(tmp_path, 10_000_000)
    tail = log.open()
    assert tail.damaged == [path.name, len(rest)]
    assert [record["n"] for record in tail.records] == [1, 2, 3]
    log.append([EVENT])
    assert path.read_bytes().endswith(rest)  # nothing is taken away
    last = log_format.decode_line(log_format.log_files(tmp_path)[-1].read_bytes().splitlines()[0])
    good = path.read_bytes().splitlines()[2]
    assert (last["n"], last["previous"]) == (4, log_format.hash_line(good))


@pytest.mark.parametrize("content", [b"", b'{"n":4,"previous":"'])
def test_a_file_that_was_begun_and_never_written_is_begun_again(tmp_path: Path, content: bytes) -> None:
    log = opened(tmp_path)
    log.append([EVENT, EVENT, EVENT])
    log.close()
    (tmp_path / log_format.FOLDER / log_format.file_name(4)).write_bytes(content)
    log = opened(tmp_path)
    log.append([EVENT])
    assert len(records_of(tmp_path)) == 4


def test_damage_that_no_lost_write_explains_stops_the_store(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([EVENT])
    log.close()
    (path,) = log_format.log_files(tmp_path)
    with path.open("ab") as file:
        file.write(b"x" * 2_000_000)
    with pytest.raises(StoreError, match=r"its end is damaged; examine it with: edge audit"):
        AuditLog(tmp_path, 10_000_000).open()


@pytest.mark.parametrize("call", ["write", "fdatasync", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_failing_disk_costs_no_record_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, lasting: bool
) -> None:
    log = opened(tmp_path, rotate_bytes=300)
    log.append([EVENT])
    real = getattr(os, call)
    hits: list[int] = []

    def fail(*args: Any, **kwargs: Any) -> Any:
        log_file = call != "open" or str(args[0]).endswith(".jsonl")
        if log_file and (lasting or not hits):
            hits.append(1)
            if call == "write":
                real(args[0], bytes(args[1])[:20])  # a part of it gets through
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for _ in range(2):
            if call == "open":
                log._close_file()  # as on rotation
            with contextlib.suppress(StoreError):
                if not log.opened:
                    log.open()
                log.append([EVENT])
    assert hits
    if not log.opened:
        log.open()
    log.append([EVENT])
    numbers = [record["n"] for record in records_of(tmp_path)]
    assert numbers[-1] == log.last[0] >= 2


def test_a_short_write_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data)[:7]))
    log.append([EVENT, EVENT])
    assert len(records_of(tmp_path)) == 2


def stored(store: ImageStore, frames: list[RawFrame], **facts: Any) -> list[Path]:
    results = store.write([Entry(blur.anonymize(frame, FACE, BlurConfig()), **facts) for frame in frames])
    paths = [result for result in results if isinstance(result, Path)]
    assert len(paths) == len(frames)
    return paths


def test_an_image_is_recorded_with_its_hash_and_details(tmp_path: Path, raw: Make) -> None:
    settings = {"blur": {"fill": "infill"}}
    store = ImageStore(StoreConfig(folder=tmp_path), settings=settings, detector="d" * 64)
    facts = {"held": 1, "regrown": True, "dropped": {"stale": 3}, "covered_whole": {"overflow": 1}}
    (path,) = stored(store, [raw(number=7)], **facts)
    start, image = records_of(tmp_path)
    assert start["event"] == "start"
    assert start["settings"] == settings
    assert start["config"] == image["config"] == log_format.fingerprint(settings)
    data = path.read_bytes()
    assert image["sha256"] == hashlib.sha256(data).hexdigest()
    assert image["bytes"] == len(data)
    assert image["image"] == path.relative_to(tmp_path).as_posix()
    wanted = {"camera": "test", "frame": 7, "regions": 1, "whole": False, "escalated": False, **facts}
    assert {key: image[key] for key in wanted} == wanted
    assert image["detector"] == "d" * 64
    assert 0 < image["covered"] < 0.2
    assert image["captured"] == "2023-11-14T22:13:20.000+00:00"


def test_boxes_are_recorded_only_if_configured(tmp_path: Path, raw: Make) -> None:
    stored(ImageStore(StoreConfig(folder=tmp_path / "a")), [raw()])
    stored(ImageStore(StoreConfig(folder=tmp_path / "b"), AuditConfig(boxes=True)), [raw()])
    assert "boxes" not in records_of(tmp_path / "a")[1]
    (box,) = records_of(tmp_path / "b")[1]["boxes"]
    x1, y1, x2, y2 = box
    assert x1 < 40 < 80 < x2
    assert y1 < 30 < 80 < y2


def test_a_record_is_on_the_disk_before_its_image_has_a_name(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("fdatasync", "fsync", "link"):
        real = getattr(os, name)

        def note(*args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
            steps.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, name, note)
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    stored(store, [raw(number=0)])
    steps.clear()
    stored(store, [raw(number=n) for n in range(1, 4)])
    # One flush of the log, each image flushed before it is named, one flush of the folder for all
    assert steps == ["fdatasync", *["fsync", "link"] * 3, "fsync"]


def test_an_image_that_fails_affects_no_other_and_is_recorded(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    real, count = os.link, iter(range(100))

    def fail(*args: Any, **kwargs: Any) -> None:
        if next(count) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(*args, **kwargs)

    monkeypatch.setattr(os, "link", fail)
    frames = [blur.cover_whole(raw(number=n)) for n in range(3)]
    results = store.write([Entry(frame) for frame in frames])
    assert [isinstance(result, Path) for result in results] == [True, False, True]
    store.write([Entry(frames[0])])
    records = records_of(tmp_path)
    lost = [record for record in records if record["event"] == "not_stored"]
    assert [record["images"] for record in lost] == [[records[2]["image"]]]
    assert records.index(lost[0]) == 4
    assert len(list(tmp_path.rglob("*.jpg"))) == 3
    assert store.usage.folder == tmp_path


def test_a_folder_that_cannot_be_flushed_takes_its_images_back(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path))
    stored(store, [raw(number=0)])
    before = sorted(tmp_path.rglob("*.jpg"))

    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(durable, "flush_folder", fail)
        results = store.write([Entry(blur.cover_whole(raw(number=n))) for n in range(2)])
    assert all(isinstance(result, StoreError) for result in results)
    assert len(results) == 2
    assert sorted(tmp_path.rglob("*.jpg")) == before


def test_images_without_a_name_are_declared_at_the_next_start(tmp_path: Path, raw: Make) -> None:
    """As after a power cut between the record and the name."""
    store = ImageStore(StoreConfig(folder=tmp_path))
    paths = stored(store, [raw(number=n) for n in range(3)])
    store.close()
    paths[2].unlink()
    leftover = paths[0].parent / ".0123456789abcdef.part"
    leftover.write_bytes(b"half an image")
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    assert records_of(tmp_path)[-1]["not_stored"] == [paths[2].relative_to(tmp_path).as_posix()]
    assert not leftover.exists()
    store.close()
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    assert records_of(tmp_path)[-1]["not_stored"] == []  # once is enough


def test_a_killed_process_leaves_a_log_that_can_be_continued(tmp_path: Path) -> None:
    code = (
        "import os, sys, threading, time, numpy as np\n"
        "from pathlib import Path\n"
        "from edge import blur\n"
        "from edge.config import StoreConfig\n"
        "from edge.frames import RawFrame\n"
        "from edge.store.images import Entry, ImageStore\n"
        "store = ImageStore(StoreConfig(folder=Path(sys.argv[1])))\n"
        "frame = RawFrame(np.zeros((32, 32, 3), np.uint8), 'test', 0, 0.0, 0.0, 10**18)\n"
        "for number in range(10**6):\n"
        "    store.write([Entry(blur.cover_whole(frame))] * 3)\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(3):  # each at the same moment, as on a box without a clock
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            for _ in range(5):
                assert process.stdout.readline()
            process.kill()
            process.wait(60)
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    records = records_of(tmp_path)
    lost = {name for record in records if record["event"] == "start" for name in record["not_stored"]}
    named = {record["image"] for record in records if record["event"] == "image"}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")} == named - lost
    assert len(named) >= 45


def test_a_log_file_is_removed_only_when_old_and_without_images(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AuditConfig(rotate_megabytes=0.001, keep_days=1)
    store = ImageStore(StoreConfig(folder=tmp_path), config)
    paths = stored(store, [raw(number=0)]) + stored(store, [raw(number=1)])
    stored(store, [raw(number=2)])
    files = log_format.log_files(tmp_path)
    assert len(files) == 3  # the start and the first image, and one for each other
    for path in files:
        os.utime(path, (0, 0))  # says nothing
    store.keep()
    assert log_format.log_files(tmp_path) == files  # too young
    later = 2 * 86400
    monkeypatch.setattr(trusted_clock, "read_clocks", lambda: (time.time() + later, time.monotonic() + later))
    store.keep()
    assert log_format.log_files(tmp_path) == files  # an image of the first is still there
    paths[0].unlink()
    store.keep()
    left = log_format.log_files(tmp_path)
    assert left[0] == files[1]
    records = map(log_format.decode_line, lines_of(tmp_path))
    purged = [record for record in records if record["event"] == "log_purged"]
    first = log_format.decode_line(left[0].read_bytes().splitlines()[0])
    assert (purged[-1]["through"], purged[-1]["head"]) == (first["n"] - 1, first["previous"])


@given(st.binary(max_size=80))
def test_any_line_is_a_record_or_a_value_error(line: bytes) -> None:
    try:
        record = log_format.decode_line(line)
    except ValueError:
        return
    assert set(record) >= {"n", "previous", "time", "event"}


@pytest.mark.parametrize("n", ["1", True, None, 1.5])
def test_a_record_with_a_wrong_number_is_refused(n: object) -> None:
    line = json.dumps({"n": n, "previous": "", "time": "", "event": "stop"}).encode()
    with pytest.raises(ValueError, match="'n'"):
        log_format.decode_line(line)


def test_a_folder_whose_name_could_not_be_flushed_is_flushed_before_an_image_counts(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(StoreConfig(folder=tmp_path))
    store.open()
    entry, real, flushed = Entry(blur.cover_whole(raw())), os.fsync, []

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def note(handle: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="Input/output error"):
            store.write([entry])
    monkeypatch.setattr(os, "fsync", note)
    (path,) = store.write([entry])
    assert isinstance(path, Path)
    assert {str(tmp_path), str(path.parent.parent), str(path.parent)} <= set(flushed)


def test_nothing_is_recorded_before_the_start_of_its_process(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ImageStore(StoreConfig(folder=tmp_path))
    stored(before, [raw(number=0)])
    before.close()
    store = ImageStore(StoreConfig(folder=tmp_path))

    def fail(*args: object) -> None:
        raise StoreError("cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr("edge.store.images.remove_temporaries", fail)
        with pytest.raises(StoreError, match="cannot be read"):
            store.open()
    stored(store, [raw(number=1)])
    assert [record["event"] for record in records_of(tmp_path)] == ["start", "image", "start", "image"]


def test_the_name_of_a_lost_image_is_never_given_again(
    tmp_path: Path, raw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process lives through the same moment, and is killed between record and name."""
    for _ in range(3):
        store = ImageStore(StoreConfig(folder=tmp_path))
        stored(store, [raw()])
        with monkeypatch.context() as patch:
            patch.setattr(os, "link", lambda *args, **kwargs: killed())
            with pytest.raises(KeyboardInterrupt):
                store.write([Entry(blur.cover_whole(raw())) for _ in range(2)])
        store.close()
    names = [record["image"] for record in records_of(tmp_path) if record["event"] == "image"]
    assert len(names) == len(set(names)) == 9


def killed() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "removed"])
def test_a_store_that_is_moved_or_removed_is_started_again(tmp_path: Path, raw: Make, moved: bool) -> None:
    folder = tmp_path / "store"
    store = ImageStore(StoreConfig(folder=folder))
    store.usage.start()
    stored(store, [raw(), raw()])
    if moved:
        folder.rename(tmp_path / "away")
    else:
        shutil.rmtree(folder)
    (image,) = stored(store, [raw()])
    assert image.is_file()
    assert [record["event"] for record in records_of(folder)] == ["start", "image"]
    assert records_of(folder)[1]["image"] == image.relative_to(folder).as_posix()
    store.usage._thread.join()
    assert store.usage.images == 1
    store.close()
    if moved:
        away = [record["event"] for record in records_of(tmp_path / "away")]
        assert away == ["start", "image", "image"]
