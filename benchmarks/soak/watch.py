"""Observers of the soak: of the status endpoint, of the process, and of every stored image."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from benchmarks.soak.scene import FACE_LEFT, Scene, Stamp, read_strip
from edge.detection.detector import Detector
from edge.errors import PictureError
from edge.frames import Pixels
from edge.pictures import read_picture
from edge.reasons import Reason

_NOT_DETECTED_ON = ("overtaken", "repeated", "stale", "load", "known_face")
POLL_SECONDS, SAMPLE_SECONDS = 1.0, 5.0
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{3})Z-\d+")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path) -> dict[str, Any]:
    """The answer of ``/status`` on a unix socket. Raises OSError, HTTPException, ValueError."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", "/status")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


@dataclass
class Poll:
    """One answer of ``/status``; ``at`` in seconds since the start."""

    at: float
    states: dict[str, str]
    last_image: dict[str, float | None]
    """Also in seconds since the start."""
    captured: dict[str, int]
    in_flight: dict[str, int]
    """Captured, and neither written nor dropped yet."""
    detections: dict[str, int]
    """Captured frames that went to the detector."""
    store_error: str
    load_level: str
    degraded: list[str]
    """What works less well than configured; that of the clock among it."""
    damaged: dict[str, int]
    """Damaged frames since the start."""


@dataclass
class Sample:
    """The process at one moment."""

    at: float
    captured: int
    rss_mb: float
    threads: int
    descriptors: int
    quiet: bool
    """No fault was on, and all cameras were live."""


@dataclass
class Image:
    """One stored image. Seconds; ``None`` where the strip cannot be read."""

    camera: str
    name: str
    at: float
    """When it was stored, since the start."""
    shown: float | None
    """What its strip says, since the start."""
    late: float | None
    """File name's time minus strip's."""
    age: float | None
    """Time of storing minus strip's."""
    strip: Literal["read", "covered", "damaged"]
    right_camera: bool
    face_left: float
    """Correlation with the known face."""
    score: float | None = None
    """Best score of the detector; None: it did not run."""


def read_process(pid: int) -> tuple[float, int, int]:
    """Resident memory in MB, threads, open descriptors. Raises OSError when it is gone."""
    text = Path(f"/proc/{pid}/status").read_text()
    numbers = dict(re.findall(r"^(VmRSS|Threads):\s+(\d+)", text, re.MULTILINE))
    if "VmRSS" not in numbers:  # a zombie has no memory
        raise ProcessLookupError(pid)
    return int(numbers["VmRSS"]) / 1024, int(numbers["Threads"]), len(os.listdir(f"/proc/{pid}/fd"))


def poll_of(status: dict[str, Any], at: float, zero: float) -> Poll:
    """The parts of an answer that the soak needs."""
    cameras = {camera["name"]: camera for camera in status["cameras"]}
    last = {
        name: datetime.fromisoformat(camera["last_image"].replace("Z", "+00:00")).timestamp() - zero
        if camera["last_image"]
        else None
        for name, camera in cameras.items()
    }
    return Poll(
        at,
        {name: camera["state"] for name, camera in cameras.items()},
        last,
        {name: camera["captured"] for name, camera in cameras.items()},
        {name: in_flight(camera) for name, camera in cameras.items()},
        {
            name: camera["captured"] - sum(camera["dropped"].get(reason, 0) for reason in _NOT_DETECTED_ON)
            for name, camera in cameras.items()
        },
        status["store_error"],
        status["load_level"],
        status["degraded"],
        {name: camera["dropped"].get("damaged", 0) for name, camera in cameras.items()},
    )


def in_flight(camera: dict[str, Any]) -> int:
    """Captured frames neither written nor dropped yet. Damaged and undecodable ones were never captured."""
    dropped = sum(n for reason, n in camera["dropped"].items() if not Reason(reason).before_capture)
    return int(camera["captured"] - camera["written"] - dropped)


@dataclass
class Watch:
    """Polls the status and samples the process, in a thread of its own."""

    pid: int
    endpoint: Path
    zero: float
    polls: list[Poll] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The last answer, whole."""
    unanswered: int = 0
    gone: float | None = None
    """When the process was found gone."""
    quiet: bool = False
    """Set by the code that makes the faults."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        sampled = float("-inf")
        while not self._stop.wait(POLL_SECONDS):
            now = time.time() - self.zero
            try:
                self.last = ask(self.endpoint)
                self.polls.append(poll_of(self.last, now, self.zero))
            except (OSError, http.client.HTTPException, ValueError):
                self.unanswered += 1
            if now - sampled < SAMPLE_SECONDS or not self.polls:
                continue
            sampled = now
            try:
                rss, threads, descriptors = read_process(self.pid)
            except OSError:
                self.gone = self.gone or now
                continue
            last = self.polls[-1]
            quiet = self.quiet and all(state == "live" for state in last.states.values())
            captured = sum(last.captured.values())
            self.samples.append(Sample(now, captured, rss, threads, descriptors, quiet))


class Reader:
    """Judges every stored image and then removes it, in a thread of its own."""

    def __init__(
        self, folder: Path, scenes: dict[str, Scene], zero: float, detector: Detector, every: int
    ) -> None:
        """``every``: the detector runs on every N-th image, and on each whose strip cannot be read."""
        self.images: list[Image] = []
        self.suspects: list[Image] = []
        """Images on which the known face, or any face, seems to be left."""
        self.broken: list[str] = []
        """Files that are not a whole picture."""
        self.found: dict[str, str] = {}
        """The sha256 of each file, by its path below the folder."""
        self.removed: list[str] = []
        """Paths of files that this reader has removed."""
        self._paused = threading.Event()
        self._removing = threading.Lock()
        self._folder, self._scenes, self._zero = folder, scenes, zero
        self._detector, self._every = detector, every
        self._seen: set[Path] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def pause(self) -> None:
        """From now on nothing is removed, so that a full disk stays full, and images can be counted."""
        self._paused.set()
        with self._removing:  # the one that is being removed
            pass

    def resume(self) -> None:
        self._paused.clear()

    def stop(self) -> None:
        """Judge what is still there, and end."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self._judge_all()
        self._judge_all()

    def _judge_all(self) -> None:
        for path in sorted(self._folder.glob("*/*/*.jpg")):
            if path not in self._seen:
                with contextlib.suppress(FileNotFoundError):  # the daemon has made room
                    self._judge(path)
                    self._seen.add(path)
            with self._removing:
                if not self._paused.is_set():
                    self._remove(path)

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            self.removed.append(path.relative_to(self._folder).as_posix())
        self._seen.discard(path)

    def _judge(self, path: Path) -> None:
        camera = path.parent.parent.name
        stored = path.stat().st_mtime
        name = path.relative_to(self._folder).as_posix()
        try:
            self.found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            pixels = read_picture(path).pixels
        except PictureError as error:
            if not path.exists():
                return
            self.broken.append(f"{camera}/{path.name}: {error}")
            return
        image = judge_image(pixels, path.name, stored, camera, self._scenes, self._zero)
        if image.shown is None or len(self.images) % self._every == 0:
            image.score = best_score(self._detector, pixels)
        self.images.append(image)
        if image.face_left >= FACE_LEFT or (image.score or 0) >= 0.5:
            self.suspects.append(image)


def best_score(detector: Detector, pixels: Pixels) -> float:
    return float(detector.detect(pixels).scores.max(initial=0))


def judge_image(
    pixels: Pixels, name: str, stored: float, camera: str, scenes: dict[str, Scene], zero: float
) -> Image:
    """Judge one image. ``stored`` and ``zero`` are times (time.time). Raises ValueError for a name that
    the store does not give."""
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"{name}: not a name that the store gives")
    named = datetime.strptime(match.group(1), "%Y%m%dT%H%M%S.%f").replace(tzinfo=timezone.utc).timestamp()
    strip = read_strip(pixels)
    stamp = strip if isinstance(strip, Stamp) else None
    scene = scenes[camera]
    shown = None if stamp is None else stamp.ms / 1000
    return Image(
        camera,
        name,
        round(stored - zero, 3),
        shown,
        None if shown is None else round(named - zero - shown, 3),
        None if shown is None else round(stored - zero - shown, 3),
        "read" if isinstance(strip, Stamp) else strip,
        right_camera=stamp is None or stamp.camera == scene.camera,
        face_left=round(scene.face_left(pixels, None if stamp is None else stamp.ms), 3),
    )
