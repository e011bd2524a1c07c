"""Errors of the conversion."""

from __future__ import annotations

from edge.errors import EdgeError


class ConvertError(EdgeError):
    """A source cannot be converted; the text says what it is, why not, and what to do."""


class ParityError(ConvertError):
    """The detector does not give the boxes of its source; the text names pictures and boxes."""
