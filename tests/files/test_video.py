"""Video files: the same frames, size and times, no face, no sound, no metadata."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edge.detection.detector import Detector
from edge.errors import PictureError
from edge.files.video import count_frames
from edge.files.video_reader import VideoReader
from edge.sources.video_file import VideoFile
from tests.files.videos import RATE, faces, files, make, play, run


@pytest.mark.parametrize("pix_fmt", ["bgr24", "yuv420p"])
def test_every_frame_has_pixels_of_its_own(tmp_path: Path, pix_fmt: str) -> None:
    """Which may be covered in place, whatever the decoder makes its next frame of."""
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo" if pix_fmt == "bgr24" else "mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 83 if pix_fmt == "bgr24" else 82, 46, pix_fmt
        for number in range(4):
            pixels = np.full((46, stream.width, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    with VideoFile(path) as file:
        frames = list(VideoReader(file, keep_audio=False).frames())
    assert len(frames) == 4
    for frame in frames:
        assert frame.pixels.flags.c_contiguous
        assert frame.pixels.flags.writeable
        frame.pixels[:] = 255
    with VideoFile(path) as file:
        for number, frame in enumerate(VideoReader(file, keep_audio=False).frames()):
            assert abs(int(frame.pixels.mean()) - 40 * number) <= 6
            frame.pixels[:] = 255


UNCOVERED = 20
"""Percent of a frame that is surely not covered: there only coding changes anything."""


def test_frames_size_times_and_rate_are_kept(plain: Path, anonymized: Path) -> None:
    before, after = play(plain), play(anonymized)
    assert [frame.shape for frame in after.frames] == [(360, 640, 3)] * 20
    assert after.seconds == pytest.approx(before.seconds)
    assert after.rate == before.rate == RATE
    assert count_frames(anonymized) == count_frames(plain) == 20


def test_no_face_is_left_on_any_frame(plain: Path, anonymized: Path, detector: Detector) -> None:
    assert len(faces(detector, play(plain).frames)) == 20
    assert faces(detector, play(anonymized).frames) == []


def test_what_shows_no_face_stays_as_it_was(plain: Path, anonymized: Path) -> None:
    """Order and colours: where nothing was covered, each frame is the one that it was."""
    for before, after in zip(play(plain).frames, play(anonymized).frames, strict=True):
        difference = np.abs(before.astype(int) - after.astype(int)).mean(axis=2)
        assert np.percentile(difference, UNCOVERED) < 4
        assert (difference > 30).any()


def test_sound_is_left_out(plain: Path, anonymized: Path) -> None:
    assert play(plain).sound is not None
    assert play(anonymized).sound is None


def test_metadata_is_left_out(plain: Path, anonymized: Path) -> None:
    assert "Holiday in Kitchen" in play(plain).tags.values()
    text = " ".join(play(anonymized).tags.values())
    data = anonymized.read_bytes()
    for secret in ("Kitchen", "Eileen", "52.52"):
        assert secret in " ".join(play(plain).tags.values())
        assert secret not in text
        assert secret.encode() not in data


@pytest.mark.parametrize("name", ["sound.mp4", "sound.mkv", "sound.webm"])
def test_sound_is_kept_on_request(tmp_path: Path, name: str, detector: Detector) -> None:
    source = make(
        tmp_path / name, sound=True, times=range(8), codec="libvpx" if "webm" in name else "libx264"
    )
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / name
    run(source, target, detector, keep_audio=True)
    before, after = play(source), play(target)
    assert before.sound is not None
    assert after.sound is not None
    np.testing.assert_array_equal(after.sound, before.sound)
    assert after.seconds == pytest.approx(before.seconds, abs=1e-3)
    assert b"Kitchen" not in target.read_bytes()
    # Without a request, of course, not
    run(source, target, detector)
    assert play(target).sound is None


@pytest.mark.parametrize("name", ["clip.m4v", "clip.mov", "clip.webm"])
def test_every_container(tmp_path: Path, name: str, detector: Detector) -> None:
    source = make(tmp_path / name, times=range(6), codec="libvpx" if "webm" in name else "libx264")
    (tmp_path / "out").mkdir()
    run(source, tmp_path / "out" / name, detector)
    before, after = play(source), play(tmp_path / "out" / name)
    assert after.seconds == pytest.approx(before.seconds, abs=1e-3)
    assert after.rate == before.rate
    assert faces(detector, after.frames) == []
    assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600


def test_sound_that_avi_cannot_carry_is_refused(tmp_path: Path, detector: Detector) -> None:
    source = make(tmp_path / "in.avi", times=range(8), sound=True)
    with pytest.raises(PictureError, match="aac cannot be kept in AVI"):
        run(source, tmp_path / "out" / "a.avi", detector, keep_audio=True)
    assert files(tmp_path / "out") == []
    assert run(source, tmp_path / "out" / "b.avi", detector).frames == 8


def test_times_are_kept_in_avi(tmp_path: Path, detector: Detector) -> None:
    source = make(tmp_path / "clip.avi", codec="mpeg4")
    (tmp_path / "out").mkdir()
    run(source, tmp_path / "out" / "clip.avi", detector)
    before, after = play(source), play(tmp_path / "out" / "clip.avi")
    assert before.seconds == pytest.approx([n / RATE for n in range(20)])
    assert after.seconds == pytest.approx(before.seconds)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("late.mp4", {"times": range(7, 13)}),
        ("ntsc.mp4", {"times": range(6), "rate": Fraction(30000, 1001), "time_base": Fraction(1001, 30000)}),
        ("uneven.mp4", {"times": [0, 40, 200, 230, 800, 840], "time_base": Fraction(1, 1000)}),
        ("uneven.mkv", {"times": [13, 40, 200, 230, 800, 840], "time_base": Fraction(1, 1000)}),
        ("one.mp4", {"times": [0]}),
    ],
)
def test_odd_times_are_kept(tmp_path: Path, name: str, settings: dict[str, Any], detector: Detector) -> None:
    source = make(tmp_path / name, **settings)
    (tmp_path / "out").mkdir()
    run(source, tmp_path / "out" / name, detector)
    before, after = play(source), play(tmp_path / "out" / name)
    wanted = [float(t * settings.get("time_base", Fraction(1, RATE))) for t in settings["times"]]
    assert before.seconds == pytest.approx(wanted, abs=1e-3)
    assert after.seconds == pytest.approx(wanted, abs=1e-3)


def test_odd_sides_are_kept(tmp_path: Path, detector: Detector) -> None:
    source = make(tmp_path / "odd.mp4", size=(321, 241), times=range(6))
    (tmp_path / "out").mkdir()
    run(source, tmp_path / "out" / "odd.mp4", detector)
    after = play(tmp_path / "out" / "odd.mp4")
    assert [frame.shape for frame in after.frames] == [(241, 321, 3)] * 6
    assert faces(detector, after.frames) == []


# What a clockwise turn by so many quarters is in the matrix of an MP4 track (ISO 14496-12, 8.3.2)
MATRICES = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}


@pytest.mark.parametrize("quarters", sorted(MATRICES))
def test_a_turned_video_is_written_upright(tmp_path: Path, quarters: int, detector: Detector) -> None:
    """Phones store frames as the sensor sees them, and in the header how to turn them."""
    source = make(tmp_path / "turned.mp4", times=range(4))
    data = bytearray(source.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    assert data[matrix : matrix + 36] == struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (part << 16 for part in MATRICES[quarters])
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    source.write_bytes(data)
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "turned.mp4"
    result = run(source, target, detector)
    assert (result.width, result.height) == ((640, 360) if quarters == 2 else (360, 640))
    after = play(target)
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).rotation == 0
    for stored, upright in zip(play(source).frames, after.frames, strict=True):
        wanted = np.rot90(stored, -quarters)
        assert upright.shape == wanted.shape
        assert np.percentile(np.abs(upright.astype(int) - wanted.astype(int)), UNCOVERED) < 4


def test_the_colour_matrix_is_stated(anonymized: Path) -> None:
    with av.open(str(anonymized)) as container:
        context: Any = container.streams.video[0].codec_context
        assert context.colorspace != 2  # 2: unspecified (ITU-T H.273)
