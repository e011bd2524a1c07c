"""When a camera may be read: a live one always, a file only while nothing stands in the way of its frames."""

from __future__ import annotations

from edge.daemon.shared import Shared
from edge.reasons import Reason
from edge.sources.capture import Capture
from edge.sources.ledger import Ledger


class Reading:
    """Begins, holds and resumes the capture of one camera. ``begun`` says whether it was started."""

    def __init__(self, capture: Capture, ledger: Ledger | None, shared: Shared) -> None:
        """``ledger``: that of a file or folder, of which no frame is to be lost."""
        self.begun = False
        self._capture = capture
        self._ledger = ledger
        self._shared = shared

    @property
    def ends(self) -> bool:
        """Whether no frame can come any more."""
        return self.begun and not self._capture.alive

    @property
    def at_end(self) -> bool:
        """Whether a file was read to its end and waits for what is on its way."""
        return self._ledger is not None and self._ledger.at_end

    @property
    def returning(self) -> bool:
        """Whether all that is on its way is to be read again, because an earlier frame is."""
        return self._ledger is not None and self._ledger.returning

    def start(self) -> None:
        """Start the capture; that of a file begins later (``ready``), since the store has its position."""
        if self._ledger is None:
            self._begin()

    def ready(self, blocked: Reason | None) -> bool:
        """Whether a frame may be taken; if not, it stays in the slot. Starts a file when it is time."""
        self._capture.slot.held = self.must_wait(blocked)
        if not self._capture.slot.held and not self.begun:
            self._begin()
        return not self._capture.slot.held

    def must_wait(self, blocked: Reason | None) -> bool:
        """Whether a file or folder waits, so that none of its frames is lost while detection is blocked for
        this reason, or the store does not work."""
        writer = self._shared.writer
        store_works = self._ledger is None or self.ends or (writer.opened and not writer.error)
        return not self._capture.source.live and (blocked is not None or not store_works)

    def flushed(self) -> None:
        """All that was on its way has been handed to the store."""
        if self._ledger is not None:
            self._ledger.flushed()

    def _begin(self) -> None:
        resume = self._capture.source.config.resume
        if self._shared.ledgers.load(self._capture.camera, resume=resume):
            self.begun = True
            self._capture.start()
