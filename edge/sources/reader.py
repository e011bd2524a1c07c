"""One thread and the source that only this thread iterates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge.sources.base import Source


class Reader:
    """A source, its thread, and whether the thread is inside the source, where it may hang.

    ``inside`` is the monotonic time since when it has been inside, None outside. ``delivered`` says whether a
    fresh frame has come since the source was opened.
    """

    def __init__(self, source: Source, run: Callable[[Reader], None]) -> None:
        """``run`` is what the thread does; it gets this reader."""
        self.source = source
        self.inside: float | None = None
        self.delivered = False
        self.thread = threading.Thread(target=run, args=(self,), name=f"capture-{source.camera}", daemon=True)

    def quiet_seconds(self) -> float:
        """How long the source has given no sign of life; 0 while nothing is asked of it."""
        inside = self.inside
        return 0.0 if inside is None else time.monotonic() - max(inside, self.source.beat)
