"""What a video is beside its pixels: the shape of pixels, colours, times, interlacing, other tracks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from edge.detection.detector import Detector
from edge.errors import PictureError
from edge.files.video_reader import VideoReader
from edge.frames import Pixels
from edge.sources.video_file import VideoFile
from tests.files.videos import play, run, sound_track

WIDTH, HEIGHT = 96, 64
ORANGE = (30, 120, 230)
"""BGR: red, green and blue differ, so that a wrong matrix shows."""


def chart(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Orange, with a light quarter at the top left."""
    pixels = np.full((height, width, 3), ORANGE, np.uint8)
    pixels[: height // 2, : width // 2] = 230
    return pixels


def write(
    path: Path,
    pictures: Sequence[Pixels],
    *,
    times: Sequence[int] | None = None,
    rate: Fraction = Fraction(25),
    matrix: int | None = None,
    full_range: bool = False,
    metadata: str = "",
    context: dict[str, Any] | None = None,
    codec: str = "libx264",
) -> Path:
    """Write pictures, uint8 ``[H, W, 3]`` BGR. ``matrix`` is what colours are converted by (ITU-T H.273),
    ``metadata`` are options of FFmpeg's ``h264_metadata``, ``context`` attributes of the encoder."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"crf": "8", "bf": "0", "qmax": "4"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for name, value in (context or {}).items():
            setattr(stream.codec_context, name, value)
        container.start_encoding()
        packed = BitStreamFilterContext(f"h264_metadata={metadata}", stream) if metadata else None
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24").reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=2 if full_range else 1
            )
            frame.colorspace = matrix or 2
            frame.pts, frame.time_base = (times or range(len(pictures)))[number], 1 / rate
            for packet in stream.encode(frame):
                container.mux(packed.filter(packet) if packed else packet)
        for packet in stream.encode():
            container.mux(packed.filter(packet) if packed else packet)
    return path


def read(path: Path) -> tuple[VideoReader, list[Pixels], list[float]]:
    with VideoFile(path) as file:
        reader = VideoReader(file, keep_audio=False)
        frames = list(reader.frames())
        assert file.problem == ""
    return reader, [frame.pixels for frame in frames], [frame.media_seconds for frame in frames]


@pytest.mark.parametrize("name", ["wide.mp4", "wide.mkv", "wide.avi"])
def test_the_shape_of_pixels_is_kept(tmp_path: Path, name: str, detector: Detector) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    shape = {"sample_aspect_ratio": Fraction(64, 45)}
    source = write(tmp_path / name, [chart()] * 3, context=shape, codec=codec)
    (tmp_path / "out").mkdir()
    run(source, tmp_path / "out" / name, detector)
    with av.open(str(tmp_path / "out" / name)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_message_that_turns_the_picture_holds_for_all_that_follow(tmp_path: Path, degrees: int) -> None:
    stored = [chart()] * 4
    shape = {"sample_aspect_ratio": Fraction(4, 3)}
    path = write(
        tmp_path / "sei.mp4", stored, metadata=f"display_orientation=insert:rotate={degrees}", context=shape
    )
    reader, pictures, _ = read(path)
    # The message turns counter-clockwise (ITU-T H.264, D.2.27)
    for pixels in pictures:
        wanted = np.rot90(stored[0], degrees // 90)
        assert pixels.shape == wanted.shape
        assert np.abs(pixels.astype(int) - wanted.astype(int)).mean() < 4
    assert reader.aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    ("height", "matrix", "stated"), [(64, 1, 1), (64, 5, 5), (64, 5, 2), (720, 1, 2), (720, 5, 5)]
)
def test_colours_are_those_that_a_player_shows(
    tmp_path: Path, height: int, matrix: int, stated: int, full_range: bool
) -> None:
    """Where the file does not say (2), it is BT.601 (5) below 720 lines, and BT.709 (1) from there on."""
    context = {"colorspace": stated, "color_range": 2 if full_range else 1}
    path = write(
        tmp_path / "a.mp4", [chart(96, height)], matrix=matrix, full_range=full_range, context=context
    )
    _, (pixels,), _ = read(path)
    assert np.abs(pixels[-8:, -8:].astype(int) - ORANGE).max() <= 4


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(tmp_path: Path, transfer: int, name: str) -> None:
    path = write(tmp_path / "hdr.mp4", [chart()] * 2, context={"color_trc": transfer, "colorspace": 9})
    with pytest.raises(
        PictureError, match=f"high dynamic range, {name}.* make it standard range first: ffmpeg"
    ):
        read(path)


def test_interlaced_frames_lose_their_combs(tmp_path: Path) -> None:
    """A light bar moves 8 pixels from each half of a frame to the next."""
    pictures = []
    for number in range(8):
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for half in (0, 1):
            left = 8 + 16 * number // 2 + 8 * half
            pixels[half::2, left : left + 16] = 230
        pictures.append(pixels)
    source = tmp_path / "tv.mp4"
    flags = av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    write(source, pictures, context={"flags": flags, "options": {"x264-params": "tff=1:crf=8"}})
    _, shown, times = read(source)
    assert len(shown) == len(pictures)
    assert times == pytest.approx([number / 25 for number in range(8)])

    def comb(pixels: Pixels) -> float:
        return float(np.abs(np.diff(pixels[8:-8, :, 0].astype(int), axis=0)).mean())

    assert max(map(comb, shown)) < 0.2 * min(map(comb, pictures))


def test_pictures_before_time_zero_keep_their_distance(tmp_path: Path) -> None:
    """Matroska does not state times before zero."""
    path = write(tmp_path / "early.mkv", [chart()] * 12, times=range(-6, 6))
    _, pictures, times = read(path)
    assert len(pictures) == 12
    assert np.diff(times) == pytest.approx(0.04, abs=1e-3)
    assert times[0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(12500, 1001), Fraction(25, 2)])
def test_odd_rates_are_kept_in_avi(tmp_path: Path, rate: Fraction, detector: Detector) -> None:
    source = write(tmp_path / "odd.avi", [chart()] * 6, rate=rate, codec="mpeg4")
    (tmp_path / "out").mkdir()
    run(source, tmp_path / "out" / "odd.avi", detector)
    after = play(tmp_path / "out" / "odd.avi")
    assert after.rate == rate
    assert after.seconds == pytest.approx([float(number / rate) for number in range(6)])


def with_tracks(path: Path, *, sounds: int = 0, second: bool = False, seconds: float = 1.0) -> Path:
    """A film of half a second with tones of ``seconds`` and, if wanted, a second picture."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(1 + second)]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = WIDTH >> number, HEIGHT >> number, "yuv420p"
        tracks = [sound_track(container, round(10 * seconds)) for _ in range(sounds)]
        for stream in streams:
            for _ in range(12):
                frame = av.VideoFrame.from_ndarray(chart(stream.width, stream.height), format="bgr24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        for track in tracks:
            for packet in track:
                container.mux(packet)
    return path


def test_all_sounds_are_kept_or_none(tmp_path: Path, detector: Detector) -> None:
    source = with_tracks(tmp_path / "two.mkv", sounds=2)
    (tmp_path / "out").mkdir()
    for keep, count in ((True, 2), (False, 0)):
        result = run(source, tmp_path / "out" / "two.mkv", detector, keep_audio=keep)
        assert result.left_out == []
        with av.open(str(tmp_path / "out" / "two.mkv")) as container:
            assert len(container.streams.audio) == count
            assert len(list(container.demux(audio=1))) > 20 if count else True


def test_a_second_picture_is_named(tmp_path: Path, detector: Detector) -> None:
    source = with_tracks(tmp_path / "two.mkv", second=True)
    (tmp_path / "out").mkdir()
    assert run(source, tmp_path / "out" / "two.mkv", detector).left_out == ["picture 48x32"]


def test_sound_may_go_on_after_the_picture(tmp_path: Path) -> None:
    _, pictures, _ = read(with_tracks(tmp_path / "long.mkv", sounds=1, seconds=6))
    assert len(pictures) == 12
