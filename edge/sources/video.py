"""Video files, played at their own rate like a camera, or as fast as the pipeline can follow."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator

import av.error

from edge.config import CameraConfig
from edge.errors import AwayError, PictureError, SourceError
from edge.frames import Pack, Pixels, RawFrame
from edge.sources.base import Source
from edge.sources.ledger import Ledger
from edge.sources.progress import VideoProgress, identity_of
from edge.sources.upright import Upright
from edge.sources.video_file import VideoFile
from edge.sources.volume import Volume

log = logging.getLogger(__name__)

DEFAULT_RATE = 25.0
"""Frames per second when neither the file nor the configuration gives a rate."""
LEAD_SECONDS = 2.0
"""How much of what comes before the first frame is delivered again, so that hold knows what was there."""


class VideoSource(Source):
    """A video file, with ``pace`` no faster than its own rate. No frame is skipped, unless it plays again and
    again: then it is like a camera, and what is lost comes round again.

    Of a damaged file, all that is intact is played. Then SourceError is raised. When the disk or share of the
    file has gone away, it is AwayError, and the next iteration goes on there.
    """

    live = False

    def __init__(self, camera: str, config: CameraConfig, stop: threading.Event) -> None:
        super().__init__(camera, config, stop)
        self._volume = Volume(config.source)
        self._away = False

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
        if self._away and (why := self._volume.blocked()):
            raise self._away_error(why)
        self._away = False
        return self._rounds() if self.ledger is None else self._settled(self.ledger)

    def _rounds(self) -> Iterator[RawFrame]:
        played = 0.0  # seconds
        while not self._stop.is_set():
            before, usable = played, False
            for _, frame, end in self._paced(0, before):
                played = end
                if frame is not None:
                    usable = True
                    yield frame
            self._check_usable(usable)
            if not self.config.loop:
                return

    def _settled(self, ledger: Ledger) -> Iterator[RawFrame]:
        """From the first frame that is not settled to the end, and again as long as some are given back."""
        first = ledger.begin(self._identity())
        if first and not self._number:
            log.info("camera %s: %s", self.camera, _resumed(first))
        while first >= 0 and not self._stop.is_set():
            usable, problem = first > 0, None
            try:
                for position, frame, _ in self._paced(first, 0.0):
                    if ledger.returning:
                        break
                    if frame is None:
                        ledger.lose(position)
                        continue
                    usable = True
                    ledger.hand_out(frame.number, position)
                    yield frame
            except SourceError as error:
                if not usable:
                    raise
                problem = error  # what came before it is dealt with first
            self._check_usable(usable)
            away = isinstance(problem, AwayError)
            if not ledger.finish(self._stop, away=away) or away:
                if problem is not None and not self._stop.is_set():
                    raise problem
                return
            first = ledger.begin(self._identity())

    def _paced(self, first: int, before: float) -> Iterator[tuple[int, RawFrame | None, float]]:
        """The frames from a little before ``first``, each with its position in the file and the time at which
        the next one is due, when it is time for it; None for one that cannot be used. ``before`` is how many
        seconds were played in earlier rounds."""
        begin: float | None = None
        for position, (pixels, pack), shown, due in self._play(first):
            media, end = before + shown, before + due
            if begin is None:
                begin = time.monotonic() - media + (end - media if before else 0)
            if self.config.pace and self._stop.wait(max(0.0, begin + media - time.monotonic())):
                return
            handed = time.monotonic()
            yield position, self._frame(pixels, media, pack=pack), end
            # While the pipeline holds the file back, its clock stands still.
            begin += time.monotonic() - handed

    def _check_usable(self, usable: bool) -> None:
        if not usable and not self._stop.is_set():
            raise SourceError(f"{self.label}: no frame can be decoded; is it a video file?")

    def _identity(self) -> str:
        """What changes when another file takes this one's name. Raises SourceError."""
        try:
            state = os.stat(self.config.source)
            self._volume.note()
        except OSError as error:
            raise self._error(f"{error.strerror or type(error).__name__}") from error
        return identity_of("video", self.config.source, state.st_size, state.st_mtime_ns)

    def _play(self, first: int) -> Iterator[tuple[int, tuple[Pixels, Pack | None], float, float]]:
        """Position of each intact picture, its pixels and what packs them, from ``LEAD_SECONDS`` before
        ``first``, and when it is shown and the next one is due, in seconds since the first of all."""
        damaged = 0
        try:
            with VideoFile(self.config.source) as file:
                rate = self.config.rate_fps or file.rate or DEFAULT_RATE
                wanted = first - round(LEAD_SECONDS * rate)
                begin, shown, position, upright = None, -1 / rate, 0, Upright(file.context)
                for packet in file.packets():
                    for frame in file.decode(packet):
                        seconds = None if frame.pts is None else float(frame.pts * file.time_base)
                        begin = seconds if begin is None else begin
                        if self.config.rate_fps or seconds is None or begin is None:
                            media = position / rate
                        else:
                            media = max(shown, seconds - begin)
                        # Decoded one by one, because seeking is not exact in every file.
                        if position >= wanted:
                            yield position, (upright(frame), upright.pack(frame)), media, media + 1 / rate
                        else:
                            upright.follow(frame)
                        shown, position = media, position + 1
                    self.damaged += file.damaged - damaged
                    damaged = file.damaged
                    if self._stop.is_set():
                        return
                if file.problem:
                    lost = f"; {damaged} frames were dropped" if damaged else ""
                    raise self._error(f"{file.problem}{lost}")
        except PictureError as error:
            raise self._error(str(error)) from error
        except av.error.FFmpegError as error:
            raise self._error(f"broken or not a video: {error.strerror}") from error

    def _error(self, problem: str) -> SourceError:
        """What is wrong with the file, unless its disk or share has gone away."""
        why = self._volume.unreadable()
        return self._away_error(why) if why else SourceError(f"{self.label}: {problem}")

    def _away_error(self, why: str) -> AwayError:
        self._away = True
        return AwayError(f"{self.label}: {why}; it waits until that is back, and goes on where it was")


def _resumed(settled: int) -> str:
    if settled < 0:
        return "its video was dealt with to the end in an earlier run; to begin anew, set resume = false"
    return f"goes on after the first {settled} frames of its video, which an earlier run dealt with"
