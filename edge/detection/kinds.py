"""What a detector finds, and what is covered for it."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config.detectors import BoxRegion


@dataclass(frozen=True)
class Kind:
    """What one detector finds: ``label`` is its name in reports, ``region`` what is covered for a box."""

    label: str
    region: BoxRegion


FACE = Kind("face", "head")
"""What ``[detector]`` finds."""
