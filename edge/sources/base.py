"""What all sources have in common."""

from __future__ import annotations

import copy
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import cv2
import numpy as np

from edge.config import CameraConfig
from edge.frames import Pack, Pixels, RawFrame
from edge.logs import Limited
from edge.masking import label
from edge.reasons import Reason
from edge.sources.camera_clock import CameraClock
from edge.sources.ledger import Ledger
from edge.sources.size import size_problem

log = logging.getLogger(__name__)

HANG_MARGIN_SECONDS = 5.0
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Source(ABC):
    """The frames of one camera. Iterating opens the camera; leaving the loop closes it.

    Iterating raises SourceError when the camera cannot be opened or stops working, and ends when there are no
    more frames or ``stop`` is set. Iterating again opens it again. The state of one opening is kept in local
    variables of ``__iter__``, so that a copy is a new source (``renewed``).
    """

    live: ClassVar[bool]
    """Frames show the world as it is now: a repeated or old one is dropped, and a lost source is reopened."""
    continuous: ClassVar[bool] = True
    """Successive frames show the same scene, so that hold makes sense."""

    def __init__(self, camera: str, config: CameraConfig, stop: threading.Event) -> None:
        self.camera = camera
        self.config = config
        self.undecodable = self.wrong_size = self.damaged = 0
        """Pictures that did not become frames. Of a damaged one, a part is missing, or of one that it refers
        to."""
        self.waits_for = ""
        """What keeps an open camera from delivering pictures; empty while they come."""
        self.beat = 0.0
        """Monotonic time of the last sign of life: a picture, usable or not."""
        self.ledger: Ledger | None = None
        """Of a file or folder: what has become of its frames. None until ``keep_ledger``."""
        self.abandoned = False
        """Set on a source that hangs: if it ever wakes up, it ends."""
        self.clock = CameraClock(camera, ignored=config.ignore_clock)
        """What is known of the camera's clock; a renewed source shares it."""
        self.limited = Limited(log)
        self._problem = ""
        self._stop = stop
        self._number = 0

    def keep_ledger(self) -> Ledger | None:
        """From now on, tell a ledger of each frame, and read those again that it gives back. Somebody must
        settle them: the source does not end before. None for a source whose frames do not come again, or
        come again anyway."""
        return None

    @property
    def waits(self) -> bool:
        """Whether no frame may be skipped (True), or the newest one wins (False)."""
        return False

    @property
    def replaced(self) -> Reason:
        """The reason under which a frame is counted that was replaced by a newer one. One of a file is
        replaced only when all stops, and the next run reads it again."""
        return Reason.OVERTAKEN if self.ledger is None else Reason.RETRIED

    @property
    def reopens(self) -> bool:
        """Whether to open the source again after an error."""
        return self.live

    @property
    def label(self) -> str:
        """The source as it may be shown: a URL is reduced to scheme, host and port."""
        return label(self.config.source)

    @property
    def hang_seconds(self) -> float:
        """A source without a sign of life for longer than this hangs."""
        config = self.config
        return config.open_timeout_seconds + 3 * config.read_timeout_seconds + HANG_MARGIN_SECONDS

    def renewed(self) -> Source:
        """A new source of the same camera, not opened, that continues the frame numbers of this one."""
        fresh = copy.copy(self)
        fresh.abandoned, fresh.beat, fresh.waits_for = False, 0.0, ""
        return fresh

    def unusable(self) -> Counter[Reason]:
        """How many pictures did not become frames, by reason. Logs, from time to time, how many were left out
        of the log."""
        self.limited.report()
        return Counter(
            {
                Reason.UNDECODABLE: self.undecodable,
                Reason.SIZE: self.wrong_size,
                Reason.DAMAGED: self.damaged,
            }
        )

    @abstractmethod
    def __iter__(self) -> Iterator[RawFrame]: ...

    def _frame(
        self,
        pixels: cv2.typing.MatLike | None,
        media_seconds: float,
        captured: float | None = None,
        pack: Pack | None = None,
    ) -> RawFrame | None:
        """Rotate and crop pixels and make them this camera's next frame; None, and counted, when they are
        unusable. ``captured`` is on the monotonic clock, in seconds, and now by default. ``pack`` makes less
        of the same pixels, which is no use where they are rotated or cropped."""
        self.beat = now = time.monotonic()
        captured = now if captured is None else captured
        prepared = self._prepare(pixels)
        if prepared is None:
            return None
        utc_ns = time.time_ns() - round((time.monotonic() - captured) * 1e9)
        frame = RawFrame(
            prepared,
            self.camera,
            self._number,
            media_seconds=media_seconds,
            captured=captured,
            utc_ns=utc_ns,
            pack=None if self.config.rotate_degrees or self.config.crop else pack,
        )
        self._number += 1
        return frame

    def _prepare(self, pixels: cv2.typing.MatLike | None) -> Pixels | None:
        """The rotated and cropped picture, or None, counted, with ``_problem`` set."""
        if pixels is None:
            self._problem = "it cannot be decoded"
        # Other bit depths would silently wrap around.
        elif pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            self._problem = (
                f"expected 8-bit BGR, got {pixels.dtype} of shape {list(pixels.shape)}; convert it "
                "(gstreamer: '! videoconvert ! video/x-raw,format=BGR' before '! appsink')"
            )
        elif not pixels.size:
            self._problem = "it has no pixels"
        else:
            return self._turned_and_cropped(pixels)
        self.undecodable += 1
        return None

    def _turned_and_cropped(self, pixels: cv2.typing.MatLike) -> Pixels | None:
        """The same for uint8 ``[H, W, 3]`` BGR. The size is checked first, before anything is copied."""
        height, width = pixels.shape[:2]
        if self.config.rotate_degrees % 180:
            height, width = width, height
        left, top, right, bottom = self.config.crop or (0, 0, 1, 1)
        rows = slice(round(top * height), round(bottom * height))
        columns = slice(round(left * width), round(right * width))
        problem = size_problem(columns.stop - columns.start, rows.stop - rows.start)
        if problem:
            way_out = "set another size in the camera"
            if self.config.crop is not None:
                problem = f"crop leaves {problem}, of {width}x{height}"
                way_out = f"change cameras.{self.camera}.crop"
            self._problem = f"{problem}; {way_out}"
            self.limited.warning(f"camera {self.camera}", "size", f"pictures cannot be used: {self._problem}")
            self.wrong_size += 1
            return None
        if self.config.rotate_degrees:
            pixels = cv2.rotate(pixels, _TURNS[self.config.rotate_degrees])
        if self.config.crop is None:
            return np.ascontiguousarray(pixels, np.uint8)
        # A copy, because a NumPy view would keep what was cut off in memory.
        return np.array(pixels[rows, columns], np.uint8)
