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

import numpy as np

from edge import MAX_PICTURE_PIXELS
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
from edge.sources.orientation import Orientation, orientation_of, oriented

try:
    import av
    import av.error

    from edge.store.video import CONTAINERS, open_video

    SUFFIXES: tuple[str, ...] = tuple(CONTAINERS)
    MISSING = ""
except ImportError as error:  # the extra "video" is optional
    if error.name != "av":
        raise
    SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm")
    MISSING = "video files need PyAV; install edge-anonymizer[video]"

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AVI_SOUND = ("mp3", "pcm")
"""How the names of sound codecs begin that AVI can carry with correct times."""

LOST_SHARE, LOST_SECONDS = 0.05, 0.2
"""A video is truncated when it ends earlier than it states by more than both of these."""


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


def _open(path: Path) -> Any:
    """Open a video file and nothing else: no pipe, no other protocol, no list of other files."""
    if not path.is_file():
        raise PictureError("not a regular file" if path.exists() else "no such file")
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}
    return av.open(f"file:{path}", options=options, metadata_errors="replace")


def count_frames(path: Path) -> int:
    """Number of frames that a video states, at least 1; 1 if it states none or cannot be read."""
    if MISSING:
        return 1
    try:
        with _open(path) as container:
            stream = container.streams.video[0]
            if stream.frames:
                return int(stream.frames)
            seconds = (container.duration or 0) / 1e6
            return max(1, round(seconds * float(stream.average_rate or 25)))
    except (av.error.FFmpegError, PictureError, OSError, IndexError, ValueError):
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
    if MISSING:
        raise PictureError(MISSING)
    try:
        with _open(source) as container:
            reader = _Reader(container, keep_audio)
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
                reader.check_complete()
            return result
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise PictureError(f"broken or not a video: {error}"[:300]) from error
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error


class _Reader:
    """The decoder of one file. Sound packets met on the way are kept for ``take_sound``."""

    def __init__(self, container: Any, keep_audio: bool) -> None:
        if not container.streams.video:
            raise PictureError("no picture track in this file")
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        context = self._stream.codec_context
        if context.width * context.height > MAX_PICTURE_PIXELS:
            raise PictureError(f"{context.width}x{context.height} is over the limit of pixels")
        self.audio = container.streams.audio[0] if keep_audio and container.streams.audio else None
        self.time_base: Fraction = self._stream.time_base or Fraction(1, 90000)
        self.rate: Fraction = self._stream.average_rate or Fraction(25)
        self._sound: list[Any] = []
        self._end_seconds = 0.0
        self._packets = 0
        self._decoder = self._decoded()
        first = next(self._decoder, None)
        if first is None:
            raise PictureError("no frame can be decoded")
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
            self._end_seconds = float(last * self.time_base)
            try:
                yield RawFrame(pixels, "file", number, self._end_seconds, time.monotonic(), 0)
            except ValueError as error:
                raise PictureError(str(error)) from error

    def check_complete(self) -> None:
        """Raise PictureError when the file ended earlier than its header says."""
        # MP4 and MOV state the number exactly; AVI counts gaps too
        if "mp4" in self._container.format.name and self._stream.frames > self._packets:
            raise PictureError(f"truncated: {self._packets} of {self._stream.frames} frames are there")
        duration = self._stream.duration
        stated = float(duration * self.time_base) if duration else (self._container.duration or 0) / 1e6
        start = float((self._stream.start_time or 0) * self.time_base)
        missing = stated - (self._end_seconds - start) - 1 / float(self.rate)
        # Only the whole file's length is known, and its sound may go on after the last picture.
        shared = not duration and len(self._container.streams) > 1
        if missing > max(1.0 if shared else LOST_SECONDS, LOST_SHARE * stated):
            raise PictureError(f"truncated: the last {missing:.1f} of {stated:.1f} seconds are missing")

    def _decoded(self) -> Iterator[tuple[Pixels, int]]:
        streams = [self._stream] + ([self.audio] if self.audio is not None else [])
        count = 0
        for packet in self._container.demux(streams):
            if packet.stream is not self._stream:
                if packet.dts is not None:
                    self._sound.append(packet)
                continue
            if packet.is_corrupt:
                raise PictureError(f"truncated or damaged after {count} frames")
            self._packets += packet.size > 0
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise PictureError(f"frame {count} is damaged")
                pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                if frame.format.name == "bgr24":  # the decoder may make the next frame from this buffer
                    pixels = pixels.copy()
                upright = oriented(pixels, _orientation(frame))
                step = round(1 / (self.rate * self.time_base))
                yield upright, count * step if frame.pts is None else int(frame.pts)
                count += 1


def _orientation(frame: Any) -> Orientation:
    """How a decoded frame is to be shown. Its ``rotation`` alone would mistake a mirror for a half turn."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return orientation_of(np.frombuffer(data, np.int32).tolist())
    return Orientation()


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
