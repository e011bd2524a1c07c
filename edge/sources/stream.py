"""Network cameras: RTSP, and what else FFmpeg opens by URL (HTTP MJPEG, HLS)."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import cv2

from edge.errors import SourceError
from edge.frames import RawFrame
from edge.masking import PERCENT_ENCODE, needs_encoding, place_of
from edge.sources import rtsp_transport
from edge.sources.base import SILENCE_SECONDS, Source
from edge.sources.stream_clock import StreamClock

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""The schemes that are opened, and their default ports."""
TURN_SECONDS = 120.0
"""How long a camera waits while others are being opened."""
_opening = threading.Lock()


class StreamSource(Source):
    """A network stream. Only the schemes of cameras are opened.

    With RTSP, times come from the camera and show how late a picture is. With HTTP, FFmpeg computes them from
    a frame rate, so they show nothing.
    """

    live = True

    def __iter__(self) -> Iterator[RawFrame]:
        scheme = self.config.source.split("://")[0].lower()
        if scheme not in PORTS:
            raise SourceError(f"{self.label}: its scheme must be one of {', '.join(PORTS)}")
        self._reach(scheme)
        if not self._wait_for_turn():
            return
        try:
            rtsp_transport.choose(self.config.transport)
            self.beat = begin = time.monotonic()
            capture = cv2.VideoCapture(
                self.config.source,
                cv2.CAP_FFMPEG,
                [
                    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                    int(self.config.open_timeout_seconds * 1000),
                    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                    int(self.config.read_timeout_seconds * 1000),
                ],
            )
        finally:
            _opening.release()
        try:
            if not capture.isOpened():
                raise SourceError(
                    f"{self.label}: cannot be opened within {self.config.open_timeout_seconds:g} seconds; "
                    f"check address, user name, password and cable{self._advice()}"
                )
            clock = StreamClock(begin, self.clock) if scheme.startswith("rtsp") else None
            # If opening took long, pictures without a clock may have been waiting for as long.
            piled_up = clock is None and time.monotonic() - begin > SILENCE_SECONDS
            yield from self._read_live(capture, clock, piled_up=piled_up)
        finally:
            capture.release()

    def _reach(self, scheme: str) -> None:
        """Raise SourceError unless the camera accepts a connection. This comes before its turn to be opened,
        so that a camera that is switched off does not keep the others waiting."""
        place = place_of(self.config.source)
        if place is None:
            raise SourceError(
                f"{self.label}: no host and port can be read from its URL; expected "
                f"{scheme}://USER:PASSWORD@HOST:PORT/...; {PERCENT_ENCODE}"
            )
        host, port = place
        try:
            with socket.create_connection((host, port or PORTS[scheme]), self.config.open_timeout_seconds):
                pass
        # Not the error's own text: it may quote the host, which may be a piece of a password (``_advice``).
        except OSError as error:
            unknown = isinstance(error, socket.gaierror)
            why = "no such host" if unknown else os.strerror(error.errno) if error.errno else "no answer"
            raise SourceError(
                f"{self.label}: cannot be reached: {why}; check address, network and cable{self._advice()}"
            ) from error
        except UnicodeError as error:  # the name is not possible in DNS
            raise SourceError(f"{self.label}: its host name is not valid{self._advice()}") from error

    def _advice(self) -> str:
        return f"; {PERCENT_ENCODE}" if needs_encoding(self.config.source) else ""

    def _wait_for_turn(self) -> bool:
        """Wait for this camera's turn to be opened; False when it is stopped in the meantime.

        OpenCV opens one stream at a time per process. Waiting for that does not count as hanging, so it is
        done here, with signs of life. Raises SourceError when other cameras hold this one up for too long.
        """
        begin = time.monotonic()
        while not _opening.acquire(timeout=0.5):
            self.beat = time.monotonic()
            if self._stop.is_set() or self.abandoned:
                return False
            if self.beat - begin > TURN_SECONDS:
                raise SourceError(
                    f"{self.label}: other cameras have been opening for {TURN_SECONDS:g} seconds; those that "
                    "accept a connection and never answer hold this one up"
                )
        return True
