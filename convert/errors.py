"""Errors of the conversion."""

from __future__ import annotations

from edge.errors import EdgeError


class ConvertError(EdgeError):
    """A source cannot be converted: says what it is, why not, and the way out."""


class ParityError(ConvertError):
    """The detector does not give the boxes of its source: names the picture and the box."""
