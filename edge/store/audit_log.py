"""Write the audit log: each record is on the disk before what it announces is done.

edge/store/log_format.py describes the format.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import StoreError
from edge.store import log_format
from edge.store.durable import FILE_MODE, flush_folder, make_folder, reserve
from edge.store.trusted_clock import Clock

_WINDOW_BYTES = 1 << 20
"""How much of the end of the last file is read at the start. A group of records is a fraction of this."""


@dataclass(frozen=True)
class Tail:
    """The end of a log. ``records`` are the last valid ones, oldest first. ``damaged`` is ``[file, bytes]``
    if the last file ends in that many bytes that are not a record; otherwise it is empty."""

    records: list[log_format.Record] = field(default_factory=list)
    damaged: list[str | int] = field(default_factory=list)


class AuditLog:
    """Appends to the log of one store. For one thread, but ``last`` may be read from any.

    ``last`` is the number and hash of the last record that is on the disk. Only one process at a time can
    have the log of a store open.
    """

    def __init__(self, store: Path, rotate_bytes: int, clock: Clock | None = None) -> None:
        """``clock`` gives the times of the records; without one, a clock that is not relied on."""
        self._store = store
        self._folder = store / log_format.FOLDER
        self._rotate_bytes = rotate_bytes
        self._clock = clock or Clock()
        self._file: int | None = None
        self._size = 0
        self._lock: int | None = None
        self.last: tuple[int, str] = (0, log_format.GENESIS)

    @property
    def opened(self) -> bool:
        return self._lock is not None

    @property
    def in_place(self) -> bool:
        """Whether the open log is still the one below the store's folder, which may have been renamed or
        removed in the meantime."""
        if self._lock is None:
            return False
        try:
            return os.path.samestat(self._folder.stat(), os.fstat(self._lock))
        except OSError:
            return False

    @property
    def continues(self) -> bool:
        """Whether the log below the store's folder is the one to which this process wrote last."""
        try:
            for path in reversed(log_format.log_files(self._store)):
                _, hashes, _ = _read_end(path)
                if hashes:  # without, the power failed, or the disk did, before its first record
                    return self.last[1] in hashes
        except (OSError, StoreError):
            return False
        return False

    def open(self) -> Tail:
        """Lock the log and find its end. Raises StoreError when another process has it open, when more is
        damaged than an interrupted write can explain, or when the disk fails."""
        make_folder(self._folder)
        try:
            flush_folder(self._store)  # its name may not be durable if the process that made it was killed
            self._take_lock()
            return self._find_end(log_format.log_files(self._store))
        except OSError as error:
            self.close()
            raise StoreError(f"audit log {self._folder}: {error.strerror or error}") from error
        except StoreError:
            self.close()
            raise

    def append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Number, chain, write and flush records: all of them or none, followed by what is new of the clock.
        Raises StoreError."""
        number, head = self.last
        lines = []
        news = self._clock.news()
        for event in [*events, *news]:
            number += 1
            record = {"n": number, "previous": head, **self._clock.stamp(), **event}
            lines.append(log_format.encode_record(record))
            head = log_format.hash_line(lines[-1])
        if not lines:
            return
        data = b"".join(line + b"\n" for line in lines)
        if self._file is not None and self._size + len(data) > self._rotate_bytes:
            self._close_file()
        try:
            if self._file is None:
                self._new_file()
            self._write(data)
        except OSError as error:
            self._undo()
            raise StoreError(f"audit log {self._folder}: {error.strerror or error}") from error
        self._size += len(data)
        self.last = (number, head)
        self._clock.told(news)

    def close(self) -> None:
        """Unlock the log. It may be opened again."""
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if isinstance(error, BlockingIOError):
                raise StoreError(
                    f"{self._store}: another process stores images there; stop it, or choose another "
                    "store.folder"
                ) from error
            raise
        self._lock = handle

    def _find_end(self, files: list[Path]) -> Tail:
        self.last = (0, log_format.GENESIS)
        records: list[log_format.Record] = []
        damaged: list[str | int] = []
        newest = files[-1] if files else None
        while files:
            path = files.pop()
            records, hashes, rest = _read_end(path)
            if rest:  # stays in a file that holds records; a file without any is replaced
                damaged = [path.name, rest]
            if records:
                self.last = (records[-1]["n"], hashes[-1])
                if not damaged and path == newest and path.stat().st_size < self._rotate_bytes:
                    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                    self._file, self._size = os.open(path, flags), path.stat().st_size
                    with contextlib.suppress(OSError):  # the disk is full; retention will make room
                        reserve(self._file, self._rotate_bytes)
                break
            # The power failed after this file was made and before its first record was complete. The next
            # record begins a new file of the same name.
        return Tail(records, damaged)

    def _new_file(self) -> None:
        path = self._folder / log_format.file_name(self.last[0] + 1)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(FileNotFoundError):
            # Left by a failed write that could not be undone; none of its records was acknowledged.
            path.unlink()
        self._file, self._size = os.open(path, flags, FILE_MODE), 0
        # Every removal is recorded first, so a full disk must still have room for records.
        reserve(self._file, self._rotate_bytes)
        flush_folder(self._folder)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fdatasync(self._file)

    def _undo(self) -> None:
        """Cut off half-written records. If that fails too, leave the file: the next start finds its last
        valid line. After a failed flush the content of the disk is unknown, so nothing more is appended."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
                os.fdatasync(self._file)
        self.close()

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # its records have been flushed
                os.close(self._file)
            self._file = None


def newest_records(store: Path) -> list[log_format.Record]:
    """The last records of a store, oldest first, without locking its log; none if it has no log. Raises
    StoreError."""
    try:
        for path in reversed(log_format.log_files(store)):
            if records := _read_end(path)[0]:
                return records
    except OSError as error:
        raise StoreError(f"audit log {error.filename}: {error.strerror or error}") from error
    return []


def _read_end(path: Path) -> tuple[list[log_format.Record], list[str], int]:
    """The valid records at the end of a file, their hashes, and how many bytes follow them.

    Raises StoreError if the last ``_WINDOW_BYTES`` of a longer file hold no valid record.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _WINDOW_BYTES))
        data = file.read()
    if size > _WINDOW_BYTES:
        data = data[data.find(b"\n") + 1 :]
    records: list[log_format.Record] = []
    hashes: list[str] = []
    good = 0
    for record, line in records_in(data):
        if records and (record["n"], record["previous"]) != (records[-1]["n"] + 1, hashes[-1]):
            break
        records.append(record)
        hashes.append(log_format.hash_line(line))
        good += len(line) + 1
    if not records and size > _WINDOW_BYTES:
        raise StoreError(
            f"audit log {path}: its end is damaged; examine it with: edge audit {path.parent.parent}; "
            "to start afresh, move the store's folder away"
        )
    return records, hashes, len(data) - good


def records_in(data: bytes) -> Iterator[tuple[log_format.Record, bytes]]:
    """Records and their lines, up to the first line that is not a record, where a write was cut short."""
    for line in data.split(b"\n")[:-1]:
        try:
            record = log_format.decode_line(line)
        except ValueError:
            return
        yield record, line
