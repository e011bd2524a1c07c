"""Runs of the whole pipeline, with a real detector file that looks for the secret, and faults on the way."""

from __future__ import annotations

import contextlib
import logging
import random
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from edge.config import Config, DetectorConfig, make_config
from edge.daemon.pipeline import Pipeline
from edge.detection.detector import Detector, open_detector
from edge.detection.known_face import KnownFaces
from edge.detection.session import read_detector
from edge.frames import RawFrame
from edge.reasons import Reason
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.images import ImageStore
from tests.daemon.playing import Portrait
from tests.models import save
from tests.privacy.faults import ALL, WIDTH, Image, covered, flaw, is_whole, number_of
from tests.privacy.faults_cases import Case
from tests.privacy.faults_model import looking
from tests.privacy.faults_tools import BEGIN_MS, MILLISECONDS, Fault, Inner, Script, shots

LONGEST_RECORD = 700
NOTHING: Mapping[Reason, int] = {}


@dataclass(frozen=True)
class Stored:
    """A file of the store, and the number of its frame."""

    data: bytes
    number: int

    @property
    def pixels(self) -> Image:
        pixels = _decode(self.data)
        assert pixels is not None
        return pixels


@lru_cache(maxsize=10_000)
def _decode(data: bytes) -> Image | None:
    """Thousands of runs store the same bytes, so this and ``_flaw`` remember."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else np.asarray(pixels, np.uint8)


@lru_cache(maxsize=10_000)
def _flaw(stored: Stored) -> str:
    return flaw(stored.pixels, stored.number)


@dataclass(frozen=True)
class Run:
    """What a run left behind: its counters, and its images by the number of their frame."""

    metrics: Metrics
    pipeline: Pipeline
    images: dict[int, Stored]
    dropped: dict[Reason, int] = field(init=False)
    covered_whole: dict[Reason, int] = field(init=False)

    def __post_init__(self) -> None:
        self.__dict__["dropped"] = self._by_reason("frames_dropped")
        self.__dict__["covered_whole"] = self._by_reason("frames_covered_whole")

    @property
    def numbers(self) -> set[int]:
        return set(self.images)

    @property
    def wholes(self) -> set[int]:
        """Frames that are covered all over."""
        return {number for number, stored in self.images.items() if is_whole(stored.pixels)}

    def count(self, name: str) -> int:
        return self.metrics.count(name, "test")

    def _by_reason(self, name: str) -> dict[Reason, int]:
        counts = {reason: self.metrics.count(name, "test", reason) for reason in Reason}
        return {reason: count for reason, count in counts.items() if count}


def make_pipeline(
    config: Config, detector: Detector, sources: list[Source], runs_at_once: int
) -> tuple[Pipeline, Metrics]:
    """The one place in which the attacks inside a process put a pipeline together."""
    metrics = Metrics()
    pipeline = Pipeline(
        config=config,
        detector=detector,
        known_faces=cast(KnownFaces, Portrait(detector)),
        store=ImageStore(config.store),
        metrics=metrics,
        sources=sources,
        stop=threading.Event(),
        runs_at_once=runs_at_once,
    )
    pipeline.writer.release()  # no check for the first image, which would come at any moment
    return pipeline, metrics


@lru_cache(maxsize=256)
def config_of(
    folder: Path, case: Case, visibility: bool, known_face_seconds: float, sweep_seconds: float = 2
) -> Config:
    blur = {"hold_before_frames": case.before, "hold_after_seconds": case.after}
    privacy = {"last_look": case.last_look, "on_failure": case.on_failure, "check_visibility": visibility}
    # A busy machine is not a fault.
    limits = {"max_frame_age_seconds": 60, "known_face_interval_seconds": known_face_seconds}
    limits["sweep_seconds"] = sweep_seconds
    store = {"folder": folder, "format": "png", "min_free_megabytes": 1}
    return make_config({"store": store, "blur": blur, "privacy": {**privacy, **limits}}, "test")


def until_the_end(pipeline: Pipeline) -> None:
    while pipeline.tick(0.05):
        pass


class World:
    """One detector and one store folder for any number of plays; in half of them its runs overlap."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        path = save(looking(WIDTH, 128), folder / "looking.onnx")
        self.detector = open_detector(read_detector(path), DetectorConfig(provider="cpu", threads=1))
        self._rng = random.Random(1)
        self._session: Any = self.detector.session
        self._real = self._session._session
        self._references: dict[Case, Run] = {}

    @property
    def inner(self) -> Inner:
        """The session of the run that is going on."""
        inner = self._session._session
        assert isinstance(inner, Inner)
        return inner

    def play(
        self,
        case: Case,
        looks: dict[int, Fault] | None = None,
        *,
        source: Script | None = None,
        prepare: Callable[[Pipeline], None] = lambda pipeline: None,
        ticks: Callable[[Pipeline], None] = until_the_end,
        visibility: bool = False,
        known_face_seconds: float = 3600,
        unanswered: int = 0,
    ) -> Run:
        """One run from start to stop, checked for what holds after any. ``looks`` are faults of the detector
        (``Inner``); ``unanswered`` is how many frames may be neither stored nor dropped."""
        self._session._session = Inner(self._real, looks or {})
        config = config_of(self.folder, case, visibility, known_face_seconds)
        pipeline, metrics = make_pipeline(
            config, self.detector, [source or Script(shots())], self._rng.choice((1, 2))
        )
        prepare(pipeline)
        pipeline.start()
        try:
            ticks(pipeline)
            pipeline.stop()
            run = Run(metrics, pipeline, _read(self.folder))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        _check_accounts(run, unanswered)
        for number, stored in run.images.items():
            assert _flaw(stored) == "", f"image of frame {number}: {_flaw(stored)}"
        return run

    def reference(self, case: Case) -> Run:
        """What a run without any fault stores."""
        if case not in self._references:
            self._references[case] = run = self.play(case)
            assert run.numbers == ALL
            assert run.dropped == run.covered_whole == {}
            assert run.wholes == set()
        return self._references[case]

    def check_stored(
        self,
        run: Run,
        case: Case,
        *,
        lost: Iterable[int] = (),
        whole: Iterable[int] = (),
        dropped: Mapping[Reason, int] = NOTHING,
        covered_whole: Mapping[Reason, int] = NOTHING,
    ) -> None:
        """All frames but the ``lost`` ones are stored, the ``whole`` ones covered all over, the others no
        less than in a run without faults and hold, which only adds; and the counters say just that."""
        assert run.numbers == ALL - set(lost)
        assert run.wholes == set(whole)
        assert run.dropped == dropped
        assert run.covered_whole == covered_whole
        self.check_not_less(run, case)

    def check_failed(self, run: Run, case: Case, fault: Fault, reason: Reason) -> None:
        """Nobody knows what these frames show: they are dropped, or covered whole if the case says so."""
        fault.check_fired()
        counts = {reason: len(fault.at)}
        if case.on_failure == "drop":
            self.check_stored(run, case, lost=fault.at, dropped=counts)
        else:
            self.check_stored(run, case, whole=fault.at, covered_whole=counts)

    def check_same(self, run: Run, case: Case, numbers: Iterable[int]) -> None:
        """Images of these frames are those of a run without faults, to the byte."""
        wanted = self.reference(case).images
        different = [number for number in numbers if run.images[number].data != wanted[number].data]
        assert not different, f"images of frames {different} differ from those of a correct run"

    def check_not_less(self, run: Run, case: Case) -> None:
        plain = self.reference(Case(last_look=case.last_look)).images
        for number, stored in run.images.items():
            if len(stored.pixels) == len(plain[number].pixels):
                missing = covered(plain[number].pixels, number) & ~covered(stored.pixels, number)
                assert not missing.any(), f"the image of frame {number} covers less than a correct run's"


def _read(folder: Path) -> dict[int, Stored]:
    """Images below a folder by the number of their frame, which the pixels tell, or else the name."""
    images: dict[int, Stored] = {}
    assert not list(folder.rglob("*.part")), "a temporary file is left"
    for path in sorted(folder.rglob("*.png")):
        data = path.read_bytes()
        pixels = _decode(data)
        assert pixels is not None, f"{path.name} is no whole image"
        number = number_of(pixels)
        if number is None:
            moment = datetime.strptime(path.name[:19], "%Y%m%dT%H%M%S.%f").replace(tzinfo=timezone.utc)
            number = (round(moment.timestamp() * 1000) - BEGIN_MS) // MILLISECONDS
        assert number not in images, f"frame {number} is stored twice"
        images[number] = Stored(data, number)
    return images


def _check_accounts(run: Run, unanswered: int) -> None:
    """Every captured frame is stored, or dropped for exactly one reason; every written image is there."""
    written, captured = run.count("images_written"), run.count("frames_captured")
    dropped = sum(count for reason, count in run.dropped.items() if not reason.before_capture)
    lacking = captured - written - dropped
    assert 0 <= lacking <= unanswered, f"{captured} captured, {written} written, {dropped} dropped"
    assert len(run.images) == written, f"{len(run.images)} stored, {written} written"


@contextlib.contextmanager
def named(*words: object) -> Iterator[None]:
    """Say in which case something went wrong: one test has many."""
    try:
        yield
    except Exception as error:
        case = ", ".join(str(word) for word in words)
        raise AssertionError(f"{case}: {type(error).__name__}: {error}") from error


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """What ``check_record`` checks, of all records of a test."""
    for record in caplog.records:
        check_record(record)


def check_record(record: logging.LogRecord) -> None:
    """A record of the log carries no pixels, and is not long enough to hide some."""
    parts = record.args if isinstance(record.args, tuple) else (record.args,)
    assert not any(isinstance(part, np.ndarray | bytes | RawFrame) for part in parts), record.msg
    text = logging.Formatter().format(record)
    assert len(text) <= LONGEST_RECORD, text[:LONGEST_RECORD]
    assert "array(" not in text
    assert "0, 0, 255, 255" not in text.replace("[", "").replace("]", "")
