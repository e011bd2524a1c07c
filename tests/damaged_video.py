"""Copies of videos in which pictures are damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

Damage = Callable[[bytes, random.Random], bytes | None]


def whole(data: bytes, chance: random.Random) -> bytes | None:
    """The picture is missing."""
    return None


def slice_lost(data: bytes, chance: random.Random) -> bytes:
    units, place = [], 0
    while place < len(data):
        size = 4 + int.from_bytes(data[place : place + 4], "big")
        units.append(data[place : place + size])
        place += size
    units.pop(chance.randrange(len(units)))
    return b"".join(units)


def flipped(data: bytes, chance: random.Random) -> bytes:
    """One bit is another."""
    spoiled = bytearray(data)
    spoiled[chance.randrange(12, len(data))] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


def garbage(data: bytes, chance: random.Random) -> bytes:
    """A part of the picture is noise."""
    begin = chance.randrange(12, max(13, len(data) - 512))
    size = len(data[begin : begin + 512])
    return data[:begin] + chance.randbytes(size) + data[begin + size :]


def hole(data: bytes, chance: random.Random) -> bytes:
    """A part of the picture is zeros, as where a disk lost a block."""
    begin = chance.randrange(12, max(13, len(data) - 512))
    return data[:begin] + bytes(len(data[begin : begin + 512])) + data[begin + 512 :]


def altered(source: Path, target: Path, damage: Damage, share: float, seed: int = 1) -> Path:
    """A copy of a video in which pictures are damaged."""
    chance = random.Random(seed)
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream: Any = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            data: bytes | None = bytes(packet)
            if packet.size and number > 2 and chance.random() < share:
                data = damage(bytes(packet), chance)
            if data:
                copy: Any = av.Packet(data)
                copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                copy.is_keyframe, copy.time_base, copy.stream = packet.is_keyframe, packet.time_base, stream
                writer.mux(copy)
    return target
