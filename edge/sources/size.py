"""Which sizes of frames are detected on."""

from __future__ import annotations

SMALLEST_SIDE = 48
"""Shortest side of a frame, in pixels. On smaller ones one cannot tell whether a face could be seen: the
check of visibility has too few tiles and calls well-lit frames too dark (edge/detection/visibility.py)."""
MOST_PIXELS = 25_000_000
"""Largest frame. Memory is bounded by it: a camera keeps about a dozen frames in hold."""
MOST_ASPECT = 20
"""Longest side of a frame, as a multiple of the shortest."""


def size_problem(width: int, height: int) -> str:
    """Why no frame of this size (pixels) is detected on; empty when it is.

    >>> size_problem(1920, 1080), size_problem(17, 17)
    ('', '17x17 pixels: a side of less than 48')
    >>> size_problem(8000, 6000), size_problem(4800, 60)
    ('8000x6000 pixels: more than 25 megapixels', '4800x60 pixels: one side more than 20 times the other')
    """
    size = f"{width}x{height} pixels"
    if min(width, height) < SMALLEST_SIDE:
        return f"{size}: a side of less than {SMALLEST_SIDE}"
    if width * height > MOST_PIXELS:
        return f"{size}: more than {MOST_PIXELS // 1_000_000} megapixels"
    if max(width, height) > MOST_ASPECT * min(width, height):
        return f"{size}: one side more than {MOST_ASPECT} times the other"
    return ""
