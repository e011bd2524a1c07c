"""A folder into which another program puts pictures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edge.config import CameraConfig
from edge.errors import AwayError, PictureError, SourceError
from edge.frames import RawFrame
from edge.pictures import SUFFIXES, read_picture
from edge.sources.base import Source
from edge.sources.ledger import Ledger
from edge.sources.progress import FolderProgress, identity_of
from edge.sources.volume import Volume, passes

_State = tuple[str, int, int]
"""Name, modification time (ns) and size (bytes) of a picture."""

log = logging.getLogger(__name__)


class FolderSource(Source):
    """Every picture in a folder once, in the order of names, then new ones as they arrive. It never ends.

    A picture counts as complete when its size and modification time are the same in two scans of the folder.
    Names that begin with a dot are ignored. One that could not be stored, or not be read, is tried again.
    While the folder's disk or share is away, AwayError is raised, and no picture is forgotten or given up.
    """

    live = False
    continuous = False

    @property
    def waits(self) -> bool:
        return True

    @property
    def reopens(self) -> bool:
        return True

    def __init__(self, camera: str, config: CameraConfig, stop: threading.Event) -> None:
        super().__init__(camera, config, stop)
        self._ledger = Ledger(FolderProgress(), rewinds=False)
        self._volume = Volume(config.source)

    def keep_ledger(self) -> Ledger:
        self.ledger = self._ledger
        return self._ledger

    def __iter__(self) -> Iterator[RawFrame]:
        folder = Path(self.config.source)
        self._ledger.begin(identity_of("folder", self.config.source))
        seen: set[_State] = set()
        keys: dict[_State, str] = {}
        while not self._stop.is_set():
            present = self._scan(folder)
            keys = {state: keys.get(state) or identity_of(*state) for state in present}
            for state in sorted(present & seen):
                if self._stop.is_set():
                    return
                if not self._ledger.wants(keys[state]):
                    continue
                frame = self._read(folder / state[0], keys[state])
                if frame is not None:
                    self._ledger.hand_out(frame.number, keys[state])
                    yield frame
            if present:  # an empty folder may be one at which nothing is mounted yet
                self._ledger.keep(set(keys.values()))
            fresh = present - seen
            seen = present
            # New pictures are scanned again soon; otherwise the configured interval applies.
            self._stop.wait(min(0.2, self.config.poll_seconds) if fresh else self.config.poll_seconds)

    def _scan(self, folder: Path) -> set[_State]:
        """Name, modification time (ns) and size (bytes) of each picture. Raises SourceError."""
        states = self._list(folder)
        self._check_volume()  # of one that is unmounted, an empty folder is left
        return states

    def _check_volume(self) -> None:
        why = self._volume.away()
        if why:
            way = "it waits until that is back, and no picture is lost"
            raise AwayError(f"{self.label}: {why}; {way}")
        try:
            self._volume.note()
        except OSError as error:
            raise SourceError(f"{self.label}: {error.strerror}; correct the camera's source") from error

    def _list(self, folder: Path) -> set[_State]:
        states = set()
        try:
            for path in folder.iterdir():
                if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                    try:
                        stat = path.stat()
                    except FileNotFoundError:
                        continue  # removed in the meantime
                    except OSError:  # such as a link to itself: one bad name must not stop the others
                        states.add((path.name, 0, 0))
                        continue
                    states.add((path.name, stat.st_mtime_ns, stat.st_size))
        except OSError as error:
            self._check_volume()
            raise SourceError(f"{self.label}: {error.strerror}; correct the camera's source") from error
        return states

    def _read(self, path: Path, key: str) -> RawFrame | None:
        try:
            pixels = read_picture(path, convert=True).pixels
        except PictureError as error:
            self._check_volume()
            if isinstance(error.__cause__, OSError) and passes(error.__cause__):
                text = f"picture {path.name!r}: {error}; it is tried again"
                self.limited.warning(f"camera {self.camera}", "volume", text)
                self._ledger.rest(key)
                return None
            if self._ledger.unreadable(key):
                log.warning("camera %s: picture %r: %s; it is given up", self.camera, path.name, error)
                return self._frame(None, 0)
            return None
        frame = self._frame(pixels, time.monotonic())
        if frame is None:
            self._ledger.lose(key)
        return frame
