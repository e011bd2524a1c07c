"""Anonymize one video file: decode, detect on every core, hold, blur and encode, in order and in memory."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import av.error

from edge.boxes import Floats
from edge.config import BlurConfig, Config
from edge.detection.detector import Detections
from edge.detection.joint import AnyDetector, kinds_of
from edge.detection.views import Search
from edge.errors import PictureError
from edge.files.search import search_of
from edge.frames import Pixels, RawFrame
from edge.hold import Held, make_hold
from edge.last_look import Cover, LastLook, take_last_look
from edge.sources.upright import upright
from edge.sources.video_file import VideoFile
from edge.store.video import CONTAINERS, open_video

SUFFIXES: tuple[str, ...] = tuple(CONTAINERS)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AVI_SOUND = ("mp3", "pcm")
"""How the names of sound codecs begin that AVI can carry with correct times."""


@dataclass(eq=False)
class VideoResult:
    """Size, counts and detections of a video that was written.

    ``faces`` holds, for each frame, boxes float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) that begin regions
    and their scores float32 ``[N]``; ``labels`` the label of each of these boxes, or nothing where all are
    faces. ``by_label`` counts the regions by label; ``regrown`` and ``escalated`` are frames on which the
    last look found a face, and found one even after more was covered.
    """

    width: int = 0
    height: int = 0
    frames: int = 0
    regions: int = 0
    faces: list[tuple[Floats, Floats]] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    by_label: Counter[str] = field(default_factory=Counter)
    regrown: int = 0
    escalated: int = 0

    def count(self, last: LastLook) -> None:
        """Add a frame that was written."""
        self.frames += 1
        self.regions += last.frame.regions
        self.by_label.update(last.frame.labels)
        self.regrown += last.regrown
        self.escalated += last.escalated


_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"


def count_frames(path: Path) -> int:
    """Number of frames that a video states, at least 1; 1 if it states none or cannot be read."""
    try:
        with VideoFile(path, _DEMUXERS) as file:
            if file.stream.frames:
                return int(file.stream.frames)
            seconds = (file.container.duration or 0) / 1e6
            return max(1, round(seconds * (file.rate or 25)))
    except (av.error.FFmpegError, PictureError, OSError, ValueError):
        return 1


def anonymize_video(
    source: Path,
    target: Path,
    detector: AnyDetector,
    config: Config,
    *,
    workers: int,
    keep_audio: bool,
    replace: bool,
    advance: Callable[[int], None],
) -> VideoResult:
    """Write ``target`` from ``source``, frame by frame, with the same times.

    ``advance`` is called with the number of frames done since the last call. Nothing is written when this
    raises PictureError (the source is broken), DetectionError (detection on a frame failed) or StoreError
    (the target cannot be written).
    """
    try:
        with VideoFile(source, _DEMUXERS) as file:
            reader = _Reader(file, keep_audio)
            if reader.audio is not None and target.suffix.lower() == ".avi":
                codec = reader.audio.codec_context.name
                if not codec.startswith(AVI_SOUND):  # other codecs lose their times in this container
                    raise PictureError(f"sound as {codec} cannot be kept in AVI; leave out --keep-audio")
            result = VideoResult(reader.width, reader.height)
            with open_video(
                target, reader.width, reader.height, reader.rate, reader.time_base, replace=replace
            ) as writer:
                if reader.audio is not None:
                    writer.copy_audio(reader.audio)
                search = search_of(config)
                with ThreadPoolExecutor(workers) as pool:
                    detected = _detected(reader.frames(), detector, search, pool, workers)
                    held = _held(detected, detector, config.blur, result)
                    for frame, last in _covered(held, detector, config.blur, search, pool, workers):
                        writer.write(last.frame, round(frame.media_seconds / reader.time_base))
                        for packet in reader.take_sound():
                            writer.write_audio(packet)
                        result.count(last)
                        advance(1)
                if file.problem:
                    raise PictureError(file.problem)
            return result
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, av.error.FFmpegError) else str(error)
        raise PictureError(f"broken or not a video: {why}"[:300]) from error
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error


class _Reader:
    """The pictures of one file. Sound packets met on the way are kept for ``take_sound``."""

    def __init__(self, file: VideoFile, keep_audio: bool) -> None:
        self._file = file
        sound = file.container.streams.audio
        self.audio = sound[0] if keep_audio and sound else None
        self.time_base = file.time_base
        self.rate: Fraction = file.stream.average_rate or Fraction(25)
        self._sound: list[Any] = []
        self._decoder = self._decoded()
        first = next(self._decoder, None)
        if first is None:
            raise PictureError(file.problem or "no frame can be decoded")
        self._first = first
        self.height, self.width = first[0].shape[:2]

    def take_sound(self) -> list[Any]:
        """Sound packets since the last call."""
        sound, self._sound = self._sound, []
        return sound

    def frames(self) -> Iterator[RawFrame]:
        """All frames in order, each with its own pixels; ``media_seconds`` is exact to the time base."""
        last = -1
        for number, (pixels, pts) in enumerate(chain([self._first], self._decoder)):
            if pixels.shape[:2] != (self.height, self.width):
                raise PictureError(f"the picture changes its size at frame {number}")
            last = max(pts, last + 1)  # some files repeat a time; an encoder needs rising ones
            media = float(last * self.time_base)
            try:
                yield RawFrame(pixels, "file", number, media, time.monotonic(), 0)
            except ValueError as error:
                raise PictureError(str(error)) from error

    def _decoded(self) -> Iterator[tuple[Pixels, int]]:
        file, count = self._file, 0
        step = round(1 / (self.rate * self.time_base))
        for packet in file.packets(*([self.audio] if self.audio is not None else [])):
            if packet.stream is not file.stream:
                if packet.dts is not None:
                    self._sound.append(packet)
                continue
            for frame in file.decode(packet):
                yield upright(frame), count * step if frame.pts is None else int(frame.pts)
                count += 1
            if file.problem:
                raise PictureError(f"{file.problem}, after {count} frames")


def _detected(
    frames: Iterator[RawFrame],
    detector: AnyDetector,
    search: Search,
    pool: ThreadPoolExecutor,
    workers: int,
) -> Iterator[tuple[RawFrame, Detections]]:
    """Detect on several frames at once; yield them in order."""

    def detect(frame: RawFrame) -> Detections:
        return detector.detect(frame.pixels, search)

    return _in_order(frames, detect, pool, workers)


def _held(
    detected: Iterator[tuple[RawFrame, Detections]],
    detector: AnyDetector,
    config: BlurConfig,
    result: VideoResult,
) -> Iterator[Held]:
    hold = make_hold(detector, config)
    for frame, found in detected:
        strong = found.at_least(detector.score_begin)
        result.faces.append((strong.boxes, strong.scores))
        result.labels.append(tuple(kind.label for kind in kinds_of(detector, strong.numbers)))
        yield from hold.push(frame, found)
    yield from hold.flush()


def _covered(
    frames: Iterator[Held],
    detector: AnyDetector,
    config: BlurConfig,
    search: Search,
    pool: ThreadPoolExecutor,
    workers: int,
) -> Iterator[tuple[RawFrame, LastLook]]:
    """Cover several frames at once and take the last look at them; yield them in order."""

    def work(held: Held) -> LastLook:
        kinds = kinds_of(detector, held.numbers)
        cover = Cover(held.frame, held.boxes, config, kinds=kinds)
        return take_last_look(cover, cover.image(), detector, search)

    for held, last in _in_order(frames, work, pool, workers):
        yield held.frame, last


def _in_order(
    items: Iterator[Item], work: Callable[[Item], Answer], pool: ThreadPoolExecutor, workers: int
) -> Iterator[tuple[Item, Answer]]:
    """Work on ``2 * workers`` items at once; yield each with its answer, in order."""
    waiting: deque[tuple[Item, Future[Answer]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > 2 * workers:
            oldest, future = waiting.popleft()
            yield oldest, future.result()
    for oldest, future in waiting:
        yield oldest, future.result()
