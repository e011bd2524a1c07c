"""The oracle and the checks of each run notice what they are there for; else no attack means anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import blur
from edge.boxes import Floats, Ints
from edge.config import BlurConfig
from edge.frames import Pixels
from edge.reasons import Reason
from edge.status.metrics import Metrics
from tests.privacy.faults import ALL, FRAMES, GREY, faces, flaw, heads, is_whole, picture
from tests.privacy.faults_cases import CASES, Case
from tests.privacy.faults_tools import Fault, Script, shot, shots
from tests.privacy.faults_world import World
from tests.raw_frames import raw_frame


def stored(number: int, **settings: Any) -> Pixels:
    """A frame as a correct run without hold stores it."""
    frame = raw_frame(picture(number), number)
    boxes = np.array(faces(number), np.float32)
    return np.array(blur.anonymize(frame, boxes, BlurConfig(**settings)).pixels, np.uint8)


def test_a_correct_image_has_no_flaw() -> None:
    for number in range(FRAMES):
        assert flaw(stored(number), number) == ""
        assert flaw(stored(number, margin_sides=0.5), number) == ""
        assert flaw(np.full_like(picture(number), GREY), number) == ""


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda image: picture(3), "secret"),
        (lambda image: stored(2), "outside"),  # of another frame
        (lambda image: image[:60], "shape"),
        (lambda image: stored(3, margin_top=0.3), "not covered"),
        (lambda image: stored(3, region="top"), "secret"),
        (lambda image: stored(3, fill="gaussian", gaussian_sigma=0.1), "shines through"),
        (lambda image: stored(3, fill="mosaic", mosaic_cells=16), "shines through"),
    ],
)
def test_a_wrong_image_has_one(spoil: Callable[[Pixels], Pixels], expected: str) -> None:
    assert expected in flaw(spoil(stored(3)), 3)


def test_a_single_pixel_is_enough() -> None:
    x1, y1, x2, y2 = heads(3)[0]
    for x, y in ((x1, y1), (x2 - 1, y2 - 1), (30, 50)):
        image = stored(3)
        image[y, x] = picture(3)[y, x]
        assert flaw(image, 3)
    image = stored(3)
    image[0, 0, 1] += 1
    assert "outside" in flaw(image, 3)


def test_the_detector_really_looks(world: World) -> None:
    for number in range(FRAMES):
        found = world.detector.detect(picture(number)).at_least(world.detector.score_begin)
        assert found.boxes.tolist() == [list(map(float, box)) for box in faces(number)]
        assert len(world.detector.detect(stored(number)).at_least(0.5).boxes) == 0


def test_what_is_stored_does_not_depend_on_the_secret(world: World) -> None:
    """So that the bytes of a correct run are a fair measure."""
    assert not np.array_equal(picture(0, secret=1), picture(0))
    for case in CASES:
        other = world.play(case, source=Script([shot(number, secret=1) for number in sorted(ALL)]))
        world.check_same(other, case, ALL)


def skip_infill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blur, "_infill", lambda pixels, regions: None)


def forget_the_last_region(monkeypatch: pytest.MonkeyPatch) -> None:
    real = blur.regions_of

    def fewer(boxes: Floats, width: int, height: int, config: BlurConfig) -> Ints:
        return real(boxes, width, height, config)[:-1]

    monkeypatch.setattr(blur, "regions_of", fewer)


def lose_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metrics, "dropped", lambda self, camera, reason: None)


def write_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: real(self)[:-20])


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (skip_infill, "secret"),
        (forget_the_last_region, "secret"),
        (lose_a_count, "6 captured, 5 written, 0 dropped"),
        (write_halves, "whole image"),
    ],
)
def test_each_run_is_checked(
    world: World, spoil: Callable[[pytest.MonkeyPatch], None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    fault = Fault({0}, lambda *args: None)
    with pytest.raises(AssertionError, match=expected):
        world.play(Case(), {0: fault})
    assert fault.fired == [0]


def test_a_frame_that_is_stored_twice_is_noticed(world: World) -> None:
    with pytest.raises(AssertionError, match="stored twice"):
        world.play(Case(), source=Script([*shots(), shot(5)]))


def test_a_fault_that_does_not_fire_is_noticed(world: World) -> None:
    fault = Fault({0, 5}, lambda boxes, scores, options: (boxes, scores))
    run = world.play(Case(), {0: fault}, source=Script(shots()[:5]))
    with pytest.raises(AssertionError, match="fired at"):
        world.check_failed(run, Case(), fault, Reason.DETECTOR_ERROR)


def test_a_frame_that_is_covered_whole_without_a_reason_is_noticed(world: World) -> None:
    run = world.play(Case(on_failure="cover"), {0: Fault({2}, lambda *args: None)})
    assert is_whole(run.images[2].pixels)
    with pytest.raises(AssertionError):
        world.check_stored(run, Case())
    with pytest.raises(AssertionError, match="differ"):
        world.check_same(run, Case(), ALL)
