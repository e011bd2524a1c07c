"""A folder into which another program puts pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from edge.errors import PictureError, SourceError
from edge.frames import RawFrame
from edge.pictures import SUFFIXES, read_picture
from edge.sources.base import Source

log = logging.getLogger(__name__)


class FolderSource(Source):
    """Every picture in a folder once, in the order of names, then new ones as they arrive. It never ends.

    A picture counts as complete when its size and modification time are the same in two scans of the folder.
    Names that begin with a dot are ignored. After a restart, all pictures are read again.
    """

    live = False
    continuous = False

    @property
    def waits(self) -> bool:
        return True

    @property
    def reopens(self) -> bool:
        return True

    def __iter__(self) -> Iterator[RawFrame]:
        folder = Path(self.config.source)
        done: set[tuple[str, int, int]] = set()
        seen: set[tuple[str, int, int]] = set()
        while not self._stop.is_set():
            present = self._scan(folder)
            for state in sorted((present & seen) - done):
                if self._stop.is_set():
                    return
                done.add(state)
                frame = self._read(folder / state[0])
                if frame is not None:
                    yield frame
            done &= present
            fresh = present - done
            seen = present
            # New pictures are scanned again soon; otherwise the configured interval applies.
            self._stop.wait(min(0.2, self.config.poll_seconds) if fresh else self.config.poll_seconds)

    def _scan(self, folder: Path) -> set[tuple[str, int, int]]:
        """Name, modification time (ns) and size (bytes) of each picture. Raises SourceError."""
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
            raise SourceError(f"{self.label}: {error.strerror}; correct the camera's source") from error
        return states

    def _read(self, path: Path) -> RawFrame | None:
        try:
            pixels = read_picture(path, convert=True).pixels
        except PictureError as error:
            log.warning("camera %s: picture %r: %s", self.camera, path.name, error)
            return self._frame(None, 0)
        return self._frame(pixels, time.monotonic())
