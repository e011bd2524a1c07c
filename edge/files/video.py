"""Anonymize one video file: decode, detect on every core, hold, blur and encode, in order and in memory."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import av.error

from edge.boxes import Floats
from edge.config import BlurConfig, Config
from edge.detection.detector import Detections
from edge.detection.joint import AnyDetector, kinds_of
from edge.detection.views import Search
from edge.errors import PictureError
from edge.files.search import search_of
from edge.files.video_reader import DEMUXERS, VideoReader
from edge.frames import RawFrame
from edge.hold import Held, make_hold
from edge.last_look import Cover, LastLook, take_last_look
from edge.sources.video_file import VideoFile
from edge.store.video import CONTAINERS, Shape, open_video

SUFFIXES: tuple[str, ...] = tuple(CONTAINERS)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AVI_SOUND = ("mp3", "pcm")
"""How the names of sound codecs begin that AVI can carry with correct times."""


@dataclass(eq=False)
class VideoResult:
    """Size, counts and detections of a video that was written.

    ``left_out`` names tracks of the source that are not in it. ``faces`` holds, for each frame, boxes
    float32 ``[N, 4]`` (``x1 y1 x2 y2``, pixels) that begin regions and their scores float32 ``[N]``;
    ``labels`` the label of each of these boxes, or nothing where all are faces. ``by_label`` counts the
    regions by label; ``regrown`` and ``escalated`` are frames on which the last look found a face, and
    found one even after more was covered.
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
    left_out: list[str] = field(default_factory=list)

    def count(self, last: LastLook) -> None:
        """Add a frame that was written."""
        self.frames += 1
        self.regions += last.frame.regions
        self.by_label.update(last.frame.labels)
        self.regrown += last.regrown
        self.escalated += last.escalated


def count_frames(path: Path) -> int:
    """Number of frames that a video states, at least 1; 1 if it states none or cannot be read."""
    try:
        with VideoFile(path, DEMUXERS) as file:
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
        with VideoFile(source, DEMUXERS) as file:
            reader = VideoReader(file, keep_audio)
            for sound in reader.sounds if target.suffix.lower() == ".avi" else ():
                codec = sound.codec_context.name
                if not codec.startswith(AVI_SOUND):  # other codecs lose their times in this container
                    raise PictureError(f"sound as {codec} cannot be kept in AVI; leave out --keep-audio")
            result = VideoResult(reader.width, reader.height, left_out=reader.left_out)
            shape = Shape(reader.width, reader.height, reader.aspect)
            with open_video(target, shape, reader.rate, reader.time_base, replace=replace) as writer:
                for sound in reader.sounds:
                    writer.copy_audio(sound)
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
