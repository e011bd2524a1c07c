"""Which images must be there, told by the records.

For a million images this holds a million paths and nothing else of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from edge.audit.files import is_below
from edge.audit.findings import Findings
from edge.store.chain import FOLDER, Record
from edge.store.recovery import TAIL_IMAGES


class ExpectedImages:
    """``due``: the images that must be there, each with the number of its record. ``fresh``: the last images
    on record, with no start or stop since; the process may have been about to store them.

    Of the files that were listed: ``unknown`` are those of which no record speaks (so far), ``removed`` those
    that are gone by their records (with the number of the last), ``unstored`` those that never got their
    name by theirs.
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
        """Take the next record of the log; its form must be right."""
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
        self._findings.looked("paths")
        if not is_below(path) or path.startswith(f"{FOLDER}/") or not path.startswith(f"{camera}/"):
            text = "leads out of the folder of its camera; it was not opened"
            self._findings.wrong("paths", f"record {number}: {path}", text)
            return
        if path in self.due:  # the store gives no name twice while the first image is there
            text = (
                f"record {number} has it anew, and none says where the image of record {self.due[path]} went"
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
        """An image that was on record was not stored."""
        if path not in self.due:
            return
        if path not in self.fresh:
            text = f"record {number} says that it was not stored, but records before show that it was"
            self._findings.wrong("missing", path, text)
        del self.due[path]
        if path in self._unlisted:
            self._unlisted.remove(path)
        else:
            self.unstored[path] = number


def unstored_of(record: Record) -> list[str]:
    """Images of which a record says that they never got their name."""
    if record["event"] == "start":
        return list(record["not_stored"])
    return list(record["images"]) if record["event"] == "not_stored" else []


def gone_of(records: Iterator[Record]) -> set[str]:
    """Images that need not be there by these records."""
    gone: set[str] = set()
    for record in records:
        gone.update(record["images"] if record["event"] == "purged" else unstored_of(record))
    return gone
