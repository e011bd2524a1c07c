"""Damaged videos: what is given out is intact to the last pixel, and what is not is counted and said."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import av
import pytest

from edge.config import CameraConfig, make_config
from edge.detection.detector import Detector
from edge.errors import PictureError, SourceError
from edge.files.video import anonymize_video
from edge.reasons import Reason
from edge.sources import Source, make_source
from edge.sources.capture import Capture
from edge.sources.ffmpeg_log import sign_of
from edge.sources.intact import IntactDecoder
from tests.damaged_video import Damage, altered, hole, slice_lost, whole
from tests.known_video import Judge, write_known

FRAMES = 100


def played(path: Path, **keys: object) -> tuple[Source, str, list[Any]]:
    """The source of a file after it has been read, its error, and its frames."""
    config = CameraConfig.model_validate({"source": str(path), "pace": False, **keys})
    source = make_source("yard", config, threading.Event())
    frames = []
    try:
        for frame in source:
            frames.append(frame)
    except SourceError as error:
        return source, str(error), frames
    return source, "", frames


VIDEOS = [("h264", 1, 0), ("h264", 4, 3), ("h265", 4, 0), ("h265", 1, 3)]


@pytest.mark.parametrize(("codec", "slices", "between"), VIDEOS)
def test_what_is_given_out_of_a_damaged_file_is_intact(
    tmp_path: Path, codec: str, slices: int, between: int
) -> None:
    clean = write_known(
        tmp_path / "clean.mkv", codec, frames=FRAMES, rate=25, slices=slices, between=between, key=20
    )
    source, error, frames = played(clean)
    assert (len(frames), source.damaged, error) == (FRAMES, 0, "")
    kinds: list[Damage] = [whole, hole]
    if codec == "h264" and slices > 1:  # FFmpeg does not notice a slice of H.265 that is missing
        kinds.append(slice_lost)
    for kind in kinds:
        judge = Judge(clean)
        damaged = altered(clean, tmp_path / "damaged.mkv", kind, 0.04)
        source, error, frames = played(damaged)
        for frame in frames:
            judge.see(frame.pixels)
        assert judge.smeared == []
        assert FRAMES / 4 < len(judge.intact) < FRAMES
        with av.open(str(damaged)) as container:
            packets = sum(packet.size > 0 for packet in container.demux(video=0))
        assert len(judge.intact) + source.damaged == packets
        assert "damaged.mkv: damaged: " in error
        assert f"{source.damaged} frames were dropped" in error


def test_after_a_loss_pictures_that_come_before_an_open_key_frame_are_dropped_too(tmp_path: Path) -> None:
    clean = write_known(
        tmp_path / "clean.mkv",
        "h264",
        frames=FRAMES,
        rate=25,
        between=3,
        key=20,
        more="scenecut=0:open-gop=1",
    )
    judge = Judge(clean)
    _, _, frames = played(altered(clean, tmp_path / "damaged.mkv", whole, 0.04))
    for frame in frames:
        judge.see(frame.pixels)
    assert judge.smeared == []
    assert len(judge.intact) > FRAMES / 3


def test_a_damaged_file_is_said_and_counted_and_edge_blur_refuses_it(
    tmp_path: Path, detector: Detector
) -> None:
    clean = write_known(tmp_path / "clean.mp4", "h264", frames=FRAMES, rate=25, key=20)
    path = altered(clean, tmp_path / "damaged.mp4", hole, 0.04)
    stop, counted = threading.Event(), []
    source = make_source("yard", CameraConfig(source=str(path), pace=False), stop)
    capture = Capture(source, stop, threading.Event(), lambda _, reason: counted.append(reason))
    capture.start()
    while capture.alive:
        capture.slot.take()
    assert capture.state == "down"  # so that edge run ends with 1
    assert "the data are damaged" in capture.last_error
    assert counted == [Reason.DAMAGED] * source.damaged
    with pytest.raises(PictureError, match="damaged: the data are damaged, after"):
        anonymize_video(
            path, tmp_path / "out.mp4", detector, make_config({}, "test"),
            workers=1, keep_audio=False, replace=False, advance=lambda _: None,
        )  # fmt: skip
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_file_that_lost_its_end_is_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    write_known(path, "h264", frames=FRAMES, rate=25, key=20, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, error, frames = played(path)
    assert "truncated" in error
    assert FRAMES / 4 < len(frames) < FRAMES


def test_a_file_that_begins_in_the_middle_of_a_group_gives_nothing_before_its_key_frame(
    tmp_path: Path,
) -> None:
    clean = write_known(tmp_path / "clean.mkv", "h265", frames=60, rate=25, key=20)
    judge = Judge(clean)
    path = tmp_path / "cut.mkv"
    with av.open(str(clean)) as reader, av.open(str(path), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            if packet.size and number >= 8:
                packet.stream = stream
                writer.mux(packet)
    source, error, frames = played(path)
    for frame in frames:
        judge.see(frame.pixels)
    assert (judge.smeared, judge.intact) == ([], [*range(20, 60)])
    assert source.damaged == 12
    assert "it does not begin with a key frame" in error


def test_what_is_waited_for_is_said(tmp_path: Path) -> None:
    path = write_known(tmp_path / "clean.mkv", "h264", frames=70, rate=2, key=20)
    seen = []
    with av.open(str(path)) as container:
        decoder = IntactDecoder(container, container.streams.video[0])
        assert decoder.wait_text == "waiting for a key frame"
        for number, packet in enumerate(decoder.packets()):
            if number not in (25, 45):  # lost
                decoder.decode(packet)
            seen.append(decoder.wait_text)
    assert seen[24] == seen[65] == ""
    assert seen[30] == "waiting for a key frame, every 10 s: an earlier picture is missing"


def test_a_video_of_changing_rate_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "slow.mp4"
    times = [0, 1, 2, 12, 13, 30]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, time in enumerate(times):
            frame: Any = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.opaque = time, number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    _, error, frames = played(path)
    assert error == ""
    assert [round(frame.media_seconds * 10) for frame in frames] == times
    _, _, frames = played(path, rate_fps=5)
    assert [round(frame.media_seconds * 5) for frame in frames] == [*range(6)]


@pytest.mark.parametrize(
    ("level", "text", "said"),
    [
        (24, "RTP: missed 3 packets\n", "network"),
        (32, "concealing 12 DC, 12 AC, 12 MV errors in P frame\n", "parts of a picture"),
        (16, "Could not find ref with POC 7\n", "earlier picture"),
        (16, "whatever it may be\n", "damaged"),
        (24, "Packet corrupt (stream = 0, dts = 12), dropped.\n", "container"),
    ],
)
def test_signs_of_loss(level: int, text: str, said: str) -> None:
    sign = sign_of([(48, "h264", "nal_unit_type: 1\n"), (level, "h264", text)])
    assert sign is not None
    assert said in sign.text


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (24, "RTP: dropping old packet received too late\n"),
        (16, "method GET_PARAMETER failed: 405 Method Not Allowed\n"),
        (24, "deprecated pixel format used\n"),
        (32, "Missing nothing, just talking\n"),
        (16, "mmco: unref short failure\n"),
    ],
)
def test_talk_is_no_sign(level: int, text: str) -> None:
    assert sign_of([(level, "h264", text)]) is None
