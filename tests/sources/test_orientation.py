"""Videos that are stored turned or mirrored: read as a player shows them, or refused by name."""

from __future__ import annotations

import functools
import gc
import struct
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from edge.config import CameraConfig, make_config
from edge.detection.detector import Detector
from edge.errors import PictureError, SourceError
from edge.files.video import VideoResult, anonymize_video
from edge.files.video_reader import VideoReader
from edge.frames import Pixels
from edge.pictures import read_picture
from edge.sources import make_source
from edge.sources.orientation import orientation_of
from edge.sources.upright import Upright
from edge.sources.video_file import VideoFile
from tests.hostile import ASTRONAUT

FRAMES = 2
ONE = 1 << 16
UPRIGHT = (1, 0, 0, 1)

Show = Callable[[Pixels], Pixels]
# What a player makes of the matrix (a, b, c, d); FFmpeg's filters of the same effect stand beside it.
PLAYERS: dict[tuple[int, int, int, int], tuple[Show, str]] = {
    UPRIGHT: (lambda p: p, "null"),
    (0, 1, -1, 0): (lambda p: np.rot90(p, -1), "transpose=clock"),
    (-1, 0, 0, -1): (lambda p: np.rot90(p, 2), "hflip,vflip"),
    (0, -1, 1, 0): (lambda p: np.rot90(p, 1), "transpose=cclock"),
    (-1, 0, 0, 1): (np.fliplr, "hflip"),
    (1, 0, 0, -1): (np.flipud, "vflip"),
    (0, -1, -1, 0): (lambda p: np.rot90(np.fliplr(p), -1), "transpose=clock_flip"),
    (0, 1, 1, 0): (lambda p: np.rot90(np.fliplr(p), 1), "transpose=cclock_flip"),
}
ALL = pytest.mark.parametrize("parts", PLAYERS, ids=[name for _, name in PLAYERS.values()])

REFUSED = {
    (1, 0.5, 0, 1): "shears",
    (2, 0, 0, 1): r"scales the picture by 2\.00 x 1\.00",
    (0, 0.5, -0.5, 0): r"scales the picture by 0\.50 x 0\.50",
    (0.7071, 0.7071, -0.7071, 0.7071): "turns the picture by 45 degrees",
    (0.9994, 0.0349, -0.0349, 0.9994): "turns the picture by 2 degrees",
    (1, 0, 0, 0): "flattens",
    (1, 1, 1, 1): "flattens",
}


def nine(parts: Sequence[float]) -> tuple[int, ...]:
    a, b, c, d = (round(part * ONE) for part in parts)
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


@functools.cache
def shown() -> Pixels:
    """The picture that a player shows: 128x160, with one face."""
    seen = read_picture(ASTRONAUT).pixels[:400, 96:416]
    return np.asarray(cv2.resize(seen, (128, 160), interpolation=cv2.INTER_AREA), np.uint8)


def clip(path: Path, parts: tuple[int, int, int, int], container_matrix: bool = False) -> Path:
    """Store the picture so that a player with this matrix shows it; the matrix is set by PyAV, or not yet."""
    show, _ = PLAYERS[parts]
    stored = np.ascontiguousarray(show(show(show(shown()))))  # four times is not at all
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width = stored.shape[:2]
        stream.pix_fmt = "yuv420p"
        if container_matrix:
            stream.set_display_matrix(list(nine(parts)))
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(stored, format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def patch(path: Path, matrix: Sequence[int], kind: bytes = b"tkhd") -> Path:
    """Put a matrix into the header of an MP4 file (ISO/IEC 14496-12, 8.2.2 and 8.3.2)."""
    data = bytearray(path.read_bytes())
    place = data.index(kind) + 4 + {b"mvhd": 36, b"tkhd": 40}[kind]
    assert data[place : place + 36] == struct.pack(">9i", *nine(UPRIGHT))
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


def watched(path: Path) -> list[Pixels]:
    """The frames of a camera of the kind ``video``."""
    config = CameraConfig(source=str(path), pace=False)
    return [frame.pixels for frame in make_source("yard", config, threading.Event())]


def blurred(source: Path, target: Path, detector: Detector) -> tuple[VideoResult, list[Pixels]]:
    """What ``edge blur`` finds in a file, and the frames that it writes, as they are stored."""
    target.parent.mkdir(exist_ok=True)
    result = anonymize_video(
        source,
        target,
        detector,
        make_config({}, "test"),
        workers=1,
        keep_audio=False,
        replace=False,
        advance=lambda _: None,
    )
    with av.open(str(target)) as container:
        written = list(container.decode(video=0))
    assert not any(data.type.name == "DISPLAYMATRIX" for frame in written for data in frame.side_data)
    return result, [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in written]


def decoded(path: Path) -> list[Pixels]:
    """The frames that ``edge blur`` looks at."""
    with VideoFile(path) as file:
        return [frame.pixels for frame in VideoReader(file, keep_audio=False).frames()]


def is_shown(frames: list[Pixels], below: int = 0) -> bool:
    """Whether all frames are the picture, from one row on."""
    assert len(frames) == FRAMES
    return all(
        frame.shape == shown().shape
        and float(np.abs(frame[below:].astype(int) - shown()[below:].astype(int)).mean()) < 8
        for frame in frames
    )


@ALL
def test_the_table_is_what_ffmpeg_does(parts: tuple[int, int, int, int]) -> None:
    show, filters = PLAYERS[parts]
    graph = av.filter.Graph()
    picture = av.VideoFrame.from_ndarray(shown(), format="bgr24")
    last = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 10)
    )
    for name in filters.split(","):
        following = graph.add(*name.split("=", 1))
        last.link_to(following)
        last = following
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(picture)
    turned: Any = graph.pull()
    np.testing.assert_array_equal(turned.to_ndarray(format="bgr24"), show(shown()))


@ALL
def test_a_camera_sees_what_a_player_shows(tmp_path: Path, parts: tuple[int, int, int, int]) -> None:
    path = patch(clip(tmp_path / "clip.mp4", parts), nine(parts))
    assert is_shown(watched(path))


@ALL
def test_a_file_is_written_as_a_player_shows_it_and_its_face_is_covered(
    tmp_path: Path, parts: tuple[int, int, int, int], detector: Detector
) -> None:
    path = patch(clip(tmp_path / "clip.mp4", parts), nine(parts))
    result, frames = blurred(path, tmp_path / "out" / "clip.mp4", detector)
    assert [len(boxes) for boxes, _ in result.faces] == [1] * FRAMES
    assert is_shown(frames, below=120)
    assert not is_shown(frames)


@pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_matrix"), reason="this PyAV writes no matrix"
)
@ALL
def test_matroska_as_well(tmp_path: Path, parts: tuple[int, int, int, int]) -> None:
    path = clip(tmp_path / "clip.mkv", parts, container_matrix=True)
    assert is_shown(watched(path))
    assert is_shown(decoded(path))


def test_the_movie_s_matrix_comes_after_the_track_s(tmp_path: Path) -> None:
    """A flip in the track, then a clockwise quarter in the movie."""
    path = patch(clip(tmp_path / "clip.mp4", (0, -1, -1, 0)), nine((-1, 0, 0, 1)))
    patch(path, nine((0, 1, -1, 0)), b"mvhd")
    assert is_shown(watched(path))
    assert is_shown(decoded(path))


def test_a_matrix_of_zeros_says_nothing(tmp_path: Path) -> None:
    path = patch(clip(tmp_path / "clip.mp4", UPRIGHT), [0] * 9)
    assert is_shown(watched(path))
    assert is_shown(decoded(path))


@pytest.mark.parametrize(("parts", "reason"), REFUSED.items())
def test_anything_else_is_refused_by_name(
    tmp_path: Path, parts: tuple[float, ...], reason: str, detector: Detector
) -> None:
    path = patch(clip(tmp_path / "clip.mp4", UPRIGHT), nine(parts))
    with pytest.raises(SourceError, match=rf"clip\.mp4: the display matrix {reason}.*Encode"):
        watched(path)
    with pytest.raises(PictureError, match=f"the display matrix {reason}.*Encode"):
        blurred(path, tmp_path / "out" / "clip.mp4", detector)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_perspective_is_refused() -> None:
    with pytest.raises(PictureError, match="perspective"):
        orientation_of([ONE, 0, 1 << 20, 0, ONE, 0, 0, 0, 1 << 30])


@ALL
def test_rounding_and_place_do_not_matter(parts: tuple[int, int, int, int]) -> None:
    matrix = [value + 300 for value in nine(parts)]
    matrix[2] = matrix[5] = 0
    assert orientation_of(matrix) == orientation_of(nine(parts))


def test_a_frame_is_freed_as_soon_as_its_pixels_are_read(tmp_path: Path) -> None:
    """And not when garbage is collected: until then each would keep its pixels, and threads of its own."""
    path, rounds = clip(tmp_path / "clip.mp4", UPRIGHT), 10
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            with VideoFile(path) as file:
                frames = (frame for packet in file.packets() for frame in file.decode(packet))
                upright = Upright(file.context)
                assert sum(upright(frame).size > 0 for frame in frames) == FRAMES
        alive = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
    assert alive <= 3 * FRAMES  # of the last rounds; the decoder may have some at hand
