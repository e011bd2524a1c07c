"""Decide whether the box's clock can be relied on to remove what is too old.

With a wrong clock, removal by age could delete everything. The clock is relied on while both of these hold:

* Since the start, the wall clock has agreed with the steady clock to within ``TOLERANCE_SECONDS``.
* The start lies within ``START_SECONDS`` of the newest record of the audit log, or of the moment at which a
  person confirmed the clock (``store.clock_confirmed``). A store with neither records nor images is new, and
  needs no such evidence.

Otherwise each record also has ``steady``: the last reliable time, carried forward by the steady clock. The
next start is compared with that instead of the record's own time. A clock that is wrong by more than
``START_SECONDS`` therefore stays in doubt however often the process is restarted, and a corrected clock is
relied on after the next start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from edge.store.log_format import Record

log = logging.getLogger(__name__)

TOLERANCE_SECONDS = 300.0
"""Slewing by NTP moves both clocks alike (clock_gettime(2)), so they only diverge when the wall clock is set:
by less than a second for a leap second, and by up to minutes when the first answer of a time server corrects
a clock that ran on a battery for weeks. Images are removed early by no more than this."""
START_SECONDS = 25 * 3600.0
"""Enough for a box that starts once a day at the same local time, even on the day that summer time ends."""
_WAY_OUT = "once the clock is right, restart; if that does not help, set store.clock_confirmed"


def read_clocks() -> tuple[float, float]:
    """The wall clock (Unix time) and the steady clock, in seconds.

    The steady clock is CLOCK_MONOTONIC, which cannot be set and which stops while the machine is suspended.
    CLOCK_BOOTTIME keeps counting, but takes the length of the suspension from the battery clock; if that is
    wrong, it moves both CLOCK_BOOTTIME and the wall clock. A suspension therefore counts like being off.
    """
    return time.time(), time.monotonic()


class Clock:
    """The clock of one process. For one thread, but ``doubt`` may be read from any."""

    def __init__(self, confirmed: datetime | None = None) -> None:
        """To be created at the start. ``confirmed``: when a person confirmed that the clock was right."""
        self._start, steady = read_clocks()
        self._ahead = self._start - steady  # how far the wall clock is ahead of the steady one
        self._confirmed = None if confirmed is None else confirmed.timestamp()
        self._reliable: float | None = self._ahead  # reliable time minus the steady clock
        self._at_start = "the audit log has not been read yet"
        self._logged_doubt = False

    def judge(self, records: Sequence[Record], *, images: bool) -> None:
        """Compare the time of the start with the last of the records. ``images``: whether the store has any
        images, which matters only if it has no records."""
        _, steady = read_clocks()
        earliest, latest = self._start - START_SECONDS, steady + self._ahead + START_SECONDS
        newest = _time_of(records[-1]) if records else None
        anchors = [moment for moment in (newest, self._confirmed) if moment is not None]
        new = not records and not images
        if new or any(earliest <= moment <= latest for moment in anchors):
            self._at_start, self._reliable = "", self._ahead
        elif newest is None:
            self._at_start, self._reliable = "no record says when the images were stored", None
        else:
            way = "ahead of" if newest < self._start else "behind"
            span = _span(abs(newest - self._start))
            self._at_start = f"at the start the clock was {span} {way} the newest record"
            self._reliable = newest - steady

    @property
    def doubt(self) -> str:
        """Why removal by age is off; empty while the clock can be relied on."""
        return self._doubt(*read_clocks())

    def now(self) -> datetime | None:
        """The time, or None while the clock cannot be relied on. Logs when that changes."""
        wall, steady = read_clocks()
        doubt = self._doubt(wall, steady)
        if doubt and not self._logged_doubt:
            log.warning("store: %s", doubt)
        elif self._logged_doubt and not doubt:
            log.info("store: removal by age is on again")
        self._logged_doubt = bool(doubt)
        return None if doubt else datetime.fromtimestamp(wall, timezone.utc)

    def stamp(self) -> dict[str, str | None]:
        """The ``time`` of a record, and ``steady`` while the clock is in doubt."""
        wall, steady = read_clocks()
        stamp: dict[str, str | None] = {"time": _text(wall)}
        if self._doubt(wall, steady):
            stamp["steady"] = None if self._reliable is None else _text(steady + self._reliable)
        return stamp

    def _doubt(self, wall: float, steady: float) -> str:
        moved = wall - steady - self._ahead
        why = self._at_start
        if not why and abs(moved) > TOLERANCE_SECONDS:
            how = "gained {}: it was set, or the machine slept" if moved > 0 else "lost {}: it was set back"
            why = f"since the start the clock has {how.format(_span(abs(moved)))}"
        return f"removal by age is off: {why}; {_WAY_OUT}" if why else ""


def _time_of(record: Record) -> float | None:
    """When a record was written (Unix time); None if its time cannot be relied on."""
    text: Any = record.get("steady", record["time"])
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):  # null, or not a time: decode_line only checks that it is a text
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} minutes"
