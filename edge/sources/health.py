"""The health of one camera: its state, since when it has been in it, and why it is not live."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone

from edge.sources.state import CameraState

log = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""A live camera is stale when its last fresh picture is older; a picture older on arrival is not fresh."""


class CameraHealth:
    """State, since when, and last error. The properties may be read from any thread; whoever changes the
    state from several threads must hold a lock."""

    def __init__(self, camera: str, *, live: bool) -> None:
        """``live``: the camera delivers pictures of the world, so it is stale without fresh ones."""
        self._camera = camera
        self._live = live
        self._state: CameraState = "connecting"
        self._since = datetime.now(timezone.utc)
        self._error = ""
        self._last_fresh = time.monotonic()

    @property
    def state(self) -> CameraState:
        """How the camera is; ``stale`` also while it is connected and nothing fresh arrives."""
        return "stale" if self._starved else self._state

    @property
    def since(self) -> datetime:
        """When it entered this state, UTC."""
        if self._starved:
            ago = time.monotonic() - self._last_fresh - FRESH_SECONDS
            return datetime.now(timezone.utc) - timedelta(seconds=ago)
        return self._since

    @property
    def last_error(self) -> str:
        """Why it is not live; empty when it is, or when its file has ended."""
        return f"no fresh picture for more than {FRESH_SECONDS:g} seconds" if self._starved else self._error

    def why_not_live(self, waits_for: str) -> str:
        """The last error, and what the open camera waits for; the latter alone before any error."""
        words = self.last_error, "" if self.state == "live" else waits_for
        return ": ".join(filter(None, words))

    @property
    def _starved(self) -> bool:
        return self._state == "live" and self._live and time.monotonic() - self._last_fresh > FRESH_SECONDS

    def enter(self, state: CameraState) -> None:
        """Enter a state; the last error stays."""
        if state != self.state:
            self._since = datetime.now(timezone.utc)
        self._state = state

    def fail(self, text: str, state: CameraState = "down") -> None:
        """Enter a state because of an error, which is logged unless it is the same as before."""
        if (text, state) != (self._error, self._state):
            log.warning("camera %s: %s", self._camera, text)
        self.enter(state)
        self._error = text

    def note_fresh(self) -> None:
        """A fresh picture has arrived: the camera is live."""
        self.enter("live")
        self._last_fresh = time.monotonic()
        self._error = ""
