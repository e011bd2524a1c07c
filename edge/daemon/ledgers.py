"""The ledgers of all files and folders, and their positions in the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from edge.errors import StoreError
from edge.reasons import Reason
from edge.sources import Source
from edge.sources.ledger import Ledger
from edge.store import positions
from edge.store.images import ImageStore

log = logging.getLogger(__name__)


class Numbered(Protocol):
    """A frame, or what became of it."""

    @property
    def camera(self) -> str: ...
    @property
    def number(self) -> int: ...


class Ledgers:
    """Ledgers by camera; a camera without one is live, or a video that plays again and again."""

    def __init__(self, store: Path, by_camera: Mapping[str, Ledger]) -> None:
        self._store = store
        self._by_camera = dict(by_camera)
        self._refused = ""

    def __bool__(self) -> bool:
        return bool(self._by_camera)

    def __contains__(self, camera: str) -> bool:
        return camera in self._by_camera

    def lost(self, camera: str) -> dict[Reason, int]:
        """How many frames of a file are missing for good, by reason."""
        ledger = self._by_camera.get(camera)
        return dict(ledger.lost) if ledger else {}

    def is_over(self, frame: Numbered) -> bool:
        """Whether no image of this frame is wanted: it has one, or was given back."""
        ledger = self._by_camera.get(frame.camera)
        return ledger is not None and not ledger.is_out(frame.number)

    def stored(self, frame: Numbered) -> None:
        """An image is on the disk for good."""
        if ledger := self._by_camera.get(frame.camera):
            ledger.stored(frame.number)

    def give_back(self, frame: Numbered, reason: Reason) -> bool:
        """Whether a frame that is not stored for this reason is read again."""
        ledger = self._by_camera.get(frame.camera)
        return ledger is not None and ledger.give_back(frame.number, reason)

    def drop(self, frame: Numbered, reason: Reason, *, final: bool = False) -> Reason:
        """A frame is not stored; returns the reason to count, which is ``RETRIED`` if it is read again.

        ``final``: whatever the reason, it is not.
        """
        if not final and self.give_back(frame, reason):
            return Reason.RETRIED
        if ledger := self._by_camera.get(frame.camera):
            ledger.drop(frame.number, reason)
        return reason

    @property
    def in_doubt(self) -> bool:
        """Whether a frame has failed, and it is not known yet whether the detector works otherwise."""
        return any(ledger.in_doubt for ledger in self._by_camera.values())

    def judge(self, *, detector_works: bool) -> None:
        """The known face was looked for."""
        for ledger in self._by_camera.values():
            ledger.judge(detector_works=detector_works)

    def load(self, camera: str, *, resume: bool) -> bool:
        """Take up the position of an earlier run, if ``resume``; False when it cannot be read now. The store
        must be open, and so locked."""
        if camera not in self._by_camera:
            return True
        try:
            lines = positions.read(self._store, camera) if resume else []
        except StoreError as error:
            if str(error) != self._refused:
                log.error("camera %s: waits until its position can be read: %s", camera, error)
            self._refused = str(error)
            return False
        self._by_camera[camera].load(lines)
        return True

    def keep(self, store: ImageStore) -> None:
        """Write all positions, after the images. Raises StoreError."""
        if self._by_camera:
            store.open()
        for camera, ledger in self._by_camera.items():
            lines, whole = ledger.news()
            if not lines:
                continue
            try:
                if positions.keep(self._store, camera, lines, whole=whole):
                    continue
                ledger.forget_saved()  # the file is gone: the store is another one, or somebody removed it
                positions.keep(self._store, camera, ledger.news()[0], whole=True)
            except BaseException:
                ledger.forget_saved()
                raise


def ledgers_of(sources: Sequence[Source], store: Path) -> Ledgers:
    """Let those sources keep a ledger that can."""
    kept = {source.camera: source.keep_ledger() for source in sources}
    return Ledgers(store, {camera: ledger for camera, ledger in kept.items() if ledger is not None})
