"""Video files, played at their own rate like a camera, or as fast as the pipeline can follow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2

from edge.errors import PictureError, SourceError
from edge.frames import Pixels, RawFrame
from edge.sources.base import Source
from edge.sources.display_matrix import read_orientation
from edge.sources.ledger import Ledger
from edge.sources.orientation import Orientation, oriented
from edge.sources.progress import VideoProgress, identity_of

log = logging.getLogger(__name__)

DEFAULT_RATE = 25.0
"""Frames per second when neither the file nor the configuration gives a rate."""


LEAD_SECONDS = 2.0
"""How much of what comes before the first frame is delivered again, so that hold knows what was there."""


class VideoSource(Source):
    """A video file, with ``pace`` no faster than its own rate. No frame is skipped, unless it plays again and
    again: then it is like a camera, and what is lost comes round again."""

    live = False

    def keep_ledger(self) -> Ledger | None:
        self.ledger = None if self.config.loop else Ledger(VideoProgress(), rewinds=True)
        return self.ledger

    @property
    def waits(self) -> bool:
        return not (self.config.pace and self.config.loop)

    @property
    def reopens(self) -> bool:
        return self.config.loop

    def __iter__(self) -> Iterator[RawFrame]:
        return self._rounds() if self.ledger is None else self._settled(self.ledger)

    def _rounds(self) -> Iterator[RawFrame]:
        played = 0
        while not self._stop.is_set():
            count, usable = 0, False
            for position, frame in self._paced(0, played):
                count = position + 1
                if frame is not None:
                    usable = True
                    yield frame
            self._check_usable(usable)
            if not self.config.loop:
                return
            played += count

    def _settled(self, ledger: Ledger) -> Iterator[RawFrame]:
        """From the first frame that is not settled to the end, and again as long as some are given back."""
        first = ledger.begin(self._identity())
        if first:
            log.info("camera %s: %s", self.camera, _resumed(first))
        while first >= 0 and not self._stop.is_set():
            usable = first > 0
            for position, frame in self._paced(first, 0):
                if ledger.returning:
                    break
                if frame is None:
                    ledger.lose(position)
                    continue
                usable = True
                ledger.hand_out(frame.number, position)
                yield frame
            self._check_usable(usable)
            if not ledger.finish(self._stop):
                return
            first = ledger.begin(self._identity())

    def _paced(self, first: int, before: int) -> Iterator[tuple[int, RawFrame | None]]:
        """The frames from a little before ``first``, each with its position in the file, when it is time for
        it; None for one that cannot be used. ``before`` is how many frames were played in earlier rounds."""
        begin: float | None = None
        for position, pixels, rate in self._play(first):
            media = (before + position) / rate
            if begin is None:
                begin = time.monotonic() - media + (1 / rate if before else 0)
            if self.config.pace and self._stop.wait(max(0.0, begin + media - time.monotonic())):
                return
            handed = time.monotonic()
            yield position, self._frame(pixels, media)
            # While the pipeline holds the file back, its clock stands still.
            begin += time.monotonic() - handed

    def _check_usable(self, usable: bool) -> None:
        if not usable and not self._stop.is_set():
            raise SourceError(f"{self.label}: no frame can be decoded; is it a video file?")

    def _identity(self) -> str:
        """What changes when another file takes this one's name. Raises SourceError."""
        try:
            state = os.stat(self.config.source)
        except OSError as error:
            raise SourceError(f"{self.label}: {error.strerror or type(error).__name__}") from error
        return identity_of("video", self.config.source, state.st_size, state.st_mtime_ns)

    def _play(self, first: int) -> Iterator[tuple[int, Pixels, float]]:
        """Position, pixels and rate of each frame, from ``LEAD_SECONDS`` before ``first``."""
        # Path.is_file() raises an error that quotes the source when that is too long for a file name.
        if not os.path.isfile(self.config.source):
            raise SourceError(f"{self.label}: no such file; correct the camera's source")
        capture = cv2.VideoCapture(self.config.source, cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise SourceError(f"{self.label}: cannot be opened as a video")
            orientation = self._orientation(capture)
            stated = capture.get(cv2.CAP_PROP_FPS)
            rate = self.config.rate_fps or (stated if 0 < stated <= 1000 else DEFAULT_RATE)
            position = max(0, first - round(LEAD_SECONDS * rate))
            # Frame by frame, because seeking is not exact in every file.
            for _ in range(position):
                if self._stop.is_set() or not capture.grab():
                    return
            while not self._stop.is_set():
                good, pixels = capture.read()
                if not good:
                    return
                yield position, oriented(cast(Pixels, pixels), orientation), rate
                position += 1
        finally:
            capture.release()

    def _orientation(self, capture: cv2.VideoCapture) -> Orientation:
        """How to turn the file's pictures upright; from now on ``capture`` returns them as stored."""
        try:
            orientation = read_orientation(Path(self.config.source))
        except (PictureError, OSError) as error:
            raise SourceError(f"{self.label}: {error}") from error
        angle = capture.get(cv2.CAP_PROP_ORIENTATION_META)
        known = 0 <= angle < 360  # a matrix of zeros has no angle
        if not capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0) or (known and angle != orientation.degrees):
            raise SourceError(
                f"{self.label}: OpenCV turns it by {angle:g} degrees, the file's header by "
                f"{orientation.degrees}; encode the video again as it is to be shown (ffmpeg -i IN OUT)"
            )
        return orientation


def _resumed(settled: int) -> str:
    if settled < 0:
        return "its video was dealt with to the end in an earlier run; to begin anew, set resume = false"
    return f"goes on after the first {settled} frames of its video, which an earlier run dealt with"
