"""An RTSP camera that loses packets: each frame that is handed on is the clean one, to the last pixel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import CameraConfig
from edge.errors import SourceError
from edge.frames import RawFrame
from edge.sources import Source, make_source
from tests.known_video import Judge, write_known
from tests.lossy import LossyNetwork
from tests.rtsp_server import RtspServer, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "the server is there"),
]
RATE = 100


def see_all(judge: Judge, frames: Iterator[RawFrame]) -> None:
    for frame in frames:
        judge.see(frame.pixels)


def seen(path: Path, judge: Judge, *, loss: float, transport: str, drop: float = 0.0) -> Source:
    """See a video to its end through a network that loses packets."""
    with RtspServer(video=str(path), drop=drop) as server, LossyNetwork(server.port, loss) as network:
        config = CameraConfig.model_validate(
            {
                "source": f"rtsp://127.0.0.1:{network.port}/cam",
                "transport": transport,
                "read_timeout_seconds": 5,
            }
        )
        source = make_source("yard", config, threading.Event())
        frames = iter(source)
        with pytest.raises(SourceError, match="ended or broke off"):
            see_all(judge, frames)
        assert network.lost > 0 or not loss
    return source


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_no_smeared_frame_is_handed_on(tmp_path: Path, transport: str) -> None:
    path = write_known(
        tmp_path / "known.h265.mkv", "h265", frames=160, rate=RATE, slices=4, between=2, key=10
    )
    judge = Judge(path)
    source = seen(path, judge, loss=0.02, transport=transport)
    assert judge.smeared == []
    assert len(judge.intact) > 20
    assert source.damaged > 10


def test_an_intact_stream_is_handed_on_to_the_last_frame_but_one(tmp_path: Path) -> None:
    """Its key frames come in several packets. Of the last frame, nobody can tell whether it is whole."""
    path = write_known(
        tmp_path / "known.h264.mkv", "h264", frames=100, rate=RATE, slices=4, between=2, key=20
    )
    judge = Judge(path)
    source = seen(path, judge, loss=0, transport="tcp")
    assert (judge.smeared, judge.intact, source.damaged) == ([], [*range(99)], 1)


@pytest.mark.sweep
@pytest.mark.parametrize(("codec", "slices", "between"), [("h264", 1, 0), ("h264", 4, 2), ("h265", 4, 0)])
@pytest.mark.parametrize(
    ("transport", "loss", "drop"), [("udp", 0.005, 0), ("udp", 0.08, 0), ("tcp", 0, 0.03)]
)
def test_no_smeared_frame_at_any_loss(
    tmp_path: Path, codec: str, slices: int, between: int, transport: str, loss: float, drop: float
) -> None:
    """``python -m benchmarks loss`` takes more of everything."""
    path = write_known(
        tmp_path / f"known.{codec}.mkv", codec, frames=200, rate=RATE, slices=slices, between=between
    )
    judge = Judge(path)
    seen(path, judge, loss=loss, transport=transport, drop=drop)
    assert judge.smeared == []
    assert loss > 0.01 or len(judge.intact) > 10
