"""The names of images: each sorts after the one before it of the same camera, whatever the clock does.

A name is the UTC time of capture and the number of a record. After the clock was set back, names go on from
the last one at half the pace of the steady clock, until the wall clock has caught up with them. Daylight
saving does not concern UTC. A leap second is a step back by one second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from edge.config import StoreConfig
from edge.errors import StoreError
from edge.store.clock_evidence import kept_by_outside
from edge.store.encode import ENDINGS
from edge.store.encoded import EncodedImage
from edge.store.encryption import SUFFIX
from edge.store.log_format import Record
from edge.store.stretch import read_name
from edge.store.trusted_clock import Clock, read_clocks
from edge.store.usage import is_image_name

_PACE = 0.5
_SET_BACK_MS = 60_000
"""Images of different cameras are stored in the order of their times to within less than this."""


class _Last(NamedTuple):
    """The last name of a camera: Unix milliseconds and digits of the number, and when (steady, seconds)."""

    milliseconds: int
    number: str
    steady: float


class Names:
    """Gives images their paths, ``FOLDER/CAMERA/YYYY-MM-DD/NAME``. For one thread."""

    def __init__(self, config: StoreConfig, clock: Clock) -> None:
        self._folder = config.folder
        self._ending = ENDINGS[config.format] + ("" if config.recipient is None else SUFFIX)
        self._clock = clock
        self._last: dict[str, _Last] = {}

    def go_on_from(self, records: Sequence[Record]) -> None:
        """Let each camera's names go on after its last one in these records."""
        for record in records:
            if record["event"] == "image":
                self._note(record["camera"], Path(record["image"]).name)

    def forget(self) -> None:
        """The folder holds another store now."""
        self._last.clear()

    def next_path(self, image: EncodedImage, numbers: Iterator[int]) -> Path:
        """A path that no image of this store has, had or was to have; ``numbers`` grow from one image to the
        next. Raises StoreError when the camera's folder cannot be read, and ValueError, OverflowError or
        OSError when the time of capture lies beyond the calendar, so that no record can hold it."""
        datetime.fromtimestamp(image.utc_ns / 1e9, timezone.utc)
        if image.camera not in self._last:
            self._read_folder(image.camera)
        kept = bool(self._clock.doubt) and kept_by_outside()
        captured = self._clock.named_ns(image.utc_ns, image.steady, kept=kept) // 1_000_000
        while True:
            number = f"{next(numbers):06d}"
            moment = datetime.fromtimestamp(self._after_last(image.camera, captured, number), timezone.utc)
            stamp = f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
            folder = self._folder / image.camera / f"{moment:%Y-%m-%d}"
            path = folder / f"{stamp}-{number}{self._ending}"
            if not path.exists():
                self._note(image.camera, path.name)
                return path

    def _after_last(self, camera: str, captured: int, number: str) -> float:
        """The time for a name (Unix seconds) of an image captured at ``captured`` (milliseconds)."""
        last = self._last.get(camera)
        newest = max(self._last.values(), default=None)
        if newest is not None and captured < newest.milliseconds - _SET_BACK_MS:
            last = newest  # the clock was set back, for all cameras
        if last is None or captured > last.milliseconds:
            return captured / 1000
        if captured == last.milliseconds and number > last.number and len(number) == len(last.number):
            return captured / 1000
        passed = (read_clocks()[1] - last.steady) * 1000
        return (last.milliseconds + max(1, int(passed * _PACE))) / 1000

    def _note(self, camera: str, name: str) -> None:
        if (read := read_name(name)) is not None:
            moment, number = read
            self._last[camera] = _Last(round(moment.timestamp() * 1000), number, read_clocks()[1])

    def _read_folder(self, camera: str) -> None:
        """A camera that the end of the log does not mention goes on from its newest file."""
        folder = self._folder / camera
        try:
            days = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
            for day in filter(Path.is_dir, days):
                if names := [path.name for path in day.iterdir() if is_image_name(path.name)]:
                    self._note(camera, max(names))
                    return
        except OSError as error:
            raise StoreError(f"{folder}: cannot be read: {error.strerror or error}") from error
