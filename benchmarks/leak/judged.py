"""What a person judged to be no face in the reference of ``python -m benchmarks leak-rate``, and why."""

from __future__ import annotations

Judged = tuple[str, int, int, str]
"""Track, first and last frame, reason."""

NO_FACE: dict[str, list[Judged]] = {
    "classroom": [("46-126-166", 46, 54, "folded hands on a table; MTCNN alone")],
    "one-by-one-person-detection": [
        ("30-417-142", 30, 38, "edge of an empty table; MTCNN alone"),
        (
            "237-426-119",
            237,
            258,
            "nape and collar of a man who stands with his back to the camera; MTCNN alone",
        ),
        ("266-441-46", 266, 372, "the same nape and collar; MTCNN alone"),
        ("700-468-144", 700, 708, "edge of an empty table; MTCNN alone"),
    ],
}
"""Per clip. One person judged a crop of every face-frame that was uncovered with any setting
(``--sheet``). An ear, a cheek or glasses seen from behind were left in as faces."""
