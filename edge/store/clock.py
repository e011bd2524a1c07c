"""Whether the box's clock may decide what is too old: one that is wrong would remove everything.

It may while both of these hold:

* The wall clock has kept up with the steady clock since the start, to within ``TOLERANCE_SECONDS``.
* The start lies within ``START_SECONDS`` of the newest record of the audit log, or of the moment at which a
  person found the clock right (``store.clock_confirmed``). A store with neither records nor images is new.

While they do not, each record also holds ``steady``: the last time that could be relied on, carried on by the
steady clock. The next start is held against that and not against the time of the record. So a clock that is
wrong by more than ``START_SECONDS`` cannot vouch for itself, however often the process is started again, and
one that is right again is relied on after the next start.
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
"""Slewing by NTP moves both clocks alike (clock_gettime(2)), so they only part when the wall clock is set: by
less than a second for a leap second, by up to minutes when the first answer of a time server corrects a clock
that ran on a battery for weeks. No more than this is removed early."""
START_SECONDS = 25 * 3600.0
"""Enough for a box that starts once a day at the same local time, also on the day that summer time ends."""
_WAY_OUT = "once the clock is right, restart; if that does not help, set store.clock_confirmed"


def read_clocks() -> tuple[float, float]:
    """The wall clock (Unix time) and the steady clock, in seconds.

    The steady clock is CLOCK_MONOTONIC, which nobody can set, and which stands still while the machine is
    suspended. CLOCK_BOOTTIME does not, but how long the machine slept is told by its battery clock, and a
    wrong one would move both CLOCK_BOOTTIME and the wall clock. So having slept counts like having been off.
    """
    return time.time(), time.monotonic()


class Clock:
    """The clock of one process. For one thread, but ``doubt`` may be read from any."""

    def __init__(self, confirmed: datetime | None = None) -> None:
        """This is the start. ``confirmed``: when a person found the clock right."""
        self._start, steady = read_clocks()
        self._ahead = self._start - steady  # of the wall clock at the start
        self._confirmed = None if confirmed is None else confirmed.timestamp()
        self._reliable: float | None = self._ahead  # the steady clock and this: the time to rely on
        self._at_start = "the audit log has not been read yet"
        self._told = False

    def judge(self, records: Sequence[Record], *, images: bool) -> None:
        """Hold the start against the last of the records. ``images``: whether the store has any, which
        counts where it has no records."""
        _, steady = read_clocks()
        earliest, latest = self._start - START_SECONDS, steady + self._ahead + START_SECONDS
        newest = _time_of(records[-1]) if records else None
        anchors = [moment for moment in (newest, self._confirmed) if moment is not None]
        new = not records and not images
        if new or any(earliest <= moment <= latest for moment in anchors):
            self._at_start, self._reliable = "", self._ahead
        elif newest is None:
            self._at_start, self._reliable = "no record tells when the images were made", None
        else:
            way = "ahead of" if newest < self._start else "behind"
            span = _span(abs(newest - self._start))
            self._at_start = f"at the start the clock was {span} {way} the newest record"
            self._reliable = newest - steady

    @property
    def doubt(self) -> str:
        """Why nothing may be removed by age now; empty while the clock can be relied on."""
        return self._doubt(*read_clocks())

    def now(self) -> datetime | None:
        """The time, or None while it cannot be relied on; says so in the log when that changes."""
        wall, steady = read_clocks()
        doubt = self._doubt(wall, steady)
        if doubt and not self._told:
            log.warning("store: %s", doubt)
        elif self._told and not doubt:
            log.info("store: removal by age is on again")
        self._told = bool(doubt)
        return None if doubt else datetime.fromtimestamp(wall, timezone.utc)

    def stamp(self) -> dict[str, str | None]:
        """``time`` of a record, and ``steady`` where there is doubt."""
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
    """When a record was written, as far as that can be relied on; None if not at all."""
    text: Any = record.get("steady", record["time"])
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):  # null, or no time: decode_line only sees to it that it is a text
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} minutes"
