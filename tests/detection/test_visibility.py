"""Frames on which nobody can tell whether a face is there, and frames on which one can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.detection.visibility import LONG_SIDE, Visibility, measure, problem, shrink
from edge.frames import MIN_SIDE, Pixels
from edge.pictures import read_picture
from edge.reasons import Reason
from edge.sources.synthetic import draw_wall, view
from tests.conftest import DATA

Change = Callable[[Pixels], Pixels]


def noisy(picture: npt.NDArray[Any], deviation: float = 2.0) -> Pixels:
    noise = np.random.default_rng(1).normal(0, deviation, picture.shape)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)


def darkened(gain: float) -> Change:
    return lambda pixels: noisy(pixels * gain)


def fog(contrast: float, level: float) -> Change:
    return lambda pixels: noisy(level * (1 - contrast) + pixels * contrast)


def defocused(radius: float) -> Change:
    """A disk, its radius in pixels of a picture of 640."""

    def change(pixels: Pixels) -> Pixels:
        half = round(radius * max(pixels.shape[:2]) / 640)
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * half + 1, 2 * half + 1)).astype(np.float32)
        soft = cv2.filter2D(pixels, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT_101)
        return noisy(np.asarray(soft, np.float32))

    return change


def moved(length: float, upright: bool) -> Change:
    def change(pixels: Pixels) -> Pixels:
        size = round(length * max(pixels.shape[:2]) / 640)
        soft = cv2.blur(pixels, (1, size) if upright else (size, 1))
        return noisy(np.asarray(soft, np.float32))

    return change


def with_clock(pixels: Pixels) -> Pixels:
    """The line of text that a camera burns into its picture."""
    marked: Pixels = pixels.copy()
    size = pixels.shape[1] / 1280
    for text, place in (("2026-01-01 12:00:00", (20, 40)), ("CAM 1", (1100, 700))):
        position = (round(place[0] * size), round(place[1] * size))
        cv2.putText(marked, text, position, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2)
    return marked


@pytest.fixture(scope="module", params=["astronaut.jpg", "hopper.jpg", "synthetic"])
def scene(request: pytest.FixtureRequest) -> Pixels:
    if request.param == "synthetic":
        return view(draw_wall(), 3.0)
    return read_picture(DATA / str(request.param)).pixels


def test_an_ordinary_picture_has_no_problem(scene: Pixels) -> None:
    assert problem(scene) is None


def test_the_synthetic_camera_has_no_problem() -> None:
    wall = draw_wall()
    assert {problem(view(wall, n / 2)) for n in range(40)} == {None}


@pytest.mark.parametrize(
    "change",
    [
        darkened(0.2),
        fog(0.2, 180),
        fog(0.2, 60),
        defocused(2),
        moved(4, upright=False),
        lambda pixels: noisy(pixels.astype(np.float32), 15),
        lambda pixels: cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        lambda pixels: pixels[:, ::-1],
        lambda pixels: pixels.transpose(1, 0, 2),
        lambda pixels: cv2.resize(pixels, (3840, 2160), interpolation=cv2.INTER_AREA),
        with_clock,
    ],
    ids=[
        "dim", "haze", "dirty lens", "a little soft", "slow motion", "some grain", "infra-red", "mirrored",
        "turned", "4K", "clock",
    ],
)  # fmt: skip
def test_a_picture_on_which_faces_are_still_found_has_no_problem(scene: Pixels, change: Change) -> None:
    assert problem(change(scene)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (darkened(0.02), Reason.TOO_DARK),
        (lambda pixels: noisy(pixels.astype(np.float32) * 0.2, 60), Reason.TOO_DARK),
        (fog(0.03, 180), Reason.OBSTRUCTED),
        (fog(0.03, 60), Reason.OBSTRUCTED),
        (lambda pixels: noisy(pixels.astype(np.float32) * 400), Reason.TOO_BRIGHT),
        (defocused(16), Reason.TOO_BLURRED),
        (moved(48, upright=False), Reason.TOO_BLURRED),
        (moved(48, upright=True), Reason.TOO_BLURRED),
    ],
    ids=["dark", "grain", "fog", "foil", "blown out", "defocused", "moved sideways", "moved up"],
)
def test_a_picture_on_which_faces_are_lost_is_refused(scene: Pixels, change: Change, reason: Reason) -> None:
    worse = change(scene)
    assert problem(worse) is reason
    # A line of burnt-in text is sharp and bright, and changes nothing.
    assert problem(with_clock(worse)) is reason


def test_worse_reads_worse(astronaut: Pixels) -> None:
    """The measures fall with what they measure, so that a threshold means something."""
    dark = [measure(darkened(gain)(astronaut)).structure for gain in (0.5, 0.2, 0.1, 0.05, 0.02)]
    assert dark == sorted(dark, reverse=True)
    soft = [measure(defocused(radius)(astronaut)).sharpness for radius in (2, 4, 8, 16)]
    assert soft == sorted(soft, reverse=True)
    for deviation in (5, 10, 20):
        flat = np.full((400, 320, 3), 128.0)
        grey = noisy(flat + np.zeros((400, 320, 1)), deviation)
        grey[:] = grey[..., :1]  # the same noise in all colours, no shrinking: the deviation itself
        assert measure(np.ascontiguousarray(grey[:300])).noise == pytest.approx(deviation, rel=0.05)


def test_one_lamp_in_the_dark_is_still_the_dark(scene: Pixels) -> None:
    night = scene.astype(np.float32) * 0.02
    height, width = night.shape[:2]
    cv2.circle(night, (width // 3, height // 5), width // 25, (255, 255, 255), cv2.FILLED)
    assert problem(noisy(night)) is Reason.TOO_DARK


@pytest.mark.parametrize("size", [(16, 16), (17, 900), (900, 17), (240, 320), (1080, 1920)])
def test_a_frame_of_noise_or_of_one_colour_shows_nothing(size: tuple[int, int]) -> None:
    black = noisy(np.zeros((*size, 3)), 3.0)
    assert problem(black) is Reason.TOO_DARK
    assert problem(np.zeros((*size, 3), np.uint8)) is Reason.TOO_DARK
    assert problem(np.full((*size, 3), 128, np.uint8)) is Reason.OBSTRUCTED
    assert problem(np.full((*size, 3), 255, np.uint8)) is Reason.TOO_BRIGHT


def test_a_hand_before_the_lens_shows_nothing() -> None:
    """Reddish, soft, brighter to one side."""
    light = np.linspace(40, 110, 1280)[None, :, None] * np.linspace(0.7, 1.0, 720)[:, None, None]
    assert problem(noisy(light * np.array([0.3, 0.4, 1.0]))) is Reason.OBSTRUCTED


@pytest.mark.parametrize("width", [320, 1280])
def test_stripes_of_one_pixel_average_to_nothing(width: int) -> None:
    stripes = np.zeros((width * 9 // 16, width, 3), np.uint8)
    stripes[:, ::2] = 255
    assert problem(stripes) is Reason.OBSTRUCTED


@pytest.mark.parametrize(("level", "height"), [(190, 90), (190, 300), (3, 300)])
def test_a_plain_room_with_one_person_has_no_problem(astronaut: Pixels, level: int, height: int) -> None:
    """A white wall, or a stage: most of the frame shows nothing, and all is well."""
    room = np.full((720, 1280, 3), level, np.uint8)
    room[200 : 200 + height, 500 : 500 + height] = cv2.resize(
        astronaut, (height, height), interpolation=cv2.INTER_AREA
    )
    assert problem(noisy(room)) is None


def test_half_a_covered_lens_is_not_seen(scene: Pixels) -> None:
    """A known limit (docs/visibility.md): the other half is a picture like any other."""
    half = scene.copy()
    half[:, : half.shape[1] // 2] = 20
    assert problem(half) is None


def test_reading_order_and_memory_layout_do_not_matter(astronaut: Pixels) -> None:
    window = np.pad(astronaut, ((3, 5), (7, 2), (0, 0)))[3:-5, 7:-2]
    assert not window.flags.c_contiguous
    assert measure(window) == measure(astronaut) == measure(astronaut.copy())
    before = astronaut.copy()
    problem(astronaut)
    np.testing.assert_array_equal(astronaut, before)


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1080, 1920), (180, 320)),
        ((1920, 1080), (320, 180)),
        ((100, 200), (100, 200)),
        ((16, 16), (16, 16)),
        ((16, 5000), (16, 5000)),
        ((100, 16000), (16, 2560)),
    ],
)
def test_the_shrunken_frame_keeps_its_aspect(size: tuple[int, int], small: tuple[int, int]) -> None:
    result = shrink(np.zeros((*size, 3), np.uint8))
    assert result.shape == small
    assert min(small) >= MIN_SIDE
    assert max(small) <= max(LONG_SIDE, MIN_SIDE * max(size) / min(size))


frames = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(16, 80), st.integers(16, 80), st.just(3)),
    elements=st.integers(0, 255),
)


@given(frames, st.integers(1, 9), st.integers(1, 9))
def test_any_frame_gives_finite_measures_and_one_answer(pixels: Pixels, down: int, right: int) -> None:
    large = pixels.repeat(down, axis=0).repeat(right, axis=1)
    seen = measure(large)
    assert all(np.isfinite(value) and value >= 0 for value in vars(seen).values())
    assert seen.blown_share <= 1
    assert seen.light <= 255
    assert problem(large) is seen.problem is problem(large.copy())
    assert seen.problem in (None, Reason.TOO_DARK, Reason.TOO_BLURRED, Reason.TOO_BRIGHT, Reason.OBSTRUCTED)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Visibility(light=120, noise=1, structure=40, sharpness=2.5, blown_share=0), None),
        (Visibility(light=10, noise=1, structure=40, sharpness=2.5, blown_share=0), None),
        (Visibility(light=10, noise=1, structure=3, sharpness=2.5, blown_share=0), Reason.TOO_DARK),
        (Visibility(light=120, noise=9, structure=3, sharpness=2.5, blown_share=0), Reason.TOO_DARK),
        (Visibility(light=120, noise=1, structure=3, sharpness=1.0, blown_share=0), Reason.OBSTRUCTED),
        (Visibility(light=250, noise=1, structure=40, sharpness=2.5, blown_share=0.9), Reason.TOO_BRIGHT),
        (Visibility(light=120, noise=1, structure=40, sharpness=1.2, blown_share=0), Reason.TOO_BLURRED),
    ],
)
def test_which_measure_gives_which_reason(seen: Visibility, reason: Reason | None) -> None:
    assert seen.problem is reason


@pytest.mark.shared
def test_no_false_alarm_on_real_clips(shared_data: Path) -> None:
    clips = sorted((shared_data / "clips").glob("*.mp4"))
    assert clips
    for clip in clips:
        film = cv2.VideoCapture(str(clip))
        number, seen = 0, set()
        while film.grab():
            if number % 25 == 0:
                seen.add(problem(np.asarray(film.retrieve()[1], np.uint8)))
            number += 1
        film.release()
        assert seen == {None}, clip.name
