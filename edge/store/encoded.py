"""An image between its last look and the disk: the bytes of its file, in memory."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, final

from edge.boxes import Ints
from edge.errors import StoreError, UnstorableError
from edge.frames import AnonymizedFrame
from edge.store.encode import encode
from edge.store.encryption import encrypt


@final
class EncodedImage:
    """An anonymized frame as the bytes of its file, encrypted where there is a recipient.

    It can be made of an ``AnonymizedFrame`` only. ``data`` are the bytes, ``captured`` is when the frame was
    captured (UTC, in whole milliseconds); the other attributes are those of the frame. It holds no pixels, so
    many of them can wait in memory.
    """

    _OF_FRAME = ("areas", "camera", "covered", "labels", "number", "regions", "steady", "utc_ns", "whole")
    __slots__ = (*_OF_FRAME, "captured", "data")

    areas: Ints
    camera: str
    captured: datetime
    covered: float
    labels: tuple[str, ...]
    number: int
    regions: int
    steady: float
    utc_ns: int
    whole: bool

    def __init__(self, frame: AnonymizedFrame, kind: str, quality: int, recipient: Any | None) -> None:
        """``kind`` and ``quality`` as for ``edge.store.encode.encode``; ``recipient`` is a public key of
        ``edge.store.encryption.recipient_of``. Raises StoreError, an UnstorableError where
        trying again would not help, and TypeError for anything else than an AnonymizedFrame."""
        try:
            data = encode(frame, kind, quality)
            self.data = data if recipient is None else encrypt(data, recipient)
        except StoreError as error:
            raise UnstorableError(str(error)) from error
        except (OSError, MemoryError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error
        for name in self._OF_FRAME:
            setattr(self, name, getattr(frame, name))
        try:
            # Now, because whether it waits, is stored or discarded, each record of it says the time.
            self.captured = datetime.fromtimestamp(frame.utc_ns // 1_000_000 / 1000, timezone.utc)
        except (ValueError, OverflowError, OSError) as error:
            raise UnstorableError(f"the time of the frame is beyond the calendar: {error}") from error
