"""Images that wait in memory until the detector has found the known face after them.

A detector that goes blind finds no face, neither in a frame nor in the last look, so an image says nothing
about whether it was checked. Therefore it is written only once a check that began after its last look has
passed. Whatever else it depends on, such as detections that were kept because nothing had changed, was looked
at earlier still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edge.reasons import Reason
from edge.store.encoded import EncodedImage
from edge.store.images import Entry, ImageStore

MOST_BYTES = 64_000_000
"""When this many bytes wait, a check is due at once (docs/measurements.md says how much one camera needs)."""
MOST_IMAGES = 256
"""The same for the number of images: all of them are written at one go."""


@dataclass(frozen=True)
class Discarded:
    """How many images of a camera were discarded, and when the first and the last of them were captured, as
    UTC times in text."""

    images: int
    first: str
    last: str

    def and_also(self, other: Discarded) -> Discarded:
        """Both together."""
        first, last = min(self.first, other.first), max(self.last, other.last)
        return Discarded(self.images + other.images, first, last)


class Quarantine:
    """The waiting images, in the order in which they came. ``full`` and ``images`` may be read from any
    thread; all else is for one."""

    def __init__(self) -> None:
        self.bytes = 0
        self._entries: list[Entry] = []

    @property
    def images(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        return self.bytes >= MOST_BYTES or len(self._entries) >= MOST_IMAGES

    def add(self, entry: Entry, image: EncodedImage) -> None:
        """Keep an image without its pixels."""
        self._entries.append(replace(entry, frame=image))
        self.bytes += len(image.data)

    def take(self) -> list[Entry]:
        """All that waits; nothing waits any more."""
        entries, self._entries, self.bytes = self._entries, [], 0
        return entries


class Unrecorded:
    """What was discarded and is not on record yet."""

    def __init__(self) -> None:
        self._by_camera: dict[str, Discarded] = {}

    def __bool__(self) -> bool:
        return bool(self._by_camera)

    def add(self, entries: Sequence[Entry]) -> None:
        """These images were discarded."""
        for entry in entries:
            image: Any = entry.frame  # encoded by now
            captured = image.captured.isoformat(timespec="milliseconds")
            one = Discarded(1, captured, captured)
            before = self._by_camera.get(image.camera)
            self._by_camera[image.camera] = one if before is None else before.and_also(one)

    def record(self, store: ImageStore) -> None:
        """Put it on record. Raises StoreError; then it is still not."""
        cameras = {camera: asdict(one) for camera, one in self._by_camera.items()}
        store.record_discarded(cameras, Reason.KNOWN_FACE.value)
        self._by_camera = {}
