"""What proves a clock, what is recorded of it, the names of images and their ages by the chain of records."""

from __future__ import annotations

import ctypes
import itertools
import os
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli import app
from edge.commands.doctor_clock import clock_check
from edge.config import StoreConfig
from edge.store import clock_evidence, log_format
from edge.store.clock_evidence import NOTE
from tests.store.clock_box import DAY, FRESH, HOUR, MINUTE, Box
from tests.store.records import records_of


def emptied(box: Box) -> Box:
    """Without the images that no record names."""
    for path in box.folder.rglob("*.jpg"):
        path.unlink()
    return box


def runs(box: Box, minutes: int) -> int:
    """The box runs for so long; returns how many images are left."""
    return [box.keep() for _ in range(minutes)][-1]


def test_a_time_server_that_keeps_the_clock_for_an_hour_ends_the_doubt(box: Box) -> None:
    box.image(30 * DAY + HOUR)
    box.wall += 400 * DAY
    runs(box, 10)
    assert box.clock_records() == [
        ("in_doubt", "since the start the clock has gained 400.0 days: it was set, or the machine slept")
    ]
    box.wall -= 399 * DAY
    box.kept = True
    assert runs(box, 60) == FRESH + 1
    assert box.doubt
    box.kept = False
    runs(box, 1)
    box.kept = True
    assert runs(box, 60) == FRESH + 1  # it must be an hour without a break
    assert (runs(box, 2), box.doubt) == (FRESH, "")
    assert box.clock_records()[1:] == [("proven", "a time server")]
    assert "steady" not in records_of(box.folder)[-1]


def test_a_clock_that_comes_right_by_itself_is_recorded(box: Box) -> None:
    box.wall += HOUR
    runs(box, 1)
    box.wall -= HOUR
    runs(box, 1)
    assert [state for state, _ in box.clock_records()] == ["in_doubt", "unproven"]


def test_a_person_confirms_the_clock_of_a_running_box(box: Box) -> None:
    box.image(30 * DAY - HOUR)
    box.wall += 2 * HOUR
    assert runs(box, 1) == FRESH + 1
    config = box.folder.parent / "edge.toml"
    config.write_text(f"[cameras.a]\nsource = 'synthetic'\n[store]\nfolder = '{box.folder}'\n")
    command = ["confirm-clock", "--config", str(config)]
    refused = CliRunner().invoke(app, command, input="n\n")
    assert (refused.exit_code, "nothing was confirmed" in refused.output) == (1, True)
    assert runs(box, 1) == FRESH + 1
    assert CliRunner().invoke(app, command, input="y\n").exit_code == 0
    assert (runs(box, 1), box.doubt) == (FRESH, "")
    assert box.clock_records()[-1] == ("proven", "a person")
    assert not (box.folder / log_format.FOLDER / NOTE).exists()


@pytest.mark.parametrize("how", ["set", "restarted", "nonsense", "a folder"])
def test_a_note_about_another_clock_confirms_nothing(
    box: Box, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.wall += 2 * HOUR
    note = box.folder / log_format.FOLDER / NOTE
    clock_evidence.write_note(box.folder)
    if how == "set":
        box.wall += 10
    elif how == "restarted":
        monkeypatch.setattr(clock_evidence, "_boot", lambda: "another")
    elif how == "nonsense":
        note.write_bytes(b"[1]")
    else:
        note.unlink()
        note.mkdir()
    runs(box, 2)
    assert box.doubt
    assert len([record for record in caplog.records if "confirm" in record.message]) == 2  # and the doubt


def test_doctor_says_what_a_start_would_make_of_the_clock(box: Box) -> None:
    config = StoreConfig(folder=box.folder, max_age_days=1)
    check = clock_check(config)
    assert (check.level, "images do not age" in check.found) == ("warn", True)
    box.kept = True
    assert clock_check(config).level == "ok"
    box.wall += 400 * DAY
    assert "400.0 days ahead of the newest record" in clock_check(config).found
    assert clock_check(StoreConfig(folder=box.folder / "none")).level == "ok"


def test_where_there_is_no_store_nothing_can_be_confirmed(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f"[cameras.a]\nsource = 'synthetic'\n[store]\nfolder = '{tmp_path / 'none'}'\n")
    done = CliRunner().invoke(app, ["confirm-clock", "--yes", "--config", str(config)])
    assert done.exit_code == 1
    assert "is store.folder right" in done.output


def test_the_answer_of_a_time_server_counts_where_the_kernel_may_not_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched = tmp_path / "synchronized"
    monkeypatch.setattr(clock_evidence, "_TIMESYNCD", touched)

    class Forbidden:
        def __init__(self, *_: object, **__: object) -> None: ...

        def adjtimex(self, _: object) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Forbidden)
    monkeypatch.setattr(ctypes, "get_errno", lambda: 1)
    assert not clock_evidence.kept_by_outside()
    touched.touch()
    assert clock_evidence.kept_by_outside()
    for age in (2 * HOUR, -2 * HOUR):  # no answer for long; the clock was set back
        os.utime(touched, (time.time() - age,) * 2)
        assert not clock_evidence.kept_by_outside()


def check_no_image_goes_too_early(box: Box, step: float, days: float, when: str, then: str) -> None:
    """Whatever the clock says, an image is there until it is as old as it may be, by the time that passed."""
    emptied(box)
    box.rotate_megabytes = 0.01
    box.start(max_age_days=days)
    stored: dict[Path, float] = {}
    passed = 0.0

    def goes_on(times: int, every: float) -> None:
        nonlocal passed
        for _ in range(times):
            for path in box.store_images():
                stored[path] = passed
            box.passes(every - MINUTE)
            box.keep()
            passed += every
            gone = [path for path in stored if not path.exists()]
            assert all(passed - stored[path] >= days * DAY for path in gone)

    goes_on(6, 3.9 * days * HOUR)  # the oldest image has another 36 minutes, or nine days, to go
    box.wall += step
    if when == "start":
        box.start()
    goes_on(4, MINUTE)
    if then == "is set right":
        box.wall -= step
        box.start()
    elif then == "is kept":
        box.wall -= step
        box.kept = True
    goes_on(13, 5 * MINUTE)
    if then != "stays":
        assert box.doubt == ""
        goes_on(10, 3 * days * HOUR)
        assert sum(path.exists() for path in stored) <= 9  # late by an hour at most
    named = [path.name for path in stored]
    assert named == sorted(named)


@pytest.mark.parametrize(
    ("step", "days", "when", "then"),
    [
        (25 * HOUR, 1, "running", "is kept"),
        (400 * DAY, 365, "start", "is set right"),
        (HOUR, 1, "start", "stays"),
        (-56 * 365 * DAY, 365, "start", "is kept"),
    ],
)
def test_no_image_goes_too_early(box: Box, step: float, days: float, when: str, then: str) -> None:
    check_no_image_goes_too_early(box, step, days, when, then)


@pytest.mark.sweep
@pytest.mark.parametrize("days", [1, 365])
@pytest.mark.parametrize("step", [-HOUR, HOUR, 25 * HOUR, 400 * DAY, -56 * 365 * DAY])
@pytest.mark.parametrize("when", ["running", "start"])
@pytest.mark.parametrize("then", ["stays", "is kept", "is set right"])
def test_no_step_makes_an_image_go_too_early(
    box: Box, step: float, days: float, when: str, then: str
) -> None:
    check_no_image_goes_too_early(box, step, days, when, then)


def test_a_new_box_without_a_battery_loses_nothing_when_it_learns_the_time(box: Box, tmp_path: Path) -> None:
    right, box.wall, box.folder = box.wall, 0.0, tmp_path / "new"
    box.start(max_age_days=1)
    box.store_images(3)
    runs(box, 1)
    box.wall, box.kept = right, True
    runs(box, 62)
    assert box.doubt == ""
    box.passes(DAY - 65 * MINUTE)
    assert runs(box, 1) == 3
    box.passes(70 * MINUTE)
    assert runs(box, 1) == 0


@pytest.mark.parametrize("proven", [False, True])
def test_names_never_go_backwards(box: Box, proven: bool) -> None:
    emptied(box)
    paths = []
    for step in (0, -HOUR, 0, 2 * HOUR, -400 * DAY, -1, 0):
        box.wall += step
        if proven:
            clock_evidence.write_note(box.folder)
            box.keep()
        for _ in range(3):
            paths += [*box.store_images(2), *box.store_images(2, "back")]
            box.passes(1)
        box.start()
        paths += box.store_images()
    for camera in ("front", "back"):
        of_camera = [path.name for path in paths if path.parent.parent.name == camera]
        assert of_camera == sorted(of_camera)
        assert len(set(of_camera)) == len(of_camera)
    for before, after in itertools.pairwise(map(moment, paths)):
        assert before - MINUTE < after < before + 2.1 * HOUR


def moment(image: Path) -> float:
    return datetime.strptime(image.name[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc).timestamp()


def test_a_clock_that_is_ahead_for_a_moment_leaves_no_trace(box: Box) -> None:
    """Frames captured in that moment are stored after it."""
    emptied(box)
    assert box.store_images(ahead=400 * DAY)[0].name.startswith("20260714T1200")


@pytest.mark.parametrize("step", [HOUR, -HOUR, 400 * DAY])
def test_an_image_that_waits_while_the_clock_is_set_is_named_by_when_it_was_captured(
    box: Box, step: float
) -> None:
    """It waits for the known face for seconds. The clock is set, and set back while another one waits."""
    assert box.store is not None
    right = box.wall - box.steady
    for by in (step, -step):
        box.store_images()
        captured, entry = box.steady, box.captured()
        box.passes(1)
        box.wall += by
        box.passes(4)
        (path,) = box.store.write([entry])
        assert isinstance(path, Path)
        assert moment(path) == pytest.approx(captured + right, abs=1)
        box.passes(MINUTE)


def test_names_wait_until_the_clock_has_caught_up(box: Box) -> None:
    """A leap second, which is a step back by one; an image every half second."""
    emptied(box)
    names = [box.store_images()[0].name]
    box.wall -= 1
    for _ in range(6):
        box.passes(0.5)
        names.append(box.store_images()[0].name)
    assert [name[9:19] for name in names] == [
        f"1200{second}" for second in ("00.000", "00.250", "00.500", "00.500", "01.000", "01.500", "02.000")
    ]


def test_a_clock_that_was_stepped_in_an_earlier_version_ages_nothing(box: Box) -> None:
    """Its images have the wrong names; their records say when they were stored."""
    emptied(box)
    box.start(max_age_days=1)
    right, box.wall = box.wall, 0.0
    clock_evidence.write_note(box.folder)
    box.keep()  # as if proven, so the name is that of the wall clock
    box.wall = right
    clock_evidence.write_note(box.folder)
    box.keep()
    image = box.store_images()[0]
    old = image.with_name(f"19700101T000000.000Z-{image.name.partition('-')[2]}")
    log = log_format.log_files(box.folder)[-1]
    log.write_bytes(log.read_bytes().replace(image.name.encode(), old.name.encode()))
    image.rename(old)
    runs(box, 3)
    assert old.exists()
    box.passes(DAY)
    runs(box, 1)
    assert not old.exists()


def test_of_a_long_log_little_is_read_where_no_clock_is_ever_proven(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many files lie between an old image and the present on a box that no time server reaches."""
    emptied(box)
    box.start(max_age_days=1)
    for _ in range(30):
        box.store_images()
        box.passes(MINUTE)
    assert len(log_format.log_files(box.folder)) > 20
    read = []
    whole = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    box.passes(DAY - 29 * MINUTE)
    assert box.keep() == 28
    assert len(read) <= 2 * 3  # the files of the images that go and of the one that stays, and the newest
