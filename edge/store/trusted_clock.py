"""Decide what the box's clock may be used for.

There are three clocks. Anybody may set the *wall clock*. Nobody can set the *steady clock*, but it begins
anew with the machine. The *chain's clock* continues by the steady clock from the newest record of the audit
log. It lacks the time for which the box was off, so an age by it is never too high.

The wall clock is

* *in doubt* when it has moved by more than ``TOLERANCE_SECONDS`` against the steady clock since the start, or
  when the start lies before the newest record, or more than ``START_SECONDS`` after it. Then nothing is
  removed by age.
* *unproven* otherwise. Ages count by the chain's clock.
* *proven* once a person has confirmed it, or a time server has kept it for ``PROOF_SECONDS``
  (edge/store/clock_evidence.py). Ages count by the wall clock.

Records that were not written by a proven clock also have ``steady``: the time by the chain's clock. The next
start is compared with that. A clock that is wrong by more than ``START_SECONDS`` therefore stays in doubt
however often the process is restarted.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from edge.store.log_format import Record

log = logging.getLogger(__name__)

State = Literal["in_doubt", "unproven", "proven"]

TOLERANCE_SECONDS = 300.0
"""Slewing by NTP moves both clocks alike (clock_gettime(2)), so they only diverge when the wall clock is set:
by less than a second for a leap second, and by up to minutes when the first answer of a time server corrects
a clock that ran on a battery for weeks."""
START_SECONDS = 25 * 3600.0
"""Enough for a box that starts once a day at the same local time, even on the day that summer time ends."""
PROOF_SECONDS = 3600.0
"""How long a time server must have kept the clock before ages count by it."""
_EXACT_SECONDS = 2.0
"""A clock that a time server keeps is set by less than this: a leap second, or a last correction."""
_MOST_SEEN = 8
_WAY_OUT = "until a time server has kept the clock for an hour, or you confirm it: edge confirm-clock"


def read_clocks() -> tuple[float, float]:
    """The wall clock (Unix time) and the steady clock, in seconds.

    The steady clock is CLOCK_MONOTONIC, which cannot be set and which stops while the machine is suspended.
    CLOCK_BOOTTIME keeps counting, but takes the length of the suspension from the battery clock; if that is
    wrong, it moves both CLOCK_BOOTTIME and the wall clock. A suspension therefore counts like being off.
    """
    return time.time(), time.monotonic()


class Clock:
    """The clock of one process. For one thread, but ``doubt`` may be read from any."""

    def __init__(self, confirmed: datetime | None = None, *, trust_battery: bool = False) -> None:
        """To be created at the start. ``confirmed``: when a person confirmed that the clock was right.
        ``trust_battery``: a start within ``START_SECONDS`` of the newest record is proven at once."""
        self._start, steady = read_clocks()
        self._ahead = self._start - steady  # how far the wall clock is ahead of the steady one
        self._confirmed = None if confirmed is None else confirmed.timestamp()
        self._trust_battery = trust_battery
        self._chain: float | None = self._ahead  # how far the chain's clock is ahead of the steady one
        self._at_start = "the audit log has not been read yet"
        self._proven_by = ""
        self._kept: tuple[float, float] | None = None  # since when (steady) a server keeps it, how far ahead
        self._logged = ""
        self._told: tuple[State, str] | None = None  # what is on record since the start
        self._seen = deque([self._ahead], _MOST_SEEN)  # how far it was ahead, whenever set

    def judge(self, records: Sequence[Record], *, images: bool) -> None:
        """Compare the time of the start with the last of the records. ``images``: whether the store has any
        images, which matters only if it has no records."""
        self._told = "unproven", ""
        if self._proven_by:  # whatever this store says, the clock is right
            return
        _, steady = read_clocks()
        known = None if self._at_start else self._chain  # from a store that was there before
        newest = _time_of(records[-1]) if records else None
        self._chain = self._ahead if newest is None else newest - steady
        earliest, latest = self._start - START_SECONDS, steady + self._ahead + TOLERANCE_SECONDS
        usual = newest is not None and earliest <= newest <= latest
        if self._is_confirmed(steady, newest if usual else None):
            self._prove(self._ahead, "a person")
        elif not records and not images:  # new
            self._at_start = ""
        elif newest is None:
            self._at_start, self._chain = "no record says when the images were stored", None
        elif not usual:
            way = "ahead of" if newest < self._start else "behind"
            span = _span(abs(newest - self._start))
            self._at_start = f"at the start the clock was {span} {way} the newest record"
        elif self._trust_battery:
            self._prove(self._ahead, "its battery")
        else:
            self._at_start = ""
            if known is not None:
                self._chain = max(self._chain, known)

    def note_outside(self, keeps: bool) -> None:
        """To be called every minute. ``keeps``: whether a time server keeps the clock now."""
        wall, steady = read_clocks()
        ahead = wall - steady
        if not keeps:
            self._kept = None
        elif self._kept is None or abs(ahead - self._kept[1]) > _EXACT_SECONDS:
            self._kept = steady, ahead
        elif steady - self._kept[0] >= PROOF_SECONDS:
            self._prove(ahead, "a time server")

    def confirm(self) -> None:
        """A person says that the clock is right now."""
        wall, steady = read_clocks()
        self._prove(wall - steady, "a person")

    @property
    def doubt(self) -> str:
        """Why removal by age is off; empty while it is on."""
        wall, steady = read_clocks()
        self._note(wall - steady)
        return self._doubt(wall, steady)

    def now(self) -> datetime | None:
        """The time by which ages count; None while the clock is in doubt. Logs when that changes."""
        wall, steady = read_clocks()
        doubt = self._doubt(wall, steady)
        if doubt and not self._logged:
            log.warning("store: %s", doubt)
        elif self._logged and not doubt:
            log.info("store: removal by age is on again")
        self._logged = doubt
        if doubt or self._chain is None:
            return None
        return datetime.fromtimestamp(min(wall, steady + self._chain), timezone.utc)

    def stamp(self) -> dict[str, str | None]:
        """The ``time`` of a record, and ``steady`` unless the clock is proven."""
        wall, steady = read_clocks()
        stamp: dict[str, str | None] = {"time": _text(wall)}
        exact = abs(wall - steady - self._ahead) <= _EXACT_SECONDS
        if not exact or self._state(wall, steady) != "proven":
            stamp["steady"] = None if self._chain is None else _text(steady + self._chain)
        return stamp

    def named_ns(self, utc_ns: int, captured: float, *, kept: bool) -> int:
        """The time for the name of an image that was captured at ``utc_ns`` by the wall clock, and at
        ``captured`` (seconds) by the steady one, in Unix nanoseconds. It is that of the chain's clock while
        the wall clock is in doubt, unless a time server keeps it (``kept``)."""
        wall, steady = read_clocks()
        ahead = wall - steady
        self._note(ahead)
        in_doubt = not kept and self._chain is not None and self._doubt(wall, steady)
        holds = self._chain if in_doubt and self._chain is not None else ahead
        if self._was_set(utc_ns / 1e9 - captured, ahead):
            return round((captured + holds) * 1e9)
        utc_ns = min(utc_ns, round(wall * 1e9))  # a clock that is ahead for a moment leaves no trace in names
        return utc_ns - round((ahead - holds) * 1e9)

    def _was_set(self, then: float, now: float) -> bool:
        """Whether the wall clock was set after it was this far ahead: it is elsewhere now, and was there."""
        return abs(then - now) > _EXACT_SECONDS and self._has_seen(then)

    def _has_seen(self, ahead: float) -> bool:
        return any(abs(ahead - seen) <= _EXACT_SECONDS for seen in list(self._seen))

    def _note(self, ahead: float) -> None:
        if not self._has_seen(ahead):
            self._seen.append(ahead)

    def news(self) -> list[dict[str, Any]]:
        """A ``clock`` event if its state has changed since that was last on record, or else nothing."""
        wall, steady = read_clocks()
        state = self._state(wall, steady)
        why = self._why(wall, steady) if state == "in_doubt" else self._proven_by
        # A clock in doubt may be set again and again; that it came into doubt is on record
        if self._told is None or (state == self._told[0] and (state == "in_doubt" or why == self._told[1])):
            return []
        moved = None if self._chain is None else round(wall - steady - self._chain, 3)
        return [{"event": "clock", "state": state, "why": why, "ahead_seconds": moved}]

    def told(self, news: Sequence[Mapping[str, Any]]) -> None:
        """What ``news`` gave is on the disk."""
        for event in news:
            self._told = event["state"], event["why"]

    def _prove(self, ahead: float, by: str) -> None:
        self._ahead = self._chain = ahead
        self._at_start, self._proven_by = "", by

    def _is_confirmed(self, steady: float, newest: float | None) -> bool:
        """Whether ``store.clock_confirmed`` speaks for this start. Where nothing else is wrong, it does not
        once a record (``newest``) is younger than it, since the box may have been off after that."""
        if self._confirmed is None or (newest is not None and newest >= self._confirmed):
            return False
        return self._start - START_SECONDS <= self._confirmed <= steady + self._ahead + START_SECONDS

    def _state(self, wall: float, steady: float) -> State:
        if self._why(wall, steady):
            return "in_doubt"
        return "proven" if self._proven_by else "unproven"

    def _doubt(self, wall: float, steady: float) -> str:
        why = self._why(wall, steady)
        return f"removal by age is off: {why}; {_WAY_OUT}" if why else ""

    def _why(self, wall: float, steady: float) -> str:
        moved = wall - steady - self._ahead
        if self._at_start or abs(moved) <= TOLERANCE_SECONDS:
            return self._at_start
        how = "gained {}: it was set, or the machine slept" if moved > 0 else "lost {}: it was set back"
        return f"since the start the clock has {how.format(_span(abs(moved)))}"


def _time_of(record: Record) -> float | None:
    """When a record was written (Unix time), by the chain's clock; None if that is unknown."""
    return moment_of(record.get("steady", record["time"]))


def moment_of(text: Any) -> float | None:
    """The Unix time that a record gives; None if it is null, or not a time with a zone."""
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
