"""Frames of an RTSP camera whose packets are lost: ``python -m benchmarks loss``.

GStreamer's RTSP server plays known videos, H.264 and H.265, with and without slices and B-frames; on the way,
packets are lost at random (over UDP, or inside TCP), or the camera leaves out pictures. A frame that the
source hands on is compared with the clean one of its number, pixel by pixel: any difference is a smear.
"""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.options import Way
from edge.config import CameraConfig
from edge.errors import SourceError
from edge.sources import make_source
from tests.known_video import Judge, write_known
from tests.lossy import LossyNetwork
from tests.rtsp_server import RtspServer, missing

LOSSES = (0.0, 0.005, 0.02, 0.05, 0.08, 0.2)
RATE, KEY = 100, 30
"""Pictures per second: four times as fast as a camera, so that it takes a quarter of the time."""
STREAMS = [
    (codec, slices, between)
    for codec in ("h264", "h265")
    for slices, between in ((1, 0), (4, 0), (1, 2), (4, 2))
]


@dataclass(frozen=True)
class Run:
    """One video, seen once."""

    intact: int
    smeared: int
    damaged: int
    packets: int
    lost: int


def watch(path: Path, way: Way, loss: float, seed: int) -> Run:
    """See a video through a network that loses packets."""
    judge = Judge(path)
    in_camera = way is Way.camera
    with (
        RtspServer(video=str(path), drop=loss if in_camera else 0.0) as server,
        LossyNetwork(server.port, 0.0 if in_camera else loss, seed) as network,
    ):
        config = CameraConfig(
            source=f"rtsp://127.0.0.1:{network.port}/cam",
            transport="udp" if way is Way.udp else "tcp",
            read_timeout_seconds=3,
        )
        source = make_source("loss", config, threading.Event())
        try:
            for frame in source:
                judge.see(frame.pixels)
        except SourceError as error:
            if "ended" not in str(error):
                raise
    return Run(len(judge.intact), len(judge.smeared), source.damaged, network.sent, network.lost)


def main(*, frames: int, ways: list[Way], losses: list[float], file: Path | None) -> None:
    """Measure, print and write; exits with 1 when a smeared frame was given out."""
    if missing():
        raise common.give_up(missing())
    result = common.begin("loss")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for codec, slices, between in STREAMS:
            path = write_known(
                Path(folder) / f"{slices}-{between}.{codec}.mkv",
                codec,
                frames=frames,
                rate=RATE,
                slices=slices,
                between=between,
                key=KEY,
            )
            for way in ways:
                for seed, loss in enumerate(losses):
                    run = watch(path, way, loss, seed)
                    rows.append(
                        {
                            "codec": codec,
                            "slices": slices,
                            "b_frames": between,
                            "way": way.value,
                            "loss": loss,
                        }
                        | {"frames": frames, "kept": run.intact, "smeared": run.smeared}
                        | {"damaged": run.damaged, "packets": run.packets, "packets_lost": run.lost}
                    )
                    print(rows[-1], flush=True)
    by_loss = [_total(rows, way=way.value, loss=loss) for way in ways for loss in losses]
    print(common.table(list(by_loss[0]), [list(row.values()) for row in by_loss]))
    print(common.machine_line(result))
    smeared = sum(row["smeared"] for row in rows)
    result |= {"frames_per_video": frames, "rate_fps": RATE, "key_frame_every": KEY}
    result |= {"kept": sum(row["kept"] for row in rows), "smeared": smeared, "by_loss": by_loss}
    kinds = dict.fromkeys((row["codec"], row["slices"], row["b_frames"]) for row in rows)
    result["by_video"] = [_total(rows, codec=c, slices=s, b_frames=b) for c, s, b in kinds]
    common.finish(result, file)
    raise SystemExit(1 if smeared else 0)


def _total(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    chosen = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    sums = {name: sum(row[name] for row in chosen) for name in ("frames", "kept", "smeared", "damaged")}
    return {**wanted, **sums, "kept_share": round(sums["kept"] / sums["frames"], 3)}
