"""Video files: the same frames, size and times, no face, no sound, no metadata; or nothing at all."""

from __future__ import annotations

import functools
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from edge.config import BlurConfig
from edge.detection.detector import Detector
from edge.errors import EdgeError, PictureError
from edge.files.video import VideoResult, _Reader, anonymize_video, count_frames
from edge.frames import Pixels
from edge.sources.synthetic import draw_wall, view
from tests import hostile

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
        track = _sound_track(container, len(times)) if sound else ()
        for number, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(number, width, height), format="bgr24")
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
        for packet in track:
            container.mux(packet)
        container.mux(stream.encode())
    return path


def _sound_track(container: Any, frames: int) -> list[Any]:
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
        BlurConfig(hold_before_frames=10),
        workers=2,
        keep_audio=keep_audio,
        replace=True,
        advance=done.append,
    )
    assert sum(done) == result.frames == len(result.faces)
    return result


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
    with av.open(str(path)) as container:
        frames = list(_Reader(container, keep_audio=False).frames())
    assert len(frames) == 4
    for frame in frames:
        assert frame.pixels.flags.c_contiguous
        assert frame.pixels.flags.writeable
        frame.pixels[:] = 255
    with av.open(str(path)) as container:
        for number, frame in enumerate(_Reader(container, keep_audio=False).frames()):
            assert abs(int(frame.pixels.mean()) - 40 * number) <= 6
            frame.pixels[:] = 255


def faces(detector: Detector, frames: Sequence[Pixels]) -> list[tuple[int, float]]:
    """Frames on which a face is found, with the best score."""
    best = [(n, float(detector.detect(frame).scores.max(initial=0))) for n, frame in enumerate(frames)]
    return [(number, score) for number, score in best if score >= detector.score_last_look]


def files(folder: Path) -> list[str]:
    """Every file below a folder, hidden and partial ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames in 2 seconds, with sound and personal metadata."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    return make(path, sound=True, metadata=PERSONAL)


@pytest.fixture(scope="module")
def anonymized(plain: Path, tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> Path:
    path = tmp_path_factory.mktemp("anonymized") / "plain.mp4"
    result = run(plain, path, detector)
    assert (result.width, result.height, result.frames) == (640, 360, 20)
    assert result.regions >= sum(len(boxes) for boxes, _ in result.faces) >= 40
    return path


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
        assert np.median(difference) < 4
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
        assert np.median(np.abs(upright.astype(int) - wanted.astype(int))) < 4


def test_the_colour_matrix_is_stated(anonymized: Path) -> None:
    with av.open(str(anonymized)) as container:
        context: Any = container.streams.video[0].codec_context
        assert context.colorspace != 2  # 2: unspecified (ITU-T H.273)


def half(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def truncated(folder: Path) -> Path:
    """The header comes first and is whole; half of the frames are gone."""
    return half(make(folder / "bad.mp4", options={"movflags": "faststart"}))


def truncated_mkv(folder: Path) -> Path:
    return half(make(folder / "bad.mkv"))


def headless(folder: Path) -> Path:
    """The header comes last, and is cut off."""
    return half(make(folder / "bad.mp4", times=range(4)))


def text(folder: Path) -> Path:
    path = folder / "bad.mp4"
    path.write_text("This is no video.\n" * 100)
    return path


def empty(folder: Path) -> Path:
    path = folder / "bad.mp4"
    path.touch()
    return path


def damaged(folder: Path) -> Path:
    """Bytes in the middle are not what they were."""
    path = make(folder / "bad.mp4", options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + len(data) // 4
    for place in np.random.default_rng(1).integers(begin, len(data), 400).tolist():
        data[place] ^= 0xFF
    path.write_bytes(data)
    return path


def sound_alone(folder: Path) -> Path:
    path = folder / "bad.mp4"
    with av.open(str(path), "w") as container:
        for packet in _sound_track(container, 5):
            container.mux(packet)
    return path


def tiny(folder: Path) -> Path:
    path = folder / "bad.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


BAD: dict[Callable[[Path], Path], str] = {
    truncated: "truncated",
    truncated_mkv: "truncated",
    headless: "broken or not a video",
    text: "broken or not a video",
    empty: "broken or not a video",
    damaged: "damaged|broken|Invalid data",
    sound_alone: "no picture track",
    tiny: "8x8 is smaller than 16x16",
}


@pytest.mark.parametrize(("maker", "reason"), BAD.items(), ids=[maker.__name__ for maker in BAD])
def test_a_bad_video_is_refused_and_leaves_nothing(
    tmp_path: Path, maker: Callable[[Path], Path], reason: str, detector: Detector
) -> None:
    source = maker(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(EdgeError, match=reason):
        run(source, out / source.name, detector)
    assert files(out) == []
    # What was there before stays as it was
    (out / source.name).write_bytes(b"from another day")
    with pytest.raises(EdgeError, match=reason):
        run(source, out / source.name, detector)
    assert files(out) == [source.name]
    assert (out / source.name).read_bytes() == b"from another day"


@pytest.mark.parametrize("name", ["short.mp4", "short.mkv"])
def test_a_short_video_that_lost_half_is_refused(tmp_path: Path, name: str, detector: Detector) -> None:
    movflags = {"movflags": "faststart"} if name.endswith("mp4") else None
    source = make(tmp_path / name, time_base=Fraction(1, 25), rate=25, times=range(20), options=movflags)
    half(source)
    (tmp_path / "out").mkdir()
    with pytest.raises(PictureError, match=r"truncated|broken"):
        run(source, tmp_path / "out" / name, detector)
    assert files(tmp_path / "out") == []


def test_a_title_in_another_encoding_does_no_harm(tmp_path: Path, detector: Detector) -> None:
    source = make(tmp_path / "latin.mp4", times=range(3), metadata={"title": "Hallo Welt"})
    data = source.read_bytes()
    assert b"Hallo Welt" in data
    source.write_bytes(data.replace(b"Hallo Welt", b"H\xe4llo W\xffl"))
    (tmp_path / "out").mkdir()
    assert run(source, tmp_path / "out" / "latin.mp4", detector).frames == 3


def test_a_list_of_other_files_is_no_video(tmp_path: Path, detector: Detector) -> None:
    make(tmp_path / "other.mp4", times=range(3))
    source = tmp_path / "list.mp4"
    source.write_text("ffconcat version 1.0\nfile other.mp4\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(PictureError):
        run(source, tmp_path / "out" / "list.mp4", detector)
    assert files(tmp_path / "out") == []


def test_a_missing_video_is_refused(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(PictureError):
        run(tmp_path / "gone.mp4", tmp_path / "out.mp4", detector)
    assert files(tmp_path) == []


@pytest.fixture(scope="module")
def command(
    tmp_path_factory: pytest.TempPathFactory, plain: Path, edge_script: str
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """``edge blur --keep-audio`` on a folder with a good video, two bad ones and a picture."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "in" / "sub").mkdir(parents=True)
    (folder / "in" / "sub" / "plain.mp4").write_bytes(plain.read_bytes())
    text(folder / "in")
    half(make(folder / "in" / "half.MP4", options={"movflags": "faststart"}))
    hostile.good(folder / "in")
    arguments = ["in", "--out", "out", "--report", "report.json", "--keep-audio"]
    done = subprocess.run(
        [edge_script, "blur", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        check=False,
    )
    return folder, done


def test_the_command_writes_the_good_and_names_the_bad(
    command: tuple[Path, subprocess.CompletedProcess[str]], plain: Path
) -> None:
    folder, done = command
    assert done.returncode == 1
    assert done.stderr.strip() == ""
    assert files(folder / "out") == ["good.jpg", "sub/plain.mp4"]
    first, second, summary = done.stdout.splitlines()
    assert first.startswith('refused "bad.mp4": broken or not a video')
    assert second.startswith('refused "half.MP4": truncated')
    assert summary.startswith("2 written to out (21 frames)")
    assert "2 refused" in summary
    before, after = play(plain), play(folder / "out" / "sub" / "plain.mp4")
    assert after.seconds == pytest.approx(before.seconds)
    assert before.sound is not None
    np.testing.assert_array_equal(after.sound, before.sound)


def test_the_report_has_every_frame(
    command: tuple[Path, subprocess.CompletedProcess[str]], detector: Detector
) -> None:
    folder, _ = command
    report = json.loads((folder / "report.json").read_text())
    frames = [image for image in report["images"] if image["file_name"] == "sub/plain.mp4"]
    assert [image["frame_index"] for image in frames] == list(range(20))
    assert all((image["width"], image["height"]) == (640, 360) for image in frames)
    with_faces = {annotation["image_id"] for annotation in report["annotations"]}
    assert {image["id"] for image in frames} <= with_faces
    first = play(folder / "in" / "sub" / "plain.mp4").frames[0]
    found = detector.detect(first)
    strong = found.boxes[found.scores >= detector.score_begin]
    told = [a["bbox"] for a in report["annotations"] if a["image_id"] == frames[0]["id"]]
    assert len(told) == len(strong)
    np.testing.assert_allclose([bbox[:2] for bbox in told], strong[:, :2], atol=0.01)


def test_resume_skips_a_video_that_is_done(
    command: tuple[Path, subprocess.CompletedProcess[str]], edge_script: str
) -> None:
    folder, _ = command
    target = folder / "out" / "sub" / "plain.mp4"
    before = target.stat()
    done = subprocess.run(
        [edge_script, "blur", "in/sub", "--out", "out/sub", "--resume"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0
    assert "1 done before" in done.stdout
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_interrupt_leaves_nothing_partial(tmp_path: Path, edge_script: str) -> None:
    make(tmp_path / "long.mp4", times=range(150), size=(160, 90))
    out = tmp_path / "out"
    command = [edge_script, "blur", str(tmp_path / "long.mp4"), "--out", str(out)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell's background job ignores interrupts, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while not out.is_dir() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) not in (0, 1)
    assert files(out) == []


def test_a_pipe_is_no_video(tmp_path: Path, edge_script: str) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    done = subprocess.run(
        [edge_script, "blur", "pipe.mp4", "--out", "out"],
        capture_output=True,
        text=True,
        timeout=7,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "not a regular file" in done.stdout
    assert files(tmp_path) == ["pipe.mp4"]


WITHOUT_PYAV = """
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")

sys.meta_path.insert(0, Nowhere())
from edge.cli import app
app()
"""


def test_without_pyav_pictures_still_work(tmp_path: Path, plain: Path) -> None:
    picture = hostile.good(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYAV, "blur", plain, picture, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert 'refused "plain.mp4": video files need PyAV; install edge-anonymizer[video]' in done.stdout
    assert "Traceback" not in done.stderr
    assert files(tmp_path / "out") == ["good.jpg"]
