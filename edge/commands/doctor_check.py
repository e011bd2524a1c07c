"""What each check of ``edge doctor`` reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One row. ``way_out`` says what to do; empty when there is nothing to do."""

    name: str
    level: Level
    found: str
    way_out: str = ""
