"""What tests of the pipeline share: made-up pictures, sources that play them, and detectors for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from edge import blur
from edge.config import CameraConfig, Config, make_config
from edge.daemon.load import LoadLevel
from edge.daemon.pipeline import Pipeline
from edge.detection import known_face
from edge.detection.detector import Detections, Detector
from edge.detection.known_face import KnownFaces
from edge.errors import DetectionError
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.images import ImageStore
from tests.one_view import OneView

FACE = (40, 30, 80, 80)
SECRET = 251  # inside FACE only; nothing stored may show it


def mark(pixels: Pixels, number: int) -> None:
    """Say in a frame which one it is, and change it where it is looked at again, but nobody seems to move."""
    pixels[:10, :10] = 10 + number % 50
    pixels[:8, 16:24] = 60 + 4 * (number % 5)


def picture(number: int) -> Pixels:
    """Frame ``number``: uint8 ``[120, 160, 3]`` BGR with a mark of its number and the secret in FACE."""
    pixels = np.full((120, 160, 3), 60, np.uint8)
    mark(pixels, number)
    x1, y1, x2, y2 = FACE
    pixels[y1:y2, x1:x2] = SECRET
    return pixels


def number_of(pixels: Pixels) -> int:
    """Which ``picture`` this is; its mark lies outside all regions."""
    return int(pixels[0, 0, 0]) - 10


def is_whole(pixels: Pixels) -> bool:
    return bool((pixels == blur.GREY).all())


class Played(Source):
    """Plays pictures, ``live`` or not; it waits for the pipeline, so that a test sees each frame."""

    live = False

    def __init__(
        self, pictures: list[Pixels], live: bool = False, age: float = 0.0, name: str = "test"
    ) -> None:
        super().__init__(name, CameraConfig(source="played"), threading.Event())
        self.__dict__["live"] = live
        self._pictures = pictures
        self._age = age

    @property
    def waits(self) -> bool:
        return True

    @property
    def reopens(self) -> bool:
        return False

    def __iter__(self) -> Iterator[RawFrame]:
        for number, pixels in enumerate(self._pictures):
            yield RawFrame(
                pixels,
                self.camera,
                number,
                media_seconds=number / 25,
                captured=time.monotonic() - self._age,
                utc_ns=time.time_ns(),
            )


class Stepped(Played):
    """Delivers one frame for each call of ``go``."""

    def __init__(self, pictures: list[Pixels], live: bool = False, name: str = "test") -> None:
        super().__init__(pictures, live, name=name)
        self._permits = threading.Semaphore(0)
        self.go = self._permits.release

    def __iter__(self) -> Iterator[RawFrame]:
        frames = super().__iter__()
        while True:
            self._permits.acquire()
            frame = next(frames, None)
            if frame is None:
                return
            yield frame


KNOWN_FACE = Detections(known_face.EXPECTED, np.array([0.9], np.float32))


def is_known_face(pixels: Pixels) -> bool:
    """Whether this is the picture of the known face; frames are smaller here."""
    return pixels.shape == (512, 512, 3)


class FakeSession:
    name, sha256, provider, size, fallback = "fake", "0" * 64, "cpu", (64, 64), ""


class FakeDetector(OneView):
    """Finds FACE, except where ``trouble`` says otherwise by call number, and the known face."""

    session = FakeSession()
    score_begin, score_continue, score_last_look = 0.35, 0.2, 0.35

    def __init__(self, trouble: dict[int, Callable[[], Detections]] | None = None) -> None:
        self._trouble = trouble or {}
        self._calls = count()

    def find(self, pixels: Pixels) -> Detections:
        if is_known_face(pixels):
            return KNOWN_FACE
        number = next(self._calls)
        if number in self._trouble:
            return self._trouble[number]()
        return Detections(np.array([FACE], np.float32), np.array([0.9], np.float32))


def fail(error: Exception) -> Callable[[], Detections]:
    def raise_it() -> Detections:
        raise error

    return raise_it


Fault = Callable[[], None]


class Truthful(OneView):
    """Finds FACE if the secret can be seen there, and the known face; keeps which frames it was given.

    ``faults`` are called instead, by the number of the call.
    """

    session = FakeSession()
    score_begin, score_continue, score_last_look = 0.35, 0.2, 0.35

    def __init__(self, faults: dict[int, Fault] | None = None) -> None:
        self.raw: list[int] = []  # numbers of pictures that show the secret
        self.covered: list[int] = []
        self.looks = 0
        self.blind_to: set[int] = set()
        self._faults = faults or {}
        self._calls = count()

    def find(self, pixels: Pixels) -> Detections:
        if is_known_face(pixels):
            return KNOWN_FACE
        call = next(self._calls)
        seen = bool((pixels == SECRET).all(axis=2).any())
        self.looks += 1
        (self.raw if seen else self.covered).append(number_of(pixels))
        if call in self._faults:
            self._faults[call]()
        if number_of(pixels) in self.blind_to:
            seen = False
        return Detections(
            np.array([FACE] * seen, np.float32).reshape(-1, 4), np.full(int(seen), 0.9, np.float32)
        )


def broken(error: Exception | None = None) -> Fault:
    def fault() -> None:
        raise error or DetectionError(Reason.DETECTOR_ERROR, "broken")

    return fault


NO_HOLD = {"hold_before_frames": 0, "hold_after_seconds": 0}


def config(folder: Path, **tables: dict[str, Any]) -> Config:
    """With the last look, without the check of visibility."""
    store = {"folder": folder, "format": "png"} | tables.pop("store", {})
    privacy = {"check_visibility": False} | tables.pop("privacy", {})
    return make_config({"store": store, "privacy": privacy, **tables}, "test")


def config_without_last_look(folder: Path, **tables: dict[str, Any]) -> Config:
    """Without the last look and the check of visibility."""
    return config(folder, privacy={"last_look": "off"} | tables.pop("privacy", {}), **tables)


class Portrait:
    """Stands in for the known faces: those that know no real face must find one picture."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def check(self) -> None:
        known_face.check(self._detector)


def make(
    chosen: Config,
    sources: list[Source],
    detector: Any,
    runs_at_once: int = 1,
    stop: threading.Event | None = None,
) -> tuple[Pipeline, Metrics]:
    """A pipeline that is not started, with a store of its own, and its counters. There is no check for the
    first image, which would come at any moment."""
    metrics = Metrics()
    pipeline = Pipeline(
        config=chosen,
        detector=cast(Detector, detector),
        known_faces=cast(KnownFaces, Portrait(detector)),
        store=ImageStore(chosen.store),
        metrics=metrics,
        sources=sources,
        stop=stop or threading.Event(),
        runs_at_once=runs_at_once,
    )
    pipeline.writer.release()
    return pipeline, metrics


def run(pipeline: Pipeline) -> None:
    """From start to stop, with ticks until the sources have ended."""
    pipeline.start()
    while pipeline.tick(0.01):
        pass
    pipeline.stop()


def step(
    chosen: Config,
    frames: int,
    detector: Any,
    each: Callable[[Pipeline, int], None],
    live: bool = False,
) -> tuple[Pipeline, Metrics]:
    """One frame for each tick; ``each`` is called before, with the number of the frame."""
    source = Stepped([picture(n) for n in range(frames)], live)
    pipeline, metrics = make(chosen, [source], detector)
    pipeline.start()
    for number in range(frames):
        each(pipeline, number)
        source.go()
        assert pipeline.tick(30)
    source.go()  # to its end
    pipeline.stop()
    check_accounts(metrics)
    return pipeline, metrics


def play(chosen: Config, frames: int, detector: Any, live: bool = False) -> tuple[Pipeline, Metrics]:
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(frames)], live)], detector)
    run(pipeline)
    check_accounts(metrics)
    return pipeline, metrics


def force(pipeline: Pipeline, level: LoadLevel) -> None:
    """Set the load level to this one from the next tick on."""

    def update(*_: Any) -> LoadLevel:
        pipeline.load.level = level
        return level

    pipeline.load.update = update  # type: ignore[method-assign,assignment]


def no_rest(pipeline: Pipeline) -> None:
    """Detect on each frame, as if the camera were slower than the load level demands."""
    pipeline._pause_seconds = lambda now: 0.0  # type: ignore[method-assign]


def stored(folder: Path) -> list[Pixels]:
    images = [cv2.imread(str(path)) for path in sorted(folder.rglob("*.png"))]
    assert all(image is not None for image in images)
    return [np.asarray(image, np.uint8) for image in images]


def check_accounts(metrics: Metrics, camera: str = "test") -> None:
    """Every captured frame is stored, or dropped for exactly one reason."""
    dropped = sum(
        metrics.count("frames_dropped", camera, reason) for reason in Reason if not reason.before_capture
    )
    assert metrics.count("frames_captured", camera) == metrics.count("images_written", camera) + dropped


def no_secret(folder: Path) -> int:
    """How many images are stored; none of them shows the secret."""
    images = stored(folder)
    assert all((image != SECRET).any(axis=2).all() for image in images)
    return len(images)
