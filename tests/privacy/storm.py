"""Many faults in little time: long plays of small frames, about half of which are hit by something.

``python -m tests.privacy.storm [--faults N] [--seed N]``

Everything is the product's own but the camera, the detector's graph and the functions at which faults are
injected; nothing waits. In every fifth play the camera is fixed and the gate is on: what has not changed is
not looked at again, and faults strike while it is kept. After each play: no stored image shows anything but
background and paint, every image that was acknowledged is there as it was recorded, and each frame is
accounted for. Exit code 1 if not.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edge import blur
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.contract import INPUT
from edge.daemon import finisher
from edge.daemon import pipeline as pipeline_module
from edge.daemon.pipeline import Pipeline
from edge.daemon.read_status import read_status
from edge.daemon.writer import Writer
from edge.detection import known_face
from edge.detection import session as session_module
from edge.detection.detector import open_detector
from edge.detection.gate import Gate
from edge.detection.session import read_detector
from edge.errors import KnownFaceError
from edge.hold import Hold
from edge.reasons import Reason
from edge.sources import backoff
from edge.status.gauges import gauges_text
from edge.status.metrics import Metrics
from tests.models import save
from tests.privacy.faults import WIDTH
from tests.privacy.faults_disk import (
    AWAY,
    CODES,
    LIES,
    SHARED_STEPS,
    STEPS,
    VOLUME_STEPS,
    Torn,
    disk_error,
)
from tests.privacy.faults_model import looking
from tests.privacy.faults_tools import Act, Script
from tests.privacy.faults_world import check_record, config_of, make_pipeline
from tests.privacy.storm_plan import MISSES, Plan, draw, find, number_of, raw_pieces

FRAMES, GATED_FRAMES = 400, 100
GATED_SHARE = 0.2
"""Of the plays, in how many the gate is on."""
DISK_SHARE = 0.01
"""Of the calls of each step of the store, how many fail."""
STATUS_TICKS = 5
"""After so many ticks somebody reads the status."""


@dataclass
class Outcome:
    """``raw``: images that show a piece of a face; ``lost``: acknowledged images that are missing or not as
    they were recorded; ``unanswered``: frames that are neither stored nor dropped for one reason; ``kept``:
    parts of frames that were not looked at, since nothing had changed in them."""

    faults: int = 0
    raw: int = 0
    lost: int = 0
    unanswered: int = 0
    frames: int = 0
    images: int = 0
    kept: int = 0

    def add(self, other: Outcome) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def good(self) -> bool:
        return not (self.raw or self.lost or self.unanswered)


class Timers(threading.local):
    """Stands in for ``threading`` where a run of the detector is timed: no timer goes off by itself."""

    Event = threading.Event

    def __init__(self) -> None:
        self.expire: Callable[[], None] = lambda: None

    def Timer(self, limit: float, expire: Callable[[], None]) -> Any:  # noqa: N802
        self.expire = expire
        return SimpleNamespace(start=lambda: None, cancel=lambda: None, daemon=True)

    def hang(self, boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
        """What the detector does when its time is over: it fails, or has an answer all the same."""
        self.expire()
        if scores.sum() > 1:
            raise ort_errors.Fail("Exiting due to terminate flag being set to true.")
        return boxes, scores


class Eyes:
    """Stands in the place of ONNX Runtime's session and of the known face, which share their blindness."""

    def __init__(self, plan: Plan, fired: Counter[str]) -> None:
        self.pipeline: Pipeline | None = None
        self._plan, self._fired = plan, fired
        self._looks: Counter[int] = Counter()
        self._blind = False
        self._distrust: Exception | None = None
        self.sites: Sites | None = None

    def run(self, names: list[str], inputs: dict[str, Any], options: Any) -> Any:
        boxes, scores = find(inputs[INPUT][0])
        number = number_of(inputs[INPUT][0], rgb=True)
        if self._plan.gated and self.sites is not None:
            number = self.sites.last
        act: Act | None = None
        if number is not None:
            look = self._looks[number]
            self._looks[number] += 1
            if look == 0 and not self._plan.gated:
                self.begin(number)
            act = self._plan.looks.get((number, look))
            # Of a frame that is kept, the first look is the last look, and nobody checks what that misses.
            if act in MISSES and self.sites is not None and self.sites.looks_last:
                act = None
        if self._blind:
            return boxes, np.full_like(scores, 0.01)
        if act is None:
            return boxes, scores
        self._fired["look"] += 1
        return act(boxes, scores, options)

    def begin(self, number: int) -> None:
        """A frame comes that may be looked at."""
        if number in self._plan.blind and not self._blind:
            self._blind = True
            self._fired["blind"] += 1
        self._distrust = self._plan.distrust.get(number, self._distrust)
        if number in self._plan.checks and self.pipeline is not None:
            self.pipeline._next_known_face = 0.0

    def check(self, detector: object) -> float:
        """Look for the known face. After a failure the detector works again."""
        blind, distrust = self._blind, self._distrust
        self._blind, self._distrust = False, None
        if blind:
            raise KnownFaceError("the detector is blind")
        if distrust is not None:
            self._fired["distrust"] += 1
            raise distrust
        return 1.0


class Sites:
    """Puts the faults of a plan in the place of functions."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        plan: Plan,
        fired: Counter[str],
        begin: Callable[[int], None] | None,
    ) -> None:
        """``begin`` is told of each frame for which a plan is made."""
        self._patch, self._plan, self._fired, self._begin = patch, plan, fired, begin
        self.last: int | None = None
        self.looks_last = False
        number = lambda *args, **kwargs: next(int(a.number) for a in args if hasattr(a, "number"))  # noqa: E731
        inner = lambda *args, **kwargs: self.last  # noqa: E731
        pixels = lambda *args, **kwargs: number_of(args[1])  # noqa: E731
        self._put(Gate, "plan", pixels, "plan")
        self._put(Gate, "settle", inner, "settle")
        self._put(Hold, "push", number, "push")
        self._put(Hold, "_join", inner, "_join")
        self._put(blur, "anonymize", number, "anonymize")
        self._put(blur, "regions_of", inner, "regions_of", "wrong regions")
        self._put(blur, "_infill", inner, "_infill")
        self._put(blur, "AnonymizedFrame", inner, "AnonymizedFrame")
        self._put(blur, "cover_whole", number, "cover_whole")
        self._put(finisher, "take_last_look", lambda cover, *rest: int(cover.frame.number), "last_look")
        self._put(cv2, "imencode", pixels, "imencode")

    def _put(self, owner: object, name: str, number: Callable[..., int | None], *sites: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            of = number(*args, **kwargs)
            if name != "imencode":  # which is called in another thread
                self.last = of
            if name == "plan" and self._begin is not None and of is not None:
                self._begin(of)
            for site in sites:
                act = None if of is None else self._plan.acts[site].pop(of, None)
                if act is not None:
                    self._fired[site] += 1
                    return act(*args, **kwargs)
            self.looks_last = name == "take_last_look"
            try:
                return real(*args, **kwargs)
            finally:
                self.looks_last = False

        self._patch.setattr(owner, name, wrapped)


class Disk:
    """Lets a share of all calls fail by which images are stored, while ``active``."""

    def __init__(self, patch: pytest.MonkeyPatch, plan: Plan, seed: int, fired: Counter[str]) -> None:
        self.active = True
        self._plan, self._rng, self._fired = plan, random.Random(seed), fired
        self._fdopen = os.fdopen
        steps: dict[str, list[tuple[str, Callable[..., bool]]]] = defaultdict(list)
        for step, (function, wanted) in (STEPS | SHARED_STEPS | VOLUME_STEPS).items():
            steps[function].append((step, wanted))
        for function, members in steps.items():
            self._put(patch, function, members)

    def _put(
        self, patch: pytest.MonkeyPatch, name: str, steps: list[tuple[str, Callable[..., bool]]]
    ) -> None:
        real = getattr(os, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread().name != "store" and name != "statvfs":  # which the status calls
                return real(*args, **kwargs)
            if self.active:
                for step, wanted in steps:
                    if self._rng.random() < DISK_SHARE and wanted(*args, **kwargs):
                        self._fired[step] += 1
                        return self._fail(step, args)
            if name == "open" and not self._plan.nameless and args[1] & os.O_TMPFILE == os.O_TMPFILE:
                disk_error(95)()  # EOPNOTSUPP: as on a filesystem that lacks O_TMPFILE
            return real(*args, **kwargs)

        patch.setattr(os, name, wrapped)

    def _fail(self, step: str, args: tuple[Any, ...]) -> Any:
        error = disk_error(self._rng.choice(AWAY if step in VOLUME_STEPS else CODES))
        if step == "write":
            return Torn(self._fdopen(*args), error)
        if step in ("ask for room", "room for the status") and self._rng.random() < 0.5:
            return self._rng.choice(list(LIES.values()))
        return error()


class Records(logging.Handler):
    """Checks each record of the log instead of writing it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.flaws: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            check_record(record)
        except AssertionError as error:
            self.flaws.append(str(error))


@contextmanager
def _logs() -> Iterator[Records]:
    log, records = logging.getLogger("edge"), Records()
    before = log.propagate
    log.addHandler(records)
    log.propagate = False
    try:
        yield records
    finally:
        log.removeHandler(records)
        log.propagate = before


class Storm:
    """One detector and one store folder for any number of plays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        path = save(looking(WIDTH, 128), folder / "looking.onnx")
        self.detector = open_detector(read_detector(path), DetectorConfig(provider="cpu", threads=1))
        self._session: Any = self.detector.session

    def rage(self, faults: int, seed: int, say: Callable[[str], None] = lambda text: None) -> Outcome:
        """Plays from this seed on until so many faults have fired."""
        total = Outcome()
        while total.faults < faults:
            one = self.play(seed)
            if not one.good:
                say(f"seed {seed}: {one}")
            seed += 1
            total.add(one)
        return total

    def play(self, seed: int, frames: int = FRAMES, *, gated: bool | None = None) -> Outcome:
        """One play, from start to stop, and what came of it. ``gated``: by chance, unless it is said."""
        timers, fired, chance = Timers(), Counter[str](), random.Random(seed)
        gated = chance.random() < GATED_SHARE if gated is None else gated
        plan = draw(chance, min(frames, GATED_FRAMES) if gated else frames, timers.hang, gated=gated)
        eyes = Eyes(plan, fired)
        acknowledged: list[Path] = []
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # which is faster for small frames
        try:
            with pytest.MonkeyPatch.context() as patch, _logs() as records:
                patch.setattr(session_module, "threading", timers)
                patch.setattr(known_face, "check", eyes.check)
                patch.setattr(pipeline_module, "KNOWN_FACE_RETRY_SECONDS", 0.0)
                patch.setattr(backoff, "FIRST_BACKOFF_SECONDS", 0.0)
                patch.setattr(backoff, "LONGEST_BACKOFF_SECONDS", 0.0)
                patch.setattr(self._session, "_session", eyes)
                _note_stored(patch, acknowledged)
                eyes.sites = Sites(patch, plan, fired, eyes.begin if plan.gated else None)
                metrics = self._run(plan, eyes, Disk(patch, plan, seed, fired))
            assert not records.flaws, records.flaws[0]
            return self._judge(plan, fired, metrics, acknowledged)
        finally:
            cv2.setNumThreads(threads)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, plan: Plan, eyes: Eyes, disk: Disk) -> Metrics:
        source = Script(plan.items, live=True)
        config = config_of(self.folder, plan.case, False, 3600, sweep_seconds=2 if plan.gated else 0)
        pipeline, metrics = make_pipeline(config, self.detector, [source], plan.runs_at_once)
        eyes.pipeline = pipeline
        pipeline.start()
        ticks = itertools.count(1)
        while pipeline.tick(0.05):
            if next(ticks) % STATUS_TICKS == 0:
                gauges_text(read_status(pipeline))
        assert not source.reopens, "the camera was given up"
        disk.active = False
        pipeline.stop()
        return metrics

    def _judge(self, plan: Plan, fired: Counter[str], metrics: Metrics, acknowledged: list[Path]) -> Outcome:
        captured, written = metrics.count("frames_captured", "test"), metrics.count("images_written", "test")
        dropped = {reason: metrics.count("frames_dropped", "test", reason) for reason in Reason}
        known = sum(count for reason, count in dropped.items() if not reason.before_capture)
        unusable = dropped[Reason.UNDECODABLE], dropped[Reason.SIZE]
        outcome = Outcome(fired.total() + plan.in_items.total(), frames=captured, images=written)
        outcome.kept = metrics.count("parts_kept", "test")
        outcome.unanswered = abs(captured - written - known)
        outcome.unanswered += abs(unusable[0] - plan.in_items["useless"])
        outcome.unanswered += abs(unusable[1] - plan.in_items["wrong size"])
        records = _recorded(self.folder)
        files = set(self.folder.rglob("*.png"))
        outcome.raw = sum(_is_raw(path.read_bytes()) for path in files)
        outcome.lost = abs(written - len(acknowledged)) + sum(
            path not in files or not _is_as_recorded(path.read_bytes(), records.get(path))
            for path in {*acknowledged, *records}
        )
        outcome.unanswered += len(files ^ set(acknowledged)) + len(list(self.folder.rglob("*.part")))
        return outcome


def _note_stored(patch: pytest.MonkeyPatch, acknowledged: list[Path]) -> None:
    real = Writer._note_stored

    def note(self: Writer, entry: Any, path: Path) -> None:
        acknowledged.append(path)
        real(self, entry, path)

    patch.setattr(Writer, "_note_stored", note)


def _recorded(folder: Path) -> dict[Path, dict[str, Any]]:
    """Records of the images that are said to be stored."""
    recorded: dict[Path, dict[str, Any]] = {}
    for file in sorted((folder / "_audit").glob("*.jsonl")):
        for line in file.read_text("ascii").splitlines():
            record = json.loads(line)
            if record["event"] == "image":
                recorded[folder / record["image"]] = record
            elif record["event"] in ("start", "not_stored"):
                for name in record["not_stored" if record["event"] == "start" else "images"]:
                    recorded.pop(folder / name, None)
    return recorded


def _pixels(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def _is_raw(data: bytes) -> bool:
    pixels = _pixels(data)
    return pixels is not None and raw_pieces(pixels) > 0


def _is_as_recorded(data: bytes, record: dict[str, Any] | None) -> bool:
    """Whether these bytes are a readable picture of the frame that was recorded."""
    pixels = _pixels(data)
    if record is None or pixels is None:
        return False
    same = hashlib.sha256(data).hexdigest() == record["sha256"]
    return same and number_of(pixels) in (None, record["frame"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Inject many faults by chance.")
    parser.add_argument("--faults", type=int, default=100_000, help="at least this many (default: 100,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first play (default: 1)")
    arguments = parser.parse_args()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        total = Storm(Path(folder)).rage(arguments.faults, arguments.seed, print)
    print(
        f"{total.faults} faults in {total.frames} frames, {total.images} images stored; {total.raw} raw, "
        f"{total.lost} acknowledged lost, {total.unanswered} unanswered; {total.kept} parts of frames kept; "
        f"{time.monotonic() - begin:.0f} s"
    )
    return 0 if total.good else 1


if __name__ == "__main__":
    sys.exit(main())
