"""What a person judged to be no face in the reference of ``benchmarks.leak_rate``, and why."""

from __future__ import annotations

Judged = tuple[str, int, int, str]
"""Track, first and last frame, reason."""

NO_FACE: dict[str, list[Judged]] = {
    "classroom": [("46-126-166", 46, 54, "folded hands on a table; MTCNN alone, in three frames")],
}
"""Per clip. One person looked at every uncovered face-frame (``--sheet``)."""
