"""Logging to standard error, one line per event, for a person or for the journal."""

from __future__ import annotations

import logging
import sys


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
