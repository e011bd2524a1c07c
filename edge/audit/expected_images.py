"""Work out from the records which images must be in the store.

For a million images this holds a million paths in memory, but nothing else about them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from edge.audit.files import is_below
from edge.audit.findings import Findings
from edge.store.log_format import FOLDER, Record
from edge.store.recovery import TAIL_IMAGES


class ExpectedImages:
    """Follows the log, record by record.

    ``due``: the images that must be there, each with the number of its record. ``fresh``: the last recorded
    images since the last start or stop; the process may have been killed before it stored them.

    The files that were listed are sorted into three groups: no record (so far) mentions those in ``unknown``;
    the log says that those in ``removed`` were removed and that those in ``unstored`` never got their names
    (each with the number of the record that says so).
    """

    def __init__(self, listed: set[str], findings: Findings) -> None:
        self.unknown = listed
        self.due: dict[str, int] = {}
        self.removed: dict[str, int] = {}
        self.unstored: dict[str, int] = {}
        self.fresh: deque[str] = deque(maxlen=TAIL_IMAGES)
        self._unlisted: set[str] = set()
        self._findings = findings

    def add(self, record: Record) -> None:
        """Take the next record of the log, whose fields must be valid."""
        event, number = record["event"], record["n"]
        if event == "image":
            self._add_image(record["image"], record["camera"], number)
        elif event == "purged":
            for path in record["images"]:
                self._remove(path, number)
        else:
            for path in unstored_of(record):
                self._take_back(path, number)
        if event in ("start", "stop"):
            self.fresh.clear()

    def _add_image(self, path: str, camera: str, number: int) -> None:
        self._findings.checked("paths")
        if not is_below(path) or path.startswith(f"{FOLDER}/") or not path.startswith(f"{camera}/"):
            text = "lies outside the folder of its camera; it was not opened"
            self._findings.wrong("paths", f"record {number}: {path}", text)
            return
        if path in self.due:  # the store never reuses a name while the first image is there
            text = (
                f"record {number} stores it again, and no record says what became of the image of record "
                f"{self.due[path]}"
            )
            self._findings.wrong("missing", path, text)
        elif self.removed.pop(path, None) is None and self.unstored.pop(path, None) is None:
            if path in self.unknown:
                self.unknown.remove(path)
            else:
                self._unlisted.add(path)
        self.due[path] = number
        self.fresh.append(path)

    def _remove(self, path: str, number: int) -> None:
        if self.due.pop(path, None) is not None:
            if path in self._unlisted:
                self._unlisted.remove(path)
            else:
                self.removed[path] = number
        elif path in self.unknown:
            self.unknown.remove(path)
            self.removed[path] = number

    def _take_back(self, path: str, number: int) -> None:
        """Record ``number`` says that an image, which an earlier record names, was not stored."""
        if path not in self.due:
            return
        if path not in self.fresh:
            text = f"record {number} says that it was not stored, but earlier records show that it was"
            self._findings.wrong("missing", path, text)
        del self.due[path]
        if path in self._unlisted:
            self._unlisted.remove(path)
        else:
            self.unstored[path] = number


def unstored_of(record: Record) -> list[str]:
    """The images that, according to this record, never got their names."""
    if record["event"] == "start":
        return list(record["not_stored"])
    return list(record["images"]) if record["event"] == "not_stored" else []


def gone_of(records: Iterator[Record]) -> set[str]:
    """The images that, according to these records, need not be there."""
    gone: set[str] = set()
    for record in records:
        gone.update(record["images"] if record["event"] == "purged" else unstored_of(record))
    return gone
