"""Logging to standard error, one line per event, for a person or for the journal. Never pixels."""

from __future__ import annotations

import logging
import sys


class _OneLine(logging.Formatter):
    """Control characters are escaped, so that a file name cannot forge a second line."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

    def formatException(self, ei: object) -> str:  # noqa: N802 - the base class's name
        # A traceback may quote values; the type and text of the error are in the message already.
        return ""


def start(verbose: bool = False) -> None:
    """Send log records of this package to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("edge")
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.propagate = False
