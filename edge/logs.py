"""Logging to standard error, one line per event, for a person or for the journal."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

SUMMARY_SECONDS = 60.0
"""How often ``Limited`` says how many lines of one kind it has left out."""


def printable(text: str) -> str:
    """Escape control characters and undecodable bytes, which file names may contain.

    >>> printable("a\\x1b[2J\\nb.jpg")
    'a\\\\x1b[2J\\\\nb.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _OneLine(logging.Formatter):
    """Escapes control characters, so that a file name cannot forge a second line."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - the base class's name
        # A traceback may quote values; type and text of the error are in the message already.
        return ""


def start(verbose: bool = False) -> None:
    """Send log records of this package to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("edge")
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.propagate = False


class Limited:
    """Warnings that may come with every frame: the first of each kind is a line, and the others are counted.

    The count becomes a line once a minute, when ``report`` is called or the next one comes. After a minute
    without any, the next one counts as a first again. Thread-safe.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that only grow."""
        self._log, self._clock = log, clock
        self._lock = threading.Lock()
        self._since: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], tuple[int, str]] = {}

    def warning(self, who: str, kind: str, text: str) -> None:
        """Log ``"who: text"``, or count it as one of its ``kind``. There must be few values of ``who`` and
        ``kind``, since one entry is kept for each pair: cameras and drop reasons, not texts of errors."""
        with self._lock:
            self._report_due(self._clock())
            key = (who, kind)
            if key in self._since:
                self._left_out[key] = (self._left_out.get(key, (0, ""))[0] + 1, text)
                return
            self._since[key] = self._clock()
            self._log.warning("%s: %s", who, text)

    def report(self, *, last: bool = False) -> None:
        """Log the counts that are due, or with ``last`` all of them. Cheap; call it often."""
        with self._lock:
            self._report_due(float("inf") if last else self._clock())

    def _report_due(self, now: float) -> None:
        for key in [key for key, since in self._since.items() if now - since >= SUMMARY_SECONDS]:
            count, text = self._left_out.pop(key, (0, ""))
            since = self._since.pop(key)
            if not count:
                continue
            if now < float("inf"):
                self._since[key] = now
            seconds = round(min(now, self._clock()) - since)
            self._log.warning("%s: %s: %d more in %d s, the last one: %s", *key, count, seconds, text)
