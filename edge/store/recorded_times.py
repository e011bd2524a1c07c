"""How old an image is, according to the chain of records instead of its name or its file's times.

A record that a proven clock has stamped says when it was written. Any other counts as written when the next
one was that a proven clock has stamped. Where there is none yet, both the record and the present have their
places on the chain's clock (edge/store/trusted_clock.py). None of this makes an image older than it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

from edge.errors import StoreError
from edge.store import log_format
from edge.store.log_format import Record
from edge.store.trusted_clock import moment_of

_UNKNOWN = float("inf")


class RecordedTimes:
    """Reads the log of a store. For one thread. Only the file that was read last is held in memory."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._files: list[Path] = []
        self._read: Path | None = None
        self._images: dict[str, float] = {}
        self._settled = False  # no later record changes what was read

    def refresh(self) -> None:
        """Take note that the log has grown. Raises StoreError."""
        try:
            self._files = log_format.log_files(self._store)
        except OSError as error:
            raise StoreError(f"audit log {error.filename}: {error.strerror or error}") from error
        if not self._settled or self._read not in self._files:
            self._read, self._images = None, {}

    def of_image(self, image: Path) -> float | None:
        """Unix time before which an image was stored; infinity while that is unknown. None if no record that
        is left names it. Raises StoreError when the log cannot be read."""
        digits = image.name.partition("-")[2].partition(".")[0]
        name = image.relative_to(self._store).as_posix()
        if not digits.isdecimal() or not self._files:
            return None
        firsts = [log_format.first_number(path.name) for path in self._files]
        place = max(0, bisect_right(firsts, int(digits)) - 1)
        # The number in a name can be a little lower than that of its record, which may begin the next file
        for path in self._files[place : place + 2]:
            if self._read != path:
                self._read = None  # in case of an error
                self._images = self._times_in(path)
                self._read = path
            if name in self._images:
                return self._images[name]
        return None

    def of_head(self, file: Path) -> float:
        """Unix time before which everything ahead of a log file was written; infinity while that is unknown.
        Raises StoreError."""
        head = _head(file)
        if head is None:
            return _UNKNOWN
        bound = _first_proven([head])
        if bound is None:
            bound = _first_proven(_records(file))
        if bound is None:
            bound = self._proven_after(file)
        return _by_chain(head) if bound is None else bound

    def _times_in(self, path: Path) -> dict[str, float]:
        """For each image that a file names, the time before which it was stored."""
        times: dict[str, float] = {}
        bound = self._proven_after(path)
        self._settled = bound is not None
        for record in reversed(_records(path)):
            proven = _proven(record)
            bound = bound if proven is None else proven
            if record["event"] == "image":
                times.setdefault(record["image"], _by_chain(record) if bound is None else bound)
        return times

    def _proven_after(self, path: Path) -> float | None:
        """Time of a record in a later file that a proven clock has stamped: the first one, except that files
        which neither begin nor end with one are passed over."""
        later = self._files[bisect_right(self._files, path) :]
        previous: Path | None = None
        for file in later:
            head = _head(file)
            proven = None if head is None else _proven(head)
            if proven is not None:
                first = None if previous is None else _first_proven(_records(previous))
                return proven if first is None else first
            previous = file
        return None if previous is None else _first_proven(_records(previous))


def _head(path: Path) -> Record | None:
    try:
        with path.open("rb") as file:
            return _decoded(file.readline())
    except OSError as error:
        raise StoreError(f"audit log {path}: {error.strerror or error}") from error


def _records(path: Path) -> list[Record]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StoreError(f"audit log {path}: {error.strerror or error}") from error
    return [record for record in map(_decoded, lines) if record is not None]


def _first_proven(records: Iterable[Record]) -> float | None:
    return next((time for time in map(_proven, records) if time is not None), None)


def _decoded(line: bytes) -> Record | None:
    try:
        return log_format.decode_line(line.rstrip(b"\n"))
    except ValueError:  # the remains of an interrupted write
        return None


def _proven(record: Record) -> float | None:
    """The time of a record that a proven clock has stamped; None for others."""
    return None if "steady" in record else moment_of(record["time"])


def _by_chain(record: Record) -> float:
    time = moment_of(record.get("steady"))
    return _UNKNOWN if time is None else time
