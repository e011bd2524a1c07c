"""A wrong clock causes no removal by age, however it came about and however often the process restarts."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edge import blur
from edge.audit import record_fields
from edge.boxes import NO_BOXES
from edge.config import BlurConfig, make_config
from edge.daemon.read_status import read_status
from edge.frames import RawFrame
from edge.status.gauges import gauges_text
from edge.store import log_format, retention, trusted_clock
from edge.store.images import Entry
from edge.store.trusted_clock import Clock
from tests.daemon.playing import Truthful, make
from tests.store.clock_box import BEGIN, DAY, FRESH, HOUR, MINUTE, Box
from tests.store.records import records_of

Make = Callable[..., RawFrame]


@pytest.mark.parametrize(
    ("step", "days", "words"),
    [
        (400 * DAY, 30, "gained 400.0 days"),
        (25 * HOUR, 1, "gained 25.0 hours"),
        (6 * MINUTE, 1, "gained 6 minutes"),
        (-1 * HOUR, 30, "lost 60 minutes: it was set back"),
        (-400 * DAY, 30, "lost 400.0 days: it was set back"),
    ],
)
def test_a_clock_that_is_set_while_the_box_runs_removes_nothing_until_it_is_set_right(
    box: Box, step: float, days: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edge.store.trusted_clock")
    box.image(days * DAY - 2 * MINUTE)
    box.start(max_age_days=days)
    assert (box.keep(), box.doubt) == (FRESH + 1, "")
    box.wall += step
    for _ in range(3):
        assert box.keep() == FRESH + 1  # not even what is too old by both clocks
    assert words in box.doubt
    assert [record.message for record in caplog.records] == [f"store: {box.doubt}"]
    box.wall -= step
    assert (box.keep(), box.doubt) == (FRESH, "")
    assert caplog.records[-1].message == "store: removal by age is on again"


@pytest.mark.parametrize("step", [-299.0, 1.0, 299.0])
def test_a_small_correction_causes_no_doubt(box: Box, step: float) -> None:
    box.image(30 * DAY + HOUR)
    box.wall += step
    assert (box.keep(), box.doubt) == (FRESH, "")


def test_a_wrong_clock_stays_in_doubt_after_a_restart(box: Box) -> None:
    """The clock is set while the box runs, records are written with it, and systemd restarts the service."""
    box.wall += 400 * DAY
    assert box.keep() == FRESH
    assert records_of(box.folder)[-1]["time"].startswith("2027-08-18")
    for _ in range(3):
        box.start()
        assert box.keep() == FRESH
        assert "at the start the clock was 400.0 days ahead of the newest record" in box.doubt
    box.wall -= 400 * DAY
    box.image(30 * DAY + HOUR)
    assert box.keep() == FRESH + 1  # the process has a wrong start
    assert box.doubt
    box.start()
    assert (box.keep(), box.doubt) == (FRESH, "")
    assert records_of(box.folder)[-1]["steady"] == records_of(box.folder)[-1]["time"]


def test_a_start_with_a_wrong_clock_removes_nothing(box: Box) -> None:
    box.wall += 400 * DAY
    for _ in range(3):
        box.start()
        assert box.keep() == FRESH
        assert "400.0 days ahead" in box.doubt
    assert all(record_fields.problem_of(record) == "" for record in records_of(box.folder))


@pytest.mark.parametrize(
    ("off", "left"),
    [(24 * HOUR, FRESH), (25 * HOUR, FRESH), (25 * HOUR + 1, FRESH + 1), (7 * DAY, FRESH + 1)],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_a_box_may_have_been_off_for_25_hours(box: Box, off: float, left: int, trusted: bool) -> None:
    box.image(30 * DAY - HOUR)
    box.passes(off)
    box.steady = 10.0  # it starts again with the machine
    box.start(trust_battery_clock=trusted)
    assert box.keep() == (left if trusted else FRESH + 1)  # the clock may just as well be wrong
    assert bool(box.doubt) == (left > FRESH)


def test_after_a_week_a_person_confirms_the_clock_once(box: Box) -> None:
    box.image(30 * DAY)
    box.passes(7 * DAY)
    for _ in range(3):
        box.start()
        assert box.keep() == FRESH + 1
        assert "edge confirm-clock" in box.doubt
        box.passes(30 * HOUR)  # however long it runs
    box.start(clock_confirmed=datetime.fromtimestamp(box.wall - HOUR, timezone.utc))
    assert (box.keep(), box.doubt) == (FRESH, "")
    box.passes(20 * HOUR)
    box.start()  # the key may stay, and then says nothing
    assert (box.keep(), box.doubt) == (FRESH, "")
    box.wall += 400 * DAY
    box.start()
    assert box.keep() == FRESH
    assert box.doubt


def test_a_box_that_starts_in_the_past_is_right_again_after_a_restart_with_the_right_clock(box: Box) -> None:
    box.image(30 * DAY)
    right = box.wall
    box.wall = 0.0
    box.start()
    assert box.keep() == FRESH + 1
    assert "behind the newest record" in box.doubt
    box.wall = right + 10 * MINUTE  # a time server answers
    assert box.keep() == FRESH + 1
    box.start()
    assert (box.keep(), box.doubt) == (FRESH, "")


def test_without_a_log_the_age_of_the_images_is_unknown(box: Box) -> None:
    for path in log_format.log_files(box.folder):
        path.unlink()
    box.wall += 400 * DAY
    for _ in range(2):
        box.start()
        assert box.keep() == FRESH
        assert "no record says when the images were stored" in box.doubt
    assert all(record_fields.problem_of(record) == "" for record in records_of(box.folder))
    box.start(clock_confirmed=datetime.fromtimestamp(box.wall, timezone.utc))
    assert (box.keep(), box.doubt) == (0, "")


@pytest.mark.parametrize(
    "record", [{"time": "soon"}, {"time": "2026-07-14T12:00:00"}, {"time": "", "steady": 1}]
)
def test_a_record_without_a_time_proves_nothing(record: dict[str, Any]) -> None:
    judged = Clock()
    judged.judge([record], images=False)
    assert judged.now() is None
    assert "no record says" in judged.doubt


def test_a_clock_that_was_held_against_nothing_is_not_relied_on() -> None:
    assert Clock().now() is None


def test_a_new_store_causes_no_doubt(box: Box, tmp_path: Path) -> None:
    box.folder = tmp_path / "new"
    box.start()
    assert (box.keep(), box.doubt) == (0, "")
    box.image(30 * DAY + HOUR)
    assert box.keep() == 0


def test_quota_and_reserve_remove_all_the_same(box: Box, raw: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(blur.anonymize(raw(), NO_BOXES, BlurConfig()))
    box.wall += 400 * DAY
    box.start(quota_megabytes=1, format="png")
    assert box.store is not None
    box.store.usage.start()
    box.store.usage._thread.join()
    box.store.usage.add(1_000_000)
    monkeypatch.setattr(retention, "free_bytes", lambda folder: 10**12)
    box.store.write([entry])
    purged = [record for record in records_of(box.folder) if record["event"] == "purged"]
    assert {record["why"] for record in purged} == {"quota"}
    assert not list(box.folder.rglob("*.jpg"))
    box.start(quota_megabytes=None)
    assert len(list(box.folder.rglob("*.png"))) == 1
    monkeypatch.setattr(retention, "free_bytes", lambda folder: 0 if list(folder.rglob("*.png")) else 10**12)
    box.store.write([entry])
    assert [record["why"] for record in records_of(box.folder) if record["event"] == "purged"][
        -1
    ] == "min_free"


def test_old_log_files_wait_as_well(box: Box) -> None:
    box.keep_days = 30
    for path in box.folder.rglob("*.jpg"):
        path.unlink()
    box.start(max_age_days=None)
    for _ in range(20):
        box.keep()
    files = log_format.log_files(box.folder)
    for path in files:
        os.utime(path, (0, 0))  # says nothing
    assert len(files) > 2
    box.wall += 400 * DAY
    box.keep()
    box.start()
    box.keep()
    assert set(files) <= set(log_format.log_files(box.folder))
    assert box.doubt
    box.wall -= 400 * DAY
    box.start()
    box.keep()
    assert set(files) <= set(log_format.log_files(box.folder))
    box.passes(30 * DAY)
    box.keep()
    assert not set(files[:-1]) & set(log_format.log_files(box.folder))


def test_who_removes_nothing_by_age_hears_of_no_doubt(box: Box) -> None:
    box.start(max_age_days=None)
    box.wall += 400 * DAY
    box.keep()
    assert box.doubt == ""
    box.start(max_age_days=30)
    assert "400.0 days ahead" in box.doubt  # but it was recorded


def test_the_status_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = [BEGIN, 0.0]
    monkeypatch.setattr(trusted_clock, "read_clocks", lambda: (clocks[0], clocks[1]))
    config = make_config({"store": {"folder": tmp_path, "max_age_days": 30}}, "test")
    pipeline, _ = make(config, [], Truthful())
    pipeline.store.open()
    assert read_status(pipeline).degraded == []
    clocks[0] += 400 * DAY
    status = read_status(pipeline)
    pipeline.store.close()
    assert status.degraded == [pipeline.store.clock_doubt]
    assert status.degraded[0].startswith("removal by age is off: since the start the clock has gained 400")
    assert b"\nedge_degraded 1" in gauges_text(status)


def test_a_store_that_is_replaced_or_returns_is_judged_again(box: Box) -> None:
    away = box.folder.with_name("away")
    box.keep()
    box.passes(8 * DAY)  # nothing is wrong with a long run
    box.keep()
    box.folder.rename(away)
    box.passes(2 * DAY)
    assert (box.keep(), box.doubt) == (0, "")
    box.folder.rename(away.with_name("other"))
    away.rename(box.folder)
    assert (box.keep(), box.doubt) == (FRESH, "")
    box.wall += 400 * DAY
    box.start()
    assert box.doubt
    began = box.wall
    box.folder.rename(away)
    assert (box.keep(), box.doubt) == (0, "")
    box.wall += 400 * DAY
    box.keep()
    steady = datetime.fromisoformat(records_of(box.folder)[-1]["steady"])
    assert steady.timestamp() == began + 2 * MINUTE


def test_the_battery_clock_does_not_tell_how_long_the_machine_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel adds what it says both to the wall clock and to CLOCK_BOOTTIME."""
    slept = {time.CLOCK_MONOTONIC: 5.0, time.CLOCK_BOOTTIME: 5.0 + 400 * DAY}
    monkeypatch.setattr(time, "clock_gettime", slept.get)
    monkeypatch.setattr(time, "monotonic", lambda: slept[time.CLOCK_MONOTONIC])
    monkeypatch.setattr(time, "time", lambda: BEGIN + 400 * DAY)
    assert trusted_clock.read_clocks() == (BEGIN + 400 * DAY, 5)
