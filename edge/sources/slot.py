"""The slot in which a camera's thread puts a frame for the pipeline."""

from __future__ import annotations

import threading

from edge.frames import RawFrame


class Slot:
    """Room for one frame. ``ready`` is shared by all cameras and set whenever a frame has arrived.

    When the slot ``waits``, or while it is ``held``, a frame is never replaced by a newer one: ``put`` waits
    until it has been taken out.
    """

    def __init__(self, ready: threading.Event, waits: bool) -> None:
        self._condition = threading.Condition()
        self._frame: RawFrame | None = None
        self._ready = ready
        self._waits = waits
        self._closed = False
        self.held = False

    def put(self, frame: RawFrame) -> RawFrame | None:
        """Put a frame in, and return the one that it replaced, if any."""
        with self._condition:
            while (self._waits or self.held) and self._frame is not None and not self._closed:
                self._condition.wait()
            replaced, self._frame = self._frame, frame
        self._ready.set()
        return replaced

    def take(self) -> RawFrame | None:
        """Take the frame out, if there is one."""
        with self._condition:
            frame, self._frame = self._frame, None
            self._condition.notify()
        return frame

    def close(self) -> None:
        """Release a thread that waits in ``put``; from now on nothing waits."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._ready.set()
