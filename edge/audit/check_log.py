"""Read the log from its beginning: does each record follow from the one before?

A line that is not a record is only acceptable at the end of a file, where a write was cut short. In that
case the next record begins a new file and says so (``damaged``), or the log ends there. Anything else is
wrong. Reading continues after a break, so that one break does not hide what follows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edge.audit import record_fields
from edge.audit.files import exists, log_names, open_below
from edge.audit.findings import Findings
from edge.store.log_format import (
    FOLDER,
    GENESIS,
    Record,
    decode_line,
    file_name,
    first_number,
    hash_line,
)

TORN_BYTES = 1 << 16
"""A write that was cut short leaves fewer bytes than this."""
_LONGEST_LINE = 1 << 20
_MOST_BAD_LINES = 1000


@dataclass(frozen=True)
class _Torn:
    """The last ``size`` bytes of a log file are not a record; 0: the file is empty."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.problem}: the process was killed while writing, or the power failed"

    @property
    def problem(self) -> str:
        return f"its last {self.size} bytes are not a record" if self.size else "is empty"


class LogReader:
    """Reads the records of a store and checks the chain of hashes.

    ``number`` and ``head`` are the number and hash of the last record read, ``first`` is the number of the
    first record that is still there, and ``wanted_at`` the number of the record whose hash is ``wanted``.
    """

    def __init__(self, store: int, findings: Findings, wanted: str | None = None) -> None:
        self.number = 0
        self.head = GENESIS
        self.first: int | None = None
        self.wanted_at: int | None = None
        self._store = store
        self._findings = findings
        self._wanted = wanted
        self._begins_after = GENESIS
        self._ends: dict[str, int] = {}  # log file -> how many of its bytes were read
        self._hashes: dict[int, str] = {}  # last record of a file -> its hash
        self._torn: list[_Torn] = []
        self._removed: dict[int, str] = {}  # log files were removed up to this record -> its hash
        self._given_up: set[str] = set()  # files that cannot be read, or no further
        self._bad_lines = 0

    @property
    def files(self) -> int:
        """How many log files were read."""
        return len(self._ends)

    def records(self) -> Iterator[Record]:
        """The records, oldest first; a second call gives those that were added since."""
        try:
            names = log_names(self._store)
        except OSError as error:
            self._give_up(FOLDER, f"cannot be read: {error.strerror or error}")
            return
        last = next(reversed(self._ends), "")
        for name in names:
            if name not in self._given_up and (name == last or name not in self._ends):
                yield from self._read_file(name)

    def again(self) -> Iterator[Record]:
        """The records that were read before and are still there, without checking the chain."""
        for name, end in list(self._ends.items()):
            try:
                handle = open_below(self._store, f"{FOLDER}/{name}")
            except OSError:  # removed since, or ``records`` has reported what is wrong
                continue
            with open(handle, "rb") as file:
                done = 0
                while done < end and (line := file.readline(_LONGEST_LINE)):
                    done += len(line)
                    record = _decode(line)
                    if record is not None and not record_fields.problem_of(record):
                        yield record

    def finish(self) -> None:
        """Judge what is only known at the end: unfinished writes, where the log begins, and ``wanted``."""
        for torn in self._torn:
            self._findings.note("log", torn.name, f"{torn}, or the box is writing it now")
        if self.first is None:
            self._findings.wrong("log", FOLDER, "holds no record")
        elif self.first > 1 and self._removed.get(self.first - 1) != self._begins_after:
            missing = f"records 1 to {self.first - 1}"
            self._findings.wrong("log", missing, "are missing, and no record says that they were removed")
        for through, head in self._removed.items():
            self._judge_removal(through, head)
        if self._wanted is None:
            text = "only a hash saved outside the box proves that the end is complete; give it with --head"
            self._findings.note("head", "", text)
            return
        self._findings.checked("head")
        if self.wanted_at is None:
            text = (
                "no record has this hash: the end of the log was cut off, or the whole log was rewritten, or "
                "the record is older than audit.keep_days"
            )
            self._findings.wrong("head", self._wanted, text)

    def _judge_removal(self, through: int, head: str) -> None:
        if self.first is not None and through >= self.first and self._hashes.get(through) != head:
            text = "is not the last one of a log file, or its hash is not the one that a later record gives"
            self._findings.wrong("log", f"record {through}", text)
        for name in self._ends:
            if first_number(name) <= through and exists(self._store, f"{FOLDER}/{name}"):
                self._findings.note("log", name, "is there: its recorded removal was not finished")

    def _read_file(self, name: str) -> Iterator[Record]:
        begun = name in self._ends
        if not begun:
            self._findings.checked("log")
        try:
            handle = open_below(self._store, f"{FOLDER}/{name}")
        except FileNotFoundError:  # just removed; the next file shows if that was recorded
            return
        except OSError as error:
            self._give_up(name, f"cannot be read: {error.strerror or error}")
            return
        self._torn = [torn for torn in self._torn if torn.name != name]
        with open(handle, "rb") as file:
            file.seek(self._ends.setdefault(name, 0))
            while line := file.readline(_LONGEST_LINE):
                record = _decode(line)
                if record is not None:
                    self._link(name, record, line[:-1], first_of_file=not begun)
                    begun = True
                    if self._is_sound(record):
                        yield record
                elif not self._pass_over(name, line, file):
                    break
                self._ends[name] += len(line)
            if not os.fstat(handle).st_size:
                self._torn.append(_Torn(name, 0))
        self._hashes[self.number] = self.head

    def _pass_over(self, name: str, line: bytes, file: BinaryIO) -> bool:
        """Judge a line that is not a record; return whether to continue after it."""
        after = file.tell()
        rest = line + file.read(TORN_BYTES)
        if _is_torn(rest):
            self._torn.append(_Torn(name, len(rest)))
            return False
        self._bad_lines += 1
        self._findings.wrong(
            "chain", f"{name}, byte {after - len(line)}", "not a record, although more follows"
        )
        if not line.endswith(b"\n") or self._bad_lines >= _MOST_BAD_LINES:
            self._give_up(name, "too many of its lines are not records; the rest was not read")
            return False
        file.seek(after)
        return True

    def _give_up(self, name: str, why: str) -> None:
        if name not in self._given_up:
            self._given_up.add(name)
            self._findings.wrong("log", name, why)

    def _link(self, name: str, record: Record, line: bytes, *, first_of_file: bool) -> None:
        """Compare a record with the previous one."""
        number, wrong = record["n"], self._findings.wrong
        where = f"record {number}"
        self._findings.checked("chain")
        if first_of_file and name != file_name(number):
            wrong("log", name, f"begins with record {number}")
        if self.first is None:
            self.first, self._begins_after = number, record["previous"]
            if number == 1 and record["previous"] != GENESIS:
                wrong("chain", where, "is the first record, yet it names a previous one")
            if number == 1 and record["event"] != "start":
                wrong("chain", where, "is the first record, but not a start")
        elif number > self.number + 1:
            wrong("chain", where, f"follows record {self.number}: the records between are missing")
        elif number <= self.number:
            wrong("chain", where, f"follows record {self.number}: it is out of order or a duplicate")
        elif record["previous"] != self.head:
            wrong("chain", where, f"does not match record {self.number}: one of the two was changed")
        self.number, self.head = number, hash_line(line)
        if self.head == self._wanted:
            self.wanted_at = number
        _judge_torn(self._torn, name, record, self._findings, is_first=number == self.first)
        self._torn = []

    def _is_sound(self, record: Record) -> bool:
        """Check one record without regard to those before it."""
        self._findings.checked("fields")
        where = f"record {record['n']}"
        problem = record_fields.problem_of(record)
        if problem:
            self._findings.wrong("fields", where, problem)
            return False
        if "settings" in record:
            self._findings.checked("settings")
            if not record_fields.settings_match(record):
                self._findings.wrong("settings", where, "its settings do not match their hash")
        if record["event"] == "log_purged":
            self._removed[record["through"]] = record["head"]
        return True


def _judge_torn(ends: list[_Torn], name: str, record: Record, findings: Findings, *, is_first: bool) -> None:
    """Compare the torn ends of earlier files with what the next record, in file ``name``, says about them."""
    number, damaged = record["n"], record.get("damaged")
    explained = [torn for torn in ends if [torn.name, torn.size] == damaged]
    for torn in ends:
        if torn in explained:
            findings.note("log", torn.name, f"{torn}; record {number} says so")
        else:
            text = f"{torn.problem}, which record {number} does not mention"
            findings.wrong("log", torn.name, text)
    if explained or damaged is None or not record_fields.is_damage(damaged):
        return
    file, size = damaged
    if file == name == file_name(number) and size < TORN_BYTES:
        findings.note("log", name, f"replaced a file whose {size} bytes were not a record")
    elif number == 1 or not is_first:  # before the first record that is left, that file may have been removed
        text = f"says that {size} bytes of {file} are not a record, which is not true"
        findings.wrong("log", f"record {number}", text)


def _decode(line: bytes) -> Record | None:
    """The record on a line that ends with a newline; None if the line is not a record."""
    if not line.endswith(b"\n"):
        return None
    try:
        return decode_line(line[:-1])
    except ValueError:
        return None


def _is_torn(rest: bytes) -> bool:
    """Whether the end of a file can come from a write that was cut short: it is short and holds no record."""
    lines = rest.split(b"\n")[:-1]
    return len(rest) < TORN_BYTES and all(_decode(line + b"\n") is None for line in lines)
