"""Network cameras: RTSP, and what else FFmpeg opens by URL (HTTP MJPEG, HLS)."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import av
import av.error

from edge import MAX_PICTURE_PIXELS
from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import RawFrame
from edge.masking import PERCENT_ENCODE, needs_encoding, place_of
from edge.secret_file import read_secret
from edge.sources.base import HANG_MARGIN_SECONDS
from edge.sources.ffmpeg_log import Message, listen
from edge.sources.intact import IntactDecoder
from edge.sources.live import SILENCE_SECONDS, Arrival, Arrivals, LiveSource
from edge.sources.stream_clock import StreamClock
from edge.sources.upright import Upright

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""The schemes that are opened, and their default ports."""
_RTSP = {
    "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
    "allowed_media_types": "video",
    # Pictures that are read while opening could not be told from damaged ones: one packet is enough.
    "probesize": "32",
    "analyzeduration": "0",
}
_HTTP = {"protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto,data"}
_TCP_QUEUE = "2"
"""How many packets wait for one that is missing. None overtakes another on TCP, but without a queue FFmpeg
does not say that a camera left one out."""
_REFUSALS = {
    av.error.HTTPUnauthorizedError: "user name or password is wrong (401); correct the camera's source",
    av.error.HTTPForbiddenError: "this user may not see it (403); give the user the right in the camera",
    av.error.HTTPNotFoundError: "it has no such stream (404); correct the path in the camera's source",
    av.error.HTTPClientError: "it refuses the request (4xx); is the transport or the path right?",
    av.error.HTTPServerError: "it failed (5xx); has it too many viewers? Restart the camera",
    av.error.InvalidDataError: "what it sends cannot be read as a video; correct the camera's source",
}


class StreamSource(LiveSource):
    """A network stream. Only the schemes of cameras are opened.

    With RTSP, times come from the camera and show how late a picture is. With HTTP, FFmpeg computes them from
    a frame rate, so they show nothing.
    """

    def __init__(self, camera: str, config: CameraConfig, stop: threading.Event) -> None:
        """Raises ConfigError when the file of the password cannot be read."""
        super().__init__(camera, config, stop)
        key = f"cameras.{camera}.password_file"
        self._password = read_secret(config.password_file, key) if config.password_file else None

    def _address(self) -> str:
        """The URL with user name and password, which is never to be shown."""
        if self.config.username is None:
            return self.config.source
        user = quote(self.config.username, safe="")
        if self._password is not None:
            user += ":" + quote(self._password, safe="")
        return self.config.source.replace("://", f"://{user}@", 1)

    @property
    def hang_seconds(self) -> float:
        """FFmpeg has the time to open once to ask the camera, and once to find out what it sends."""
        config = self.config
        return 2 * config.open_timeout_seconds + config.read_timeout_seconds + HANG_MARGIN_SECONDS

    def __iter__(self) -> Iterator[RawFrame]:
        scheme = self.config.source.split("://")[0].lower()
        if scheme not in PORTS:
            raise SourceError(f"{self.label}: its scheme must be one of {', '.join(PORTS)}")
        self._reach(scheme)
        self.beat = begin = time.monotonic()
        rtsp = scheme.startswith("rtsp")
        container, said = self._open(rtsp)
        try:
            clock = StreamClock(begin, self.clock) if rtsp else None
            # If opening took long, pictures without a clock may have been waiting for as long.
            piled_up = clock is None and time.monotonic() - begin > SILENCE_SECONDS
            with contextlib.closing(self._arrivals(container, said)) as arrivals:
                yield from self._read_live(arrivals, clock, piled_up=piled_up)
        finally:
            self.waits_for = ""
            container.close()

    def _open(self, rtsp: bool) -> tuple[Any, list[Message]]:
        """The open stream, and what FFmpeg said meanwhile. Raises SourceError."""
        options = {"fpsprobesize": "0"}  # its rate, which takes up to 20 pictures to find out, is not needed
        options |= {**_RTSP, "rtsp_transport": self.config.transport} if rtsp else _HTTP
        if rtsp and self.config.transport == "tcp":
            options["reorder_queue_size"] = _TCP_QUEUE
        config, begin = self.config, time.monotonic()
        try:
            with listen() as said:
                container = av.open(
                    self._address(),
                    options=options,
                    timeout=(config.open_timeout_seconds, config.read_timeout_seconds),
                    metadata_errors="replace",
                )
            return container, said
        # Never the error's own text, which quotes the address.
        except av.error.FFmpegError as error:
            why = next((text for kind, text in _REFUSALS.items() if isinstance(error, kind)), "")
            # FFmpeg calls much an error of the data that is none
            limit = config.open_timeout_seconds
            if isinstance(error, av.error.TimeoutError) or time.monotonic() - begin >= limit:
                why = f"no answer within {limit:g} seconds; check address, network and cable"
            elif not why and isinstance(error, OSError) and error.errno:
                why = f"{os.strerror(error.errno)}; check address, network and cable"
            why = why or "it cannot be opened; check address, path and transport"
            raise SourceError(f"{self.label}: {why}{self._advice()}") from None
        except ValueError as error:  # such as a zero byte in the address
            raise SourceError(f"{self.label}: its address is not valid{self._advice()}") from error

    def _arrivals(self, container: Any, said: list[Message]) -> Arrivals:
        """The intact pictures of the open camera, and None for each packet that gave none. Raises SourceError
        when nothing comes in time."""
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise SourceError(f"{self.label}: it sends no video that can be decoded; correct its source")
        decoder = IntactDecoder(container, stream, said)
        unit = float(stream.time_base)
        damaged, upright = 0, Upright(stream.codec_context)
        try:
            for packet in decoder.packets():
                frames = decoder.decode(packet)
                self.damaged += decoder.damaged - damaged
                damaged, self.waits_for = decoder.damaged, decoder.wait_text
                self.key_seconds = decoder.key_seconds
                for frame in frames:
                    if frame.width * frame.height > MAX_PICTURE_PIXELS:
                        raise SourceError(f"{self.label}: {frame.width}x{frame.height} is over the limit")
                    presented = math.nan if frame.pts is None else frame.pts * unit
                    yield Arrival(upright(frame), presented, upright.pack(frame))
                if not frames:
                    yield None
        except (av.error.ExitError, av.error.TimeoutError):
            limit = self.config.read_timeout_seconds
            raise SourceError(f"{self.label}: no frame within {limit:g} seconds") from None
        except av.error.FFmpegError:
            return  # it broke off

    def _reach(self, scheme: str) -> None:
        """Raise SourceError unless the camera accepts a connection: FFmpeg does not say so well why not."""
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
