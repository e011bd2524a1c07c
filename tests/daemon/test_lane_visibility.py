"""Visibility in a camera's lane: the detector does not run on frames that show too little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.detection import visibility
from edge.frames import Pixels
from edge.reasons import Reason
from tests.daemon.playing import (
    Played,
    Truthful,
    check_accounts,
    config,
    is_whole,
    make,
    no_secret,
    number_of,
    play,
    run,
    stored,
)


def judge(monkeypatch: pytest.MonkeyPatch, problems: dict[int, Reason | Exception]) -> None:
    """Let the check of visibility give these results for some pictures."""

    def problem(pixels: Pixels) -> Reason | None:
        said = problems.get(number_of(pixels))
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(visibility, "problem", problem)


LIGHT = {"check_visibility": True}


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_the_detector_does_not_run_on_a_dark_frame(tmp_path: Path, on_failure: str) -> None:
    """With the real check of visibility."""
    bright = np.random.default_rng(0).integers(60, 200, (120, 160, 3), np.uint8)
    bright[20:100, 20:140] //= 4
    dark = np.random.default_rng(0).integers(0, 3, (120, 160, 3), np.uint8)
    frames = [bright, bright[::-1].copy(), dark, dark, bright]
    detector = Truthful()
    chosen = config(tmp_path, privacy={**LIGHT, "on_failure": on_failure, "last_look": "off"})
    pipeline, metrics = make(chosen, [Played(frames)], detector)
    run(pipeline)
    check_accounts(metrics)
    assert detector.looks == 3
    whole = [is_whole(image) for image in stored(tmp_path)]
    if on_failure == "drop":
        assert metrics.count("frames_dropped", "test", Reason.TOO_DARK) == 2
        assert whole == [False] * 3
    else:
        assert metrics.count("frames_covered_whole", "test", Reason.TOO_DARK) == 2
        assert whole == [False, False, True, True, False]


@pytest.mark.parametrize("reason", [Reason.TOO_DARK, Reason.TOO_BLURRED, Reason.OBSTRUCTED])
@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_each_problem_is_counted_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: Reason, on_failure: str
) -> None:
    judge(monkeypatch, {2: reason, 3: reason, 7: reason})
    detector = Truthful()
    _, metrics = play(config(tmp_path, privacy={**LIGHT, "on_failure": on_failure}), 9, detector)
    counter = "frames_dropped" if on_failure == "drop" else "frames_covered_whole"
    assert metrics.count(counter, "test", reason) == 3
    assert sum(metrics.count(counter, "test", other) for other in Reason) == 3
    assert detector.raw == [0, 1, 4, 5, 6, 8]
    assert no_secret(tmp_path) == (6 if on_failure == "drop" else 9)


def test_a_visibility_check_that_fails_drops_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(monkeypatch, {4: RuntimeError("bug"), 5: MemoryError()})
    _, metrics = play(config(tmp_path, privacy=LIGHT), 9, Truthful())
    assert metrics.count("frames_dropped", "test", Reason.DETECTOR_ERROR) == 2
    assert [number_of(image) for image in stored(tmp_path)] == [0, 1, 2, 3, 6, 7, 8]


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_face_from_before_the_dark_stays_covered_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    """The detector misses it in the first frames after a flicker."""
    judge(monkeypatch, dict.fromkeys((5, 6, 7), Reason.TOO_DARK))
    detector = Truthful()
    detector.blind_to = {8, 9, 10, 11}
    chosen = config(tmp_path, privacy={**LIGHT, "on_failure": on_failure, "last_look": "off"})
    _, metrics = play(chosen, 12, detector)
    assert no_secret(tmp_path) == (9 if on_failure == "drop" else 12)
    assert metrics.count("regions_held", "test") >= 4


@pytest.mark.parametrize("on_failure", ["drop", "cover"])
def test_a_face_that_is_found_after_the_dark_is_covered_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_failure: str
) -> None:
    judge(monkeypatch, dict.fromkeys((3, 4), Reason.OBSTRUCTED))
    detector = Truthful()
    detector.blind_to = {0, 1, 2}
    chosen = config(tmp_path, privacy={**LIGHT, "on_failure": on_failure, "last_look": "off"})
    play(chosen, 9, detector)
    assert no_secret(tmp_path) == (7 if on_failure == "drop" else 9)
