"""Known face, last look, light and load in the pipeline: when unsure, drop or cover, and count it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import blur as blur_module
from edge import canary
from edge import pipeline as pipeline_module
from edge.config import Config, build
from edge.detector import Detections, Detector
from edge.errors import CanaryError, DetectionError, StoreError
from edge.frames import Pixels
from edge.ladder import Level
from edge.pipeline import Pipeline
from edge.reasons import Reason
from edge.snapshot import read_status
from edge.sources import Source
from edge.status.metrics import Metrics
from edge.store.images import ImageStore
from tests.test_pipeline import (
    FACE,
    SECRET,
    FakeDetector,
    FakeSession,
    Played,
    check_accounts,
    picture,
    stored,
)


class Truthful:
    """Finds FACE if the secret can be seen there, and keeps which pictures it was shown."""

    session = FakeSession()
    score_begin, score_continue = 0.35, 0.2
    looks = 5

    def __init__(self) -> None:
        self.shown: list[Pixels] = []
        self.tiles: list[bool] = []
        self.blind = False
        self.broken: list[bool] = []

    def detect(self, pixels: Pixels, *, tiles: bool = True) -> Detections:
        self.shown.append(pixels)
        self.tiles.append(tiles)
        if self.broken and self.broken.pop(0):
            raise DetectionError("detector_error", "broken")
        seen = (pixels == SECRET).all(axis=2).any() and not self.blind
        count = 1 if seen else 0
        return Detections(
            np.array([FACE] * count, np.float32).reshape(-1, 4), np.full(count, 0.9, np.float32)
        )


def config(folder: Path, **tables: dict[str, Any]) -> Config:
    store = {"folder": folder, "format": "png"} | tables.pop("store", {})
    privacy = {"check_visibility": False} | tables.pop("privacy", {})
    return build({"store": store, "privacy": privacy, **tables}, "test")


def make(chosen: Config, sources: list[Source], detector: Any) -> tuple[Pipeline, Metrics]:
    metrics = Metrics()
    store = ImageStore(chosen.store)
    return Pipeline(chosen, cast(Detector, detector), store, metrics, sources, threading.Event()), metrics


def run(pipeline: Pipeline, each: Callable[[int], None] = lambda tick: None) -> None:
    pipeline.start()
    tick = 0
    while True:
        each(tick)
        if not pipeline.tick(0.05):
            break
        tick += 1
    pipeline.stop()


def play(chosen: Config, frames: int, detector: Any, live: bool = False) -> tuple[Pipeline, Metrics]:
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(frames)], live)], detector)
    run(pipeline)
    check_accounts(metrics)
    return pipeline, metrics


def no_secret(folder: Path) -> int:
    """How many images are stored; none of them shows the secret."""
    images = stored(folder)
    assert all((image != SECRET).any(axis=2).all() for image in images)
    return len(images)


# The last look


@pytest.mark.parametrize("fault", ["nothing", "shifted", "half"])
def test_a_blur_that_misses_the_face_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    real = blur_module.regions_of

    def wrong(boxes: Any, width: int, height: int, chosen: Any) -> Any:
        regions = real(boxes, width, height, chosen)
        if fault == "nothing":
            return regions[:0]
        if fault == "shifted":
            return np.minimum(regions + np.array([40, 0, 40, 0]), [width - 8, height, width, height])
        return np.stack(
            [regions[:, 0], regions[:, 1], regions[:, 2], (regions[:, 1] + regions[:, 3]) // 2], 1
        )

    monkeypatch.setattr(blur_module, "regions_of", wrong)
    _, metrics = play(config(tmp_path), 6, Truthful())
    assert no_secret(tmp_path) == 6
    assert metrics.count("images_regrown", "test") == 6
    assert metrics.count("images_escalated", "test") == 6
    assert metrics.count("frames_covered_whole", "test", Reason.ESCALATED) == 6


def test_without_the_last_look_the_fault_would_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above means something."""
    monkeypatch.setattr(blur_module, "regions_of", lambda boxes, *_: np.zeros((0, 4), np.int64))
    play(config(tmp_path, privacy={"verify": "off"}), 3, Truthful())
    assert all((image == SECRET).any() for image in stored(tmp_path))


def test_sampled_looks_at_the_first_and_each_nth_image(tmp_path: Path) -> None:
    detector = Truthful()
    play(config(tmp_path, privacy={"verify": "sampled", "verify_every_images": 4}), 10, detector)
    anonymized = [shown for shown in detector.shown if (shown != SECRET).any(axis=2).all()]
    assert len(anonymized) == 3  # images 1, 5 and 9
    assert len(stored(tmp_path)) == 10


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_last_look_that_fails(tmp_path: Path, on_failure: str) -> None:
    detector = Truthful()
    detector.broken = [False, True, False, False]  # frame 0: detect, last look; frame 1: detect, last look
    chosen = config(tmp_path, privacy={"on_failure": on_failure}, blur={"hold_before_frames": 0})
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(2)])], detector)
    run(pipeline)
    images = stored(tmp_path)
    if on_failure == "drop":
        check_accounts(metrics)
        assert len(images) == 1
        assert metrics.count("frames_dropped", "test", Reason.DETECTOR_ERROR) == 1
    else:
        assert len(images) == 2
        assert sum((image == blur_module.GREY).all() for image in images) == 1
        assert metrics.count("frames_covered_whole", "test", Reason.DETECTOR_ERROR) == 1


# The known face


def test_nothing_is_stored_while_the_known_face_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"good": True}

    def check(detector: Any) -> float:
        if not state["good"]:
            raise CanaryError("the known face is not found")
        return 0.9

    monkeypatch.setattr(canary, "check", check)
    monkeypatch.setattr(pipeline_module, "CANARY_RETRY_SECONDS", 0.0)
    chosen = config(
        tmp_path,
        privacy={"canary_interval_seconds": 1e-9},
        blur={"hold_before_frames": 3, "hold_after_seconds": 0},
    )
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(30)])], Truthful())
    seen: dict[str, list[str]] = {}

    def each(tick: int) -> None:
        captured = metrics.count("frames_captured", "test")
        state["good"] = not 10 <= captured < 20
        if pipeline.canary_error:
            seen["problems"] = read_status(pipeline).problems

    run(pipeline, each)
    check_accounts(metrics)
    dropped = metrics.count("frames_dropped", "test", Reason.CANARY)
    assert 10 <= dropped <= 14  # ten, what waited, and one on the way
    assert any("known face" in problem for problem in seen["problems"])
    assert pipeline.canary_error == ""
    assert no_secret(tmp_path) == 30 - dropped


def test_a_known_face_that_cannot_be_looked_for_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong there: the tick goes on, and nothing is stored."""

    def check(detector: Any) -> float:
        raise MemoryError("no room")

    monkeypatch.setattr(canary, "check", check)
    chosen = config(tmp_path, privacy={"canary_interval_seconds": 1e-9})
    pipeline, metrics = make(chosen, [Played([picture(n) for n in range(5)])], Truthful())
    run(pipeline)
    assert metrics.count("frames_dropped", "test", Reason.CANARY) == 5
    assert stored(tmp_path) == []
    assert "no room" in pipeline.canary_error


def test_a_real_detector_that_goes_blind_is_noticed(small_detector: Detector, tmp_path: Path) -> None:
    blind = Detector.__new__(Detector)
    blind.__dict__.update(small_detector.__dict__)
    blind.score_begin = 0.999
    with pytest.raises(CanaryError, match="known"):
        canary.check(blind)
    assert canary.check(small_detector) > 0.5


# Light


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_dark_frame_is_not_looked_at(tmp_path: Path, on_failure: str) -> None:
    bright = np.random.default_rng(0).integers(60, 200, (120, 160, 3), np.uint8)
    bright[20:100, 20:140] //= 4
    dark = np.random.default_rng(0).integers(0, 3, (120, 160, 3), np.uint8)
    frames = [bright, bright, dark, dark, bright]
    chosen = config(tmp_path, privacy={"check_visibility": True, "on_failure": on_failure, "verify": "off"})
    detector = Truthful()
    pipeline, metrics = make(chosen, [Played(frames)], detector)
    run(pipeline)
    assert not any(shown is dark for shown in detector.shown)
    images = stored(tmp_path)
    if on_failure == "drop":
        check_accounts(metrics)
        assert metrics.count("frames_dropped", "test", Reason.TOO_DARK) == 2
        assert len(images) == 3
    else:
        assert metrics.count("frames_covered_whole", "test", Reason.TOO_DARK) == 2
        assert [bool((image == blur_module.GREY).all()) for image in images] == [
            False,
            False,
            True,
            True,
            False,
        ]


# Load


def at(pipeline: Pipeline, level: Level) -> None:
    """Keep the ladder on one level."""
    pipeline.ladder.level = level
    pipeline.ladder.update = lambda *_: level  # type: ignore[method-assign]


def test_a_stopped_box_stores_nothing(tmp_path: Path) -> None:
    detector = Truthful()
    pipeline, metrics = make(config(tmp_path), [Played([picture(n) for n in range(8)], live=True)], detector)
    at(pipeline, Level.STOPPED)
    run(pipeline)
    check_accounts(metrics)
    assert detector.shown == []
    assert stored(tmp_path) == []
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 8
    status = read_status(pipeline)
    assert status.load_level == "stopped"
    assert any("too slow or too hot" in problem for problem in status.problems)
    assert status.degraded


def test_a_lower_rate_rests_after_each_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Truthful):
        def detect(self, pixels: Pixels, *, tiles: bool = True) -> Detections:
            time.sleep(0.02)
            return super().detect(pixels, tiles=tiles)

    pipeline, metrics = make(
        config(tmp_path, blur={"hold_before_frames": 0}),
        [Played([picture(n) for n in range(20)], live=True)],
        Slow(),
    )
    at(pipeline, Level.LOWER_RATE)
    run(pipeline)
    check_accounts(metrics)
    assert metrics.count("frames_dropped", "test", Reason.LOAD) >= 1
    assert no_secret(tmp_path) == 20 - metrics.count("frames_dropped", "test", Reason.LOAD)


def test_without_tiles_the_detector_is_told_so(tmp_path: Path) -> None:
    detector = Truthful()
    pipeline, _ = make(
        config(tmp_path, privacy={"verify": "off"}, blur={"hold_before_frames": 0}),
        [Played([picture(0)], live=True)],
        detector,
    )
    at(pipeline, Level.NO_TILES)
    run(pipeline)
    assert detector.tiles == [False]


def test_what_moves_is_covered_when_the_detector_misses_it(tmp_path: Path) -> None:
    frames = []
    for n in range(6):
        pixels = np.full((120, 160, 3), 60, np.uint8)
        pixels[40:72, 16 * n : 16 * n + 32] = 200
        frames.append(pixels)
    detector = Truthful()
    chosen = config(tmp_path, blur={"hold_before_frames": 0, "fill": "solid"}, privacy={"verify": "off"})
    pipeline, metrics = make(chosen, [Played(frames, live=True)], detector)
    at(pipeline, Level.MOTION_MASK)
    pipeline._pause_seconds = lambda now: 0.0  # type: ignore[method-assign]
    run(pipeline)
    check_accounts(metrics)
    images = stored(tmp_path)
    assert len(images) == 5
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 1  # nothing to compare the first with
    assert not any((image == 200).all(axis=2).any() for image in images)


# All at once


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_comes_together_no_face_is_stored(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    draw = data.draw
    detector = Truthful()
    detector.broken = draw(st.lists(st.booleans(), max_size=20))
    chosen = config(
        folder,
        privacy={
            "on_failure": draw(st.sampled_from(["drop", "cover"])),
            "verify": draw(st.sampled_from(["always", "sampled", "off"])),
            "canary_interval_seconds": 1e-9,
        },
        blur={
            "hold_before_frames": draw(st.integers(0, 4)),
            "fill": draw(st.sampled_from(["infill", "solid"])),
        },
    )
    live = draw(st.booleans())
    pictures = [picture(n) for n in range(draw(st.integers(1, 12)))]
    pipeline, metrics = make(chosen, [Played(pictures, live)], detector)
    good = draw(st.lists(st.booleans(), min_size=40, max_size=40))
    levels = draw(st.lists(st.sampled_from(list(Level)), min_size=40, max_size=40))
    fails = draw(st.lists(st.booleans(), min_size=40, max_size=40))

    real_write = ImageStore.write

    def write(self: ImageStore, frame: Any) -> Path:
        if fails.pop():
            raise StoreError("disk full")
        return real_write(self, frame)

    def check(checked: Any) -> float:
        if good and not good.pop():
            raise CanaryError("not found")
        return 0.9

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageStore, "write", write)
        patch.setattr(canary, "check", check)
        patch.setattr(pipeline_module, "CANARY_RETRY_SECONDS", 0.0)

        def each(tick: int) -> None:
            if levels:
                at(pipeline, levels.pop())

        run(pipeline, each)
    count = no_secret(folder)
    assert count == metrics.count("images_written", "test")
    check_accounts(metrics)


def test_the_fakes_of_both_files_agree(tmp_path: Path) -> None:
    play(config(tmp_path, privacy={"verify": "off"}), 3, FakeDetector())
    assert no_secret(tmp_path) == 3
