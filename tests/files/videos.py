"""Small videos for the tests: how they are made, decoded and anonymized."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from edge.config import make_config
from edge.detection.detector import Detector
from edge.files.search import search_of
from edge.files.video import VideoResult, anonymize_video
from edge.frames import Pixels
from edge.sources.synthetic import draw_wall, view

FAST = {
    "libx264": {"crf": "16", "preset": "veryfast"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "2000k"},
    "mpeg4": {"qmin": "2", "qmax": "4"},
}
PERSONAL = {"title": "Holiday in Kitchen", "comment": "Eileen at home", "location": "+52.5200+013.4050/"}
RATE = 10
SOUND_RATE = 48_000


@functools.cache
def scene(number: int, width: int = 640, height: int = 360) -> Pixels:
    """Frame ``number`` of the synthetic camera, ten per second of its time."""
    seen = view(_wall(), number / RATE)
    return np.asarray(cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@functools.cache
def _wall() -> Pixels:
    return draw_wall()


def make(
    path: Path,
    *,
    times: Sequence[int] = range(20),
    time_base: Fraction = Fraction(1, RATE),
    rate: Fraction | int = RATE,
    size: tuple[int, int] = (640, 360),
    codec: str = "libx264",
    sound: bool = False,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a clip whose frame times are ``times`` in ``time_base``."""
    width, height = size
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        stream: Any = container.add_stream(codec, rate=rate, options=FAST[codec])
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        stream.codec_context.time_base = time_base
        stream.metadata.update(metadata or {})
        track = sound_track(container, len(times)) if sound else ()
        for number, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(number, width, height), format="bgr24")
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
        for packet in track:
            container.mux(packet)
        container.mux(stream.encode())
    return path


def sound_track(container: Any, frames: int) -> list[Any]:
    """Announce a tone as long as the picture, and return its packets."""
    stream = container.add_stream("libopus" if "webm" in container.format.name else "aac", rate=SOUND_RATE)
    stream.metadata["title"] = "Microphone in Kitchen"
    moments = np.arange(SOUND_RATE * frames // RATE) / SOUND_RATE
    tone = (np.sin(2 * np.pi * 440 * moments) * 0.3).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = SOUND_RATE, 0
    size = stream.codec_context.frame_size or 960
    resampler = av.AudioResampler(stream.format.name, stream.layout.name, SOUND_RATE, frame_size=size)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return [packet for piece in [*pieces, None] for packet in stream.encode(piece)]


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded file. ``seconds``: time of each frame; ``sound``: all samples, or None."""

    frames: list[Pixels]
    seconds: list[float]
    rate: Fraction
    tags: dict[str, str]
    sound: np.ndarray[tuple[int, ...], np.dtype[Any]] | None


def play(path: Path) -> Clip:
    """Decode a whole file, as a player would that ignores the rotation."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        tags = dict(container.metadata)
        for stream in container.streams:
            tags.update({f"{stream.type}.{key}": value for key, value in stream.metadata.items()})
        rate = video.average_rate
        assert rate is not None
        decoded = list(container.decode(video))
    sound = None
    with av.open(str(path)) as container:
        if container.streams.audio:
            sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    frames = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in decoded]
    seconds = [float((frame.pts or 0) * (frame.time_base or Fraction(0))) for frame in decoded]
    return Clip(frames, seconds, rate, tags, sound)


def run(source: Path, target: Path, detector: Detector, *, keep_audio: bool = False) -> VideoResult:
    done: list[int] = []
    result = anonymize_video(
        source,
        target,
        detector,
        make_config({"blur": {"hold_before_frames": 10}}, "test"),
        workers=2,
        keep_audio=keep_audio,
        replace=True,
        advance=done.append,
    )
    assert sum(done) == result.frames == len(result.faces)
    return result


def faces(detector: Detector, frames: Sequence[Pixels]) -> list[tuple[int, float]]:
    """Frames on which a face is found, with the best score; ``edge blur`` looks just as closely."""
    search = search_of(make_config({}, "test"))
    scores = [detector.detect(frame, search).scores for frame in frames]
    best = [(number, float(found.max(initial=0))) for number, found in enumerate(scores)]
    return [(number, score) for number, score in best if score >= detector.score_last_look]


def files(folder: Path) -> list[str]:
    """Every file below a folder, hidden and partial ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def half(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def no_video(folder: Path) -> Path:
    path = folder / "bad.mp4"
    path.write_text("This is no video.\n" * 100)
    return path
