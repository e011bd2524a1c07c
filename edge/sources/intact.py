"""Decodes pictures, and gives out only those of which nothing is missing.

A picture refers to earlier ones, so damage lasts until the next key frame. FFmpeg conceals it: it fills what
is missing with what was there before, and a face half of which is old is no face to a detector. Whatever
follows a sign of loss is therefore dropped and counted until a key frame that was read after it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import av
import av.error

from edge import MAX_PICTURE_PIXELS
from edge.sources.bitstream import Bitstream
from edge.sources.ffmpeg_log import IN_CONTAINER, Message, Sign, listen, sign_of

LONGEST_KEY_SECONDS = 600.0
"""Key frames that seem to be further apart are not believed: the clock was set."""
MOST_INSIDE = 16
"""No decoder holds back more pictures; packets that are only a part of a picture are counted, too."""


class IntactDecoder:
    """Decodes the pictures of one stream of an open container.

    ``damaged`` counts the frames that were dropped, ``sign`` is the last sign of loss (empty before the
    first), and while ``waiting``, no frame is given out until the next key frame.

    One thread decodes. With more, flags and messages could belong to another picture than the one that is
    given out, and messages of other threads are not heard.
    """

    def __init__(self, container: Any, stream: Any, said_before: Sequence[Message] = ()) -> None:
        """``said_before`` are FFmpeg's messages while the container was opened."""
        self._container, self._stream = container, stream
        self._context = stream.codec_context
        self._context.thread_count = 1
        # Checksums are compared where pictures have some (H.265).
        self._context.options = {"err_detect": "crccheck", "max_pixels": str(MAX_PICTURE_PIXELS)}
        self._bitstream = Bitstream(self._context.name, self._context.extradata)
        self.damaged = 0
        self.sign = ""
        self.waiting = True
        self.key_seconds = math.nan
        self._key_time = math.nan
        self._key_pts: int | None = None  # while pictures that are shown before the key frame may follow it
        # What was decoded while opening is decoded again.
        lost = (sign := sign_of(said_before)) is not None and sign.on_the_way
        self._said: list[Message] = list(said_before) if lost else []
        # Whether key frames come in several packets, as far as that is known
        self._in_parts: bool | None = None if self._bitstream.may_continue else False
        self._barred = 0  # how many more packets cannot be a new beginning
        self._inside = 0  # how many frames the decoder has not given out yet

    @property
    def wait_text(self) -> str:
        """That no frame can be given out before the next key frame; empty when that is not so."""
        if not self.waiting:
            return ""
        every = f", every {self.key_seconds:.3g} s" if math.isfinite(self.key_seconds) else ""
        return f"waiting for a key frame{every}" + (f": {self.sign}" if self.sign else "")

    def packets(self, *others: Any) -> Iterator[Any]:
        """The packets of the stream, and of ``others``, in the order of the container. Raises FFmpegError."""
        held, before = None, None
        for packet in self._read(*others):
            if packet.stream is not self._stream:
                yield packet
                continue
            if before is not None and before.is_keyframe:
                if self._continues(packet):
                    self._in_parts = True
                    if held is not None:
                        held = _joined(held, packet)
                        continue
                elif self._in_parts is None:
                    self._in_parts = False
            before = packet
            if held is not None:
                yield held
                held = None
            if self._in_parts is not False and packet.is_keyframe:
                held = packet
            else:
                yield packet

    def _continues(self, packet: Any) -> bool:
        """Whether a packet after a key frame belongs to it, as far as nothing is lost."""
        whole = packet.is_keyframe and not packet.is_corrupt and sign_of(self._said) is None
        return whole and self._bitstream.continues(bytes(packet))

    def _read(self, *others: Any) -> Iterator[Any]:
        with contextlib.closing(self._container.demux([self._stream, *others])) as packets:
            while True:
                with listen() as said:
                    try:
                        packet = next(packets, None)
                    finally:
                        self._said += said
                if packet is None:
                    return
                yield packet

    def decode(self, packet: Any) -> list[Any]:
        """The intact frames that come with a packet of the stream, in the order in which they are shown; the
        empty packet at the end gives the rest."""
        if packet.size == 0:
            return [] if self.waiting else self._rest()
        kept = []
        sign = Sign(IN_CONTAINER) if packet.is_corrupt else None
        sign, self._said = sign_of(self._said) or sign, []
        if sign:
            # What was decoded before is intact, and only waits for its turn to be shown.
            kept = [] if self.waiting else self._rest()
            self._lose(sign)
            self._barred = (2 + (self._in_parts is not False)) if sign.on_the_way else 1
        barred, self._barred = self._barred > 0, max(0, self._barred - 1)
        self._note_key(packet)
        if self.waiting:
            if barred or not packet.is_keyframe:
                self.damaged += 1
                return kept
            self._context.flush_buffers()
            self._bitstream.forget()
            self.waiting, self._key_pts = False, packet.pts
        return kept + self._push(packet)

    def _push(self, packet: Any) -> list[Any]:
        found = self._bitstream.sign(bytes(packet))
        frames, sign = self._decode(packet)
        sign = Sign(found) if found else sign
        key = self._key_pts
        if key is not None and packet.pts is not None:
            frames = [frame for frame in frames if frame.pts is None or frame.pts >= key]
            if packet.pts < key:  # shown before the key frame, so it may refer to what is lost
                self.damaged += 1
                self._inside -= len(frames)
                return frames
            if packet.pts > key:
                self._key_pts = None
        self._inside = min(self._inside + (not packet.is_discard), MOST_INSIDE)
        if sign:
            self._lose(sign)
            return []
        self._inside -= len(frames)
        return frames

    def _rest(self) -> list[Any]:
        """The frames that wait inside the decoder."""
        frames, sign = self._decode(None)
        frames = [] if sign else frames
        self._inside -= len(frames)
        return frames

    def _decode(self, packet: Any) -> tuple[list[Any], Sign | None]:
        with listen() as said:
            try:
                frames = self._context.decode(packet)
            except av.error.FFmpegError:
                return [], sign_of(said) or Sign("a picture cannot be decoded")
        sign = sign_of(said)
        if sign is None and any(frame.is_corrupt for frame in frames):
            sign = Sign("the decoder marks a picture as damaged")
        return frames, sign

    def _lose(self, sign: Sign) -> None:
        self.damaged += max(0, self._inside)
        self._inside = 0
        self.sign, self.waiting, self._key_pts = sign.text, True, None
        self._context.flush_buffers()

    def _note_key(self, packet: Any) -> None:
        if not packet.is_keyframe or packet.pts is None:
            return
        now = float(packet.pts * self._stream.time_base)
        passed = now - self._key_time
        self.key_seconds = passed if 0 < passed <= LONGEST_KEY_SECONDS else math.nan
        self._key_time = now


def _joined(first: Any, second: Any) -> Any:
    """One packet of two parts of a picture."""
    packet = av.Packet(bytes(first) + bytes(second))
    packet.stream, packet.time_base = first.stream, first.time_base
    packet.pts = second.pts if first.pts is None else first.pts
    packet.dts = second.dts if first.dts is None else first.dts
    packet.is_keyframe = True
    return packet
