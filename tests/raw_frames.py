"""Raw frames for tests that do not care about every field of one."""

from __future__ import annotations

from edge.frames import Pixels, RawFrame


def raw_frame(pixels: Pixels, number: int = 0, seconds: float = 0.0, utc_ns: int = 0) -> RawFrame:
    """A frame of camera ``test``; ``seconds`` is its ``media_seconds``."""
    return RawFrame(pixels, "test", number, media_seconds=seconds, captured=0.0, utc_ns=utc_ns)
