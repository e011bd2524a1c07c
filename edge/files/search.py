"""What is looked for in pictures and videos: nothing waits for them, so small ones are enlarged."""

from __future__ import annotations

from dataclasses import replace

from edge.config import Config
from edge.detection.views import Search

LEAST_SIDE = 960
"""Longer side to which smaller pictures are enlarged, in pixels."""


def search_of(config: Config) -> Search:
    """What the configuration asks for in files."""
    return replace(Search.of(config.privacy), least_side=LEAST_SIDE)
