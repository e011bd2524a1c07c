"""Soak with accelerated faults: ``python -m benchmarks soak --minutes 30``.

The real ``edge run`` with four 720p cameras on this machine (two RTSP, two HTTP motion JPEG) and a store
on a small file system of its own. Every 20 s one of them has a fault (benchmarks/soak/cameras.py), or the
box has (benchmarks/soak/box.py): the disk is full or unmounted, the clock is set. Which one, and for how
long, is drawn from ``--seed``. Every frame tells in its pixels when it was drawn and where the face is
(benchmarks/soak/scene.py), so every stored image can be checked (benchmarks/soak/checks.py), and in the end
the audit log is compared with all that was found (benchmarks/soak/chain.py). Exit code 1 when a check fails,
2 when the soak cannot run.

RTSP needs the packages that tests/rtsp_server.py names, the faults of the disk need ``unshare`` and
``mount``, and those of the clock libfaketime; the result lists what was missing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.soak.box import Box
from benchmarks.soak.cameras import Camera, MjpegCamera, RtspCamera, Transport
from benchmarks.soak.chain import read_chain
from benchmarks.soak.checks import Check, Record, judge
from benchmarks.soak.faults import Fault, draw_faults, note_recovery, recovery_bound
from benchmarks.soak.scene import LONGEST_MS, Scene
from benchmarks.soak.store import SmallDisk, enter_namespace
from benchmarks.soak.watch import Reader, Watch
from edge.config import Config, DetectorConfig, read_config
from edge.daemon.writer import QUEUE_LENGTH
from edge.detection.detector import open_detector
from edge.detection.session import read_detector
from edge.errors import StoreError
from tests.rtsp_server import missing

START_SECONDS, STOP_SECONDS = 90.0, 60.0
MIN_FREE_MB = 1
"""Small, so that the appliance meets a full disk while it writes."""
MAX_AGE_DAYS = 1
"""So that a clock which is a day ahead threatens every image."""
LONGEST_MINUTES = 240
SMALLEST_FACE = 28
"""Pixels of the camera's picture: a frame of 1280x720 is looked at on a canvas of half that size."""


@dataclass(frozen=True)
class Plan:
    """The parameters of a soak."""

    minutes: float
    seed: int = 1
    fault_seconds: float = 20.0
    rtsp: int = 2
    mjpeg: int = 2
    fps: int = 10
    interval_seconds: float = 1.0
    hold_before_frames: int = 3
    """Short, so that on a slow machine pictures do not grow old in the delay line."""
    detector_every: int = 20
    """The reader runs a detector of its own on every N-th image."""


def write_config(path: Path, work: Path, store: Path, cameras: Sequence[Camera], plan: Plan) -> Config:
    """Write the configuration of the appliance: defaults, except for what the soak needs."""
    lines = [
        f'[cameras.{camera.name}]\nsource = "{camera.url}"\ntransport = "{camera.transport}"'
        for camera in cameras
    ]
    lines.append(f'[store]\nfolder = "{store / "images"}"\ninterval_seconds = {plan.interval_seconds}')
    lines.append(f"max_age_days = {MAX_AGE_DAYS}")
    # The store is smaller than the reserve that is kept by default.
    lines.append(f"min_free_megabytes = {MIN_FREE_MB}")
    lines.append(f"[blur]\nhold_before_frames = {plan.hold_before_frames}")
    # On two cores, four cameras need small canvases; the face that they show is more than twice as large.
    lines.append(f"[privacy]\nsmallest_face_pixels = {SMALLEST_FACE}")
    lines.append(f'[status]\nsocket = "{work / "status.sock"}"\n[detector]\nprovider = "cpu"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_config(path)


class Soak:
    """One run. ``record`` is filled while it goes on."""

    def __init__(self, plan: Plan, work: Path) -> None:
        """``work`` is an empty folder for everything but the images. Raises RuntimeError when a camera
        does not start."""
        self.plan, self.work = plan, work
        self.zero = time.time()
        self._stack = contextlib.ExitStack()
        try:
            self._prepare()
        except BaseException:  # no server process may stay behind, whatever happened
            self._stack.close()
            raise

    def _prepare(self) -> None:
        """Mount the store, start the cameras, start the appliance."""
        plan, work = self.plan, self.work
        self.store = work / "store"
        self.store.mkdir()
        disk = SmallDisk(self.store, work)
        self._stack.callback(disk.close)
        self.box = Box(disk, work)
        detector = open_detector(read_detector(None), DetectorConfig(provider="cpu", threads=1))
        self.cameras: list[Camera] = []
        for number in range(plan.rtsp + plan.mjpeg):
            scene = Scene(number, detector)
            if number < plan.rtsp:
                # One of several sends by UDP
                transport: Transport = "udp" if 0 < number == plan.rtsp - 1 else "tcp"
                camera: Camera = RtspCamera(f"rtsp{number}", scene, plan.fps, self.zero, work, transport)
            else:
                camera = MjpegCamera(f"http{number}", scene, plan.fps, self.zero)
            self._stack.callback(camera.close)
            camera.start()
            self.cameras.append(camera)
        scenes = {camera.name: camera.scene for camera in self.cameras}
        self.config = write_config(work / "edge.toml", work, self.store, self.cameras, plan)
        self.images = disk.inside / "images"
        self.reader = Reader(self.images, scenes, self.zero, detector, plan.detector_every)
        self.box.reader = self.reader
        self.record = self._start()
        self.watch = Watch(self.record.pid, work / "status.sock", self.zero)

    def _start(self) -> Record:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGE_")}
        with (self.work / "edge.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("edge")),
                    "run",
                    "--config",
                    str(self.work / "edge.toml"),
                ],
                stderr=log,
                env=environment | self.box.environment,
                cwd=self.work,
            )
        self._stack.callback(self._process.kill)
        before = self.config.blur.hold_before_frames
        quarantine = self.config.privacy.known_face_interval_seconds
        images = int(quarantine / self.config.store.interval_seconds) + 1
        return Record(
            [camera.name for camera in self.cameras],
            self._process.pid,
            max_frame_age=self.config.privacy.max_frame_age_seconds,
            hold_before_frames=before,
            quarantine_seconds=quarantine,
            most_in_flight=before + 2 * QUEUE_LENGTH + 2 + images,
        )

    def now(self) -> float:
        return time.time() - self.zero

    def run(self) -> Record:
        """Run to the end; the record is complete then."""
        self.reader.start()
        self.watch.start()
        try:
            self._wait_until_live()
            self._make_faults()
            self._wait_for_recovery()
            self._end()
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self.watch.stop()
            self.reader.resume()
            self.reader.stop()
            self._keep_chain()
            self._stack.close()
        record, reader = self.record, self.reader
        record.images, record.suspects, record.broken = reader.images, reader.suspects, reader.broken
        record.polls, record.samples, record.gone = self.watch.polls, self.watch.samples, self.watch.gone
        record.log = (self.work / "edge.log").read_text(encoding="utf-8", errors="replace")
        for fault in record.faults:
            note_recovery(fault, record.polls, record.cameras)
        return record

    def _keep_chain(self) -> None:
        """Before the disk goes."""
        with contextlib.suppress(StoreError, OSError):  # it never came so far
            self.record.chain = read_chain(self.images, self.reader.found, self.reader.removed)

    def _wait_until_live(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            polls = self.watch.polls
            if polls and all(polls[-1].last_image[camera.name] for camera in self.cameras):
                return
            time.sleep(0.2)
        said = (self.work / "edge.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"not every camera was live within {START_SECONDS:g} seconds:\n{said[-2000:]}")

    def _make_faults(self) -> None:
        plan, record = self.plan, self.record
        targets = {camera.name: camera.faults for camera in self.cameras}
        faults = draw_faults(targets | self.box.faults, plan.seed)
        end = self.now() + plan.minutes * 60
        due = self.now() + plan.fault_seconds / 4
        self.watch.quiet = True
        while self.now() < end and self._process.poll() is None:
            if self.now() < due or due + plan.fault_seconds > end:
                time.sleep(0.1)
                continue
            due += plan.fault_seconds
            fault = next(faults)
            # None may be away already when a fault concerns all cameras.
            self._wait_for_recovery(None if fault.of_box else fault.target)
            self._do(fault)
            record.faults.append(fault)

    def _do(self, fault: Fault) -> None:
        """Begin a fault, wait, end it."""
        named = {camera.name: camera for camera in self.cameras}
        self.watch.quiet = False
        fault.begin = self.now()
        print(f"{fault.begin:7.1f} s  {fault.target} {fault.kind} for {fault.seconds} s", flush=True)
        if fault.of_box:
            self.box.begin(fault)
            time.sleep(fault.seconds)
            self.box.end(fault)
            fault.bound = recovery_bound(fault, self.config.cameras[self.cameras[0].name])
        else:
            camera = named[fault.target]
            camera.begin(fault.kind)
            time.sleep(fault.seconds)
            camera.end()
            fault.bound = recovery_bound(fault, self.config.cameras[fault.target])
        fault.end = self.now()
        self.watch.quiet = True

    def _wait_for_recovery(self, target: str | None = None) -> None:
        """Wait until ``target`` and the box, or everything, has recovered from its last fault, or had its
        time."""
        for fault in self.record.faults:
            concerned = target in (None, fault.target) or fault.of_box
            if not concerned or fault.recovered is not None:
                continue
            while self.now() < fault.end + fault.bound and self._process.poll() is None:
                note_recovery(fault, self.watch.polls, self.record.cameras)
                if fault.recovered is not None:
                    break
                time.sleep(0.5)

    def _end(self) -> None:
        self.watch.stop()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.record.exit_code = self._process.wait(STOP_SECONDS)


def result_of(soak: Soak, checks: Sequence[Check], result: dict[str, Any]) -> dict[str, Any]:
    """The result, for JSON."""
    record, plan = soak.record, soak.plan
    skipped = list(soak.box.left_out)
    if not plan.rtsp:
        skipped.append("RTSP: no such camera was asked for, or its server is missing")
    return result | {
        "plan": asdict(plan),
        "store": soak.box.disk.kind or "the machine's own file system",
        "skipped": skipped,
        "seconds": round(soak.now(), 1),
        "config": soak.config.model_dump(
            mode="json", include={"blur", "privacy", "load"}, exclude_defaults=True
        ),
        "good": all(check.good is not False for check in checks),
        "checks": [asdict(check) for check in checks],
        "unanswered_polls": soak.watch.unanswered,
        "faults": dict(sorted(Counter(f"{fault.target} {fault.kind}" for fault in record.faults).items())),
    }


def raw_of(soak: Soak) -> dict[str, Any]:
    """What the checks were made of: every fault, every sample of the process, the last status."""
    samples = soak.record.samples
    return {
        "last_status": soak.watch.last,
        "faults": [asdict(fault) for fault in soak.record.faults],
        "memory_mb": [[round(s.at), s.captured, round(s.rss_mb, 1)] for s in samples],
        "threads_descriptors": [[round(s.at), s.threads, s.descriptors, s.quiet] for s in samples],
    }


def run(
    plan: Plan, file: Path | None, log: Path | None = None, raw: Path | None = None
) -> tuple[dict[str, Any], list[Check]]:
    """Run a plan; write the result, the log of ``edge run`` and the raw records where files are given."""
    result = common.begin("soak")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        soak = Soak(plan, Path(name))
        record = soak.run()
        if log is not None:
            log.write_text(record.log, encoding="utf-8")
        checks = judge(record)
        result = result_of(soak, checks, result)
        if raw is not None:
            common.write_json(raw, raw_of(soak))
    common.finish(result, file)
    return result, checks


def show(result: dict[str, Any], checks: Sequence[Check]) -> None:
    """Print the table of checks."""
    word = {True: "good", False: "BAD", None: "cannot tell"}
    rows = []
    for check in checks:
        plain = {k: v for k, v in check.figures.items() if not isinstance(v, (dict, list)) or v}
        text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items())
        rows.append([word[check.good], check.name, text])
    print(common.table(["", "check", "figures"], rows))
    print(f"\nstore: {result['store']}")
    for text in result["skipped"]:
        print(f"left out: {text}")
    print(common.machine_line(result))


def main(plan: Plan, *, file: Path | None, log: Path | None, raw: Path | None) -> None:
    """Run, print and keep the result. Exits with 1 when a check fails, 2 when the soak cannot run."""
    if not 1 <= plan.rtsp + plan.mjpeg <= 16:
        raise common.give_up("--rtsp and --http together must be 1 to 16 cameras")
    assert LONGEST_MINUTES * 60_000 < LONGEST_MS
    if plan.rtsp and missing():
        raise common.give_up(f"{missing()}; or leave RTSP out: --rtsp 0")
    enter_namespace()
    try:
        result, checks = run(plan, file, log, raw)
    except RuntimeError as error:
        raise common.give_up(f"the soak cannot run: {error}") from error
    show(result, checks)
    raise SystemExit(0 if result["good"] else 1)
