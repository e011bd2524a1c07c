"""The change gate with a shipped detector: a face that a look at everything finds is not overlooked.

Portraits are pasted into an empty scene at falling contrast, and what the gate looks at is compared with a
look at everything of the same frame. The gate may be later only where no block of the face has changed by
more than its limit, and then by ``sweep_seconds`` at most.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from edge.boxes import Floats, iou
from edge.config import DetectorConfig
from edge.detection.detector import Detections, Detector, open_detector
from edge.detection.gate import LEAST_LEVELS, MOST_LEVELS, Gate, Plan
from edge.detection.session import read_detector
from edge.detection.views import Search
from edge.frames import Pixels
from edge.pictures import read_picture
from tests.conftest import DATA

WIDTH, HEIGHT = 1280, 720
SEARCH = Search(20, in_parts=True)
SWEEP = 2.0
PORTRAITS = {"astronaut": (178, 82, 270, 180), "hopper": (173, 152, 368, 347)}
"""The face in each picture, ``x1 y1 x2 y2``."""
SURROUNDINGS = 0.3
"""How much of a head is pasted around the face, as a share of its width."""
ALPHAS = (1.0, 0.5, 0.25, 0.12, 0.08, 0.06, 0.045, 0.035, 0.03, 0.02)
"""Shares of the portrait in the picture; at the last ones nobody would see a face."""
SEEN = 0.045
"""From this share on, no face has to wait where the camera's noise is moderate."""
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class Patch(NamedTuple):
    """What is pasted: float32 ``[H, W, 3]`` BGR, how much of it counts (``[H, W, 1]``, 0..1), and the face in
    it, float32 ``[1, 4]``."""

    pixels: Floats
    weight: Floats
    face: Floats


class Spot(NamedTuple):
    """A face in a scene (pixels of which are meant): its patch lies at ``x``, ``y``; ``face`` is float32
    ``[1, 4]``."""

    x: int
    y: int
    patch: Patch
    alpha: float
    what: str

    @property
    def area(self) -> tuple[slice, slice]:
        height, width = self.patch.pixels.shape[:2]
        return slice(self.y, self.y + height), slice(self.x, self.x + width)

    @property
    def face(self) -> Floats:
        return self.patch.face + np.array([self.x, self.y, self.x, self.y], np.float32)


class Late(NamedTuple):
    """A face that was not looked at when it appeared, and by how many levels it changed a block at most."""

    what: str
    alpha: float
    change: int
    limit: float


@pytest.fixture(scope="module")
def shipped() -> Detector:
    config = DetectorConfig(provider="cpu", threads=1)
    return open_detector(read_detector(None), config)


@cache
def patch(name: str, width: int, *, oval: bool = False) -> Patch:
    """A portrait whose face is ``width`` pixels wide: with its surroundings, or an oval of the face alone."""
    x1, y1, x2, y2 = PORTRAITS[name]
    around = 0 if oval else round(SURROUNDINGS * (x2 - x1))
    scale = width / (x2 - x1)
    cut = read_picture(DATA / f"{name}.jpg").pixels[y1 - around : y2 + around, x1 - around : x2 + around]
    small = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, wide = small.shape[:2]
    weight = np.ones((height, wide, 1), np.float32)
    if oval:
        down, across = np.mgrid[1 - height : height : 2, 1 - wide : wide : 2]
        from_centre = (across / wide) ** 2 + (down / height) ** 2
        weight[..., 0] = np.clip(4 * (1 - from_centre), 0, 1)
    edge = around * scale
    face = np.array([[edge, edge, wide - edge, height - edge]], np.float32)
    return Patch(np.asarray(small, np.float32), weight, face)


def scene(background: str, name: str) -> Floats:
    """An empty scene, float32 ``[H, W, 3]``: of the mean colour of a portrait, dark, or textured."""
    empty = np.full((HEIGHT, WIDTH, 3), 20, np.float32)
    if background == "mean":
        empty[:] = np.rint(patch(name, 60).pixels.mean(axis=(0, 1)))
    elif background == "texture":
        coarse = np.random.default_rng(2).normal(110, 8, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.float32)
        empty = np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.float32)
    return empty


def paste(picture: Floats, spot: Spot) -> None:
    below = picture[spot.area]
    below += spot.alpha * spot.patch.weight * (spot.patch.pixels - below)


def with_face(empty: Floats, spot: Spot) -> Floats:
    picture: Floats = np.array(empty)
    paste(picture, spot)
    return picture


def camera(sigma: float) -> Callable[[Floats], Pixels]:
    """Takes pictures with Gaussian noise of ``sigma`` levels per pixel."""
    random = np.random.default_rng(4)

    def take(picture: Floats) -> Pixels:
        noise = sigma * random.standard_normal(picture.shape, np.float32) if sigma else np.float32(0)
        return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)

    return take


def knowing(detector: Detector, frames: Iterator[Pixels]) -> Gate:
    """A gate that has seen these frames, in which nothing was found; the last was at 0 seconds."""
    gate, shown = Gate(detector, SEARCH, SWEEP), list(frames)
    for number, frame in enumerate(shown):
        plan = gate.plan(frame, (number + 1 - len(shown)) / 100)
        gate.settle(plan, [NOTHING] * len(plan.views))
    return gate


def see(gate: Gate, detector: Detector, frame: Pixels, seconds: float) -> Detections:
    """What the gate says of a frame."""
    plan = gate.plan(frame, seconds)
    found = gate.settle(plan, detector.look(frame, plan.views))
    return detector.combine(found, WIDTH, HEIGHT)


def finds(detector: Detector, found: Detections, face: Floats) -> bool:
    """Whether one of the detections is this face."""
    strong = found.at_least(detector.score_begin).boxes
    return bool(iou(face, strong).max(initial=0) > 0.3)


def whole_look(detector: Detector, frame: Pixels) -> Detections:
    return detector.detect(frame, SEARCH)


def crowd(name: str) -> list[Spot]:
    """Faces of all sizes and contrasts, each in a place of its own."""
    random = np.random.default_rng(7)
    spots = []
    for row, (width, oval) in enumerate((w, o) for w in (20, 30, 60) for o in (False, True)):
        for column, alpha in enumerate(ALPHAS):
            x, y = np.array([column * 128 + 8, row * 120 + 2]) + random.integers(0, 12, 2)
            what = f"{name} {width} px {'oval' if oval else 'head'} alpha {alpha}"
            spots.append(Spot(int(x), int(y), patch(name, width, oval=oval), alpha, what))
    return spots


def looked_at(gate: Gate, plan: Plan, box: Floats) -> bool:
    """Whether a block of this face (float32 ``[1, 4]``) is looked at in the finest level."""
    level, mask = plan.levels[-1], plan.masks[-1]
    return bool(gate.blocks.touching(level.view, box, mask)[0])


def change_of(gate: Gate, frame: Pixels, reference: Pixels, face: Floats) -> int:
    """The largest change of a block that a face (float32 ``[1, 4]``) touches, in levels."""
    x1, y1 = (face[0, :2] // gate.blocks.side).astype(int)
    x2, y2 = np.ceil(face[0, 2:] / gate.blocks.side).astype(int)
    change = np.abs(gate.blocks.means(frame).astype(int) - reference.astype(int))
    return int(change[y1:y2, x1:x2].max())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PORTRAITS))
@pytest.mark.parametrize("background", ["mean", "dark", "texture"])
@pytest.mark.parametrize("sigma", [0, 3, 8])
def test_a_face_is_looked_at_in_the_frame_in_which_it_appears(
    shipped: Detector, sigma: int, background: str, name: str
) -> None:
    """At every contrast at which a look at everything finds it, unless its change is within the limit."""
    empty, take, spots = scene(background, name), camera(sigma), crowd(name)
    gate = knowing(shipped, (take(empty) for _ in range(4)))
    assert gate.noise is not None
    before = take(empty)
    picture = empty.copy()
    for spot in spots:
        paste(picture, spot)
    crowded = take(picture)
    found = whole_look(shipped, crowded)
    faces, late = 0, []
    for spot in spots:
        if not finds(shipped, found, spot.face):
            continue
        faces += 1
        frame = before.copy()
        frame[spot.area] = crowded[spot.area]
        trial = copy.deepcopy(gate, {id(shipped): shipped})
        reference = trial._levels[-1].reference.copy()
        plan = trial.plan(frame, 0.1)
        if not looked_at(trial, plan, spot.face):
            change = change_of(trial, frame, reference, spot.face)
            late.append(Late(spot.what, spot.alpha, change, trial.limit))
    assert faces >= 10
    assert [each for each in late if each.change > each.limit] == []
    assert [each for each in late if each.alpha >= (SEEN if sigma < 8 else 2 * SEEN)] == []
    assert len(late) <= faces // 10


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0, 3, 8])
def test_what_is_looked_at_is_found(shipped: Detector, sigma: int) -> None:
    """In one single frame, and never again."""
    empty, take = scene("mean", "astronaut"), camera(sigma)
    gate = knowing(shipped, (take(empty) for _ in range(4)))
    for number, width in enumerate((20, 30, 60)):
        spot = Spot(203 + 300 * number, 317, patch("astronaut", width), 1.0, "")
        frame = take(with_face(empty, spot))
        assert finds(shipped, whole_look(shipped, frame), spot.face)
        assert finds(shipped, see(gate, shipped, frame, 0.1 + 0.2 * number), spot.face)
        assert not finds(shipped, see(gate, shipped, take(empty), 0.2 + 0.2 * number), spot.face)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.04, 0.06])
def test_a_face_within_a_raised_limit_is_found_within_the_sweep(shipped: Detector, alpha: float) -> None:
    """Leaves flicker in a part of the picture and raise the limit above what the face changes elsewhere."""
    empty, random = scene("mean", "hopper"), np.random.default_rng(9)

    def flickering(picture: Floats) -> Pixels:
        frame = picture.copy()
        leaves = random.integers(-3, 4, (HEIGHT // 8, 40, 1)).astype(np.float32)
        frame[:, :320] += leaves.repeat(8, axis=0).repeat(8, axis=1)
        return np.asarray(np.rint(frame), np.uint8)

    gate = knowing(shipped, (flickering(empty) for _ in range(6)))
    assert LEAST_LEVELS < gate.limit <= MOST_LEVELS
    spot = Spot(803, 317, patch("hopper", 60), alpha, "")
    picture = with_face(empty, spot)
    assert finds(shipped, whole_look(shipped, flickering(picture)), spot.face)
    times = [0.1 * number for number in range(1, 22)]
    found_at = next(t for t in times if finds(shipped, see(gate, shipped, flickering(picture), t), spot.face))
    assert found_at <= 0.1 + SWEEP


def first_times(
    detector: Detector, film: Callable[[float], tuple[Pixels, Floats]], every: int
) -> tuple[float, float]:
    """When a face is first found in a film of 10 frames a second: by a look at everything of each
    ``every``-th frame, and by the gate."""
    gate, by_whole, by_gate = Gate(detector, SEARCH, SWEEP), float("inf"), float("inf")
    for number in range(150):
        seconds = number / 10
        frame, face = film(seconds)
        found = see(gate, detector, frame, seconds)
        if by_gate == float("inf") and finds(detector, found, face):
            by_gate = seconds
        if number % every == 0 and by_whole == float("inf"):
            by_whole = seconds if finds(detector, whole_look(detector, frame), face) else by_whole
        if max(by_whole, by_gate) < float("inf"):
            break
    return by_whole, by_gate


@pytest.mark.slow
@pytest.mark.parametrize("background", ["mean", "dark"])
def test_a_face_that_creeps_in_is_found_in_time(shipped: Detector, background: str) -> None:
    """At one pixel a second from the left."""
    empty, head = scene(background, "astronaut"), patch("astronaut", 20)
    height, width = head.pixels.shape[:2]

    def film(seconds: float) -> tuple[Pixels, Floats]:
        x = seconds - 11
        shift = np.array([[1, 0, x], [0, 1, 300]], np.float32)
        moved = cv2.warpAffine(head.pixels, shift, (WIDTH, HEIGHT))
        weight = cv2.warpAffine(head.weight, shift, (WIDTH, HEIGHT))[..., None]
        face = np.clip(head.face + np.array([x, 300, x, 300], np.float32), 0, None)
        return np.asarray(np.rint(empty * (1 - weight) + moved * weight), np.uint8), face

    assert width > 20
    assert height > 20
    by_whole, by_gate = first_times(shipped, film, 10)
    assert 0 < by_whole < float("inf")
    assert by_gate <= by_whole + SWEEP


@pytest.mark.slow
@pytest.mark.parametrize(
    ("background", "width"), [("mean", 20), ("dark", 20), ("mean", 60), ("dark", 60), ("texture", 60)]
)
def test_a_face_that_fades_in_is_found_in_time(shipped: Detector, background: str, width: int) -> None:
    """In ten seconds: from one frame to the next it never exceeds the limit."""
    empty, head = scene(background, "hopper"), patch("hopper", width)

    def film(seconds: float) -> tuple[Pixels, Floats]:
        spot = Spot(500, 300, head, min(seconds / 10, 1.0), "")
        return np.rint(with_face(empty, spot)).clip(0, 255).astype(np.uint8), spot.face

    by_whole, by_gate = first_times(shipped, film, 2)
    assert 0 < by_whole < 10
    assert by_gate <= by_whole + SWEEP


LIGHT = {
    "gain": lambda picture: picture * 1.15,
    "a little more gain": lambda picture: picture * 1.05,
    "lamp": lambda picture: picture + 8 + 90 * np.exp(-(((np.arange(WIDTH) - 400) / 300) ** 2))[:, None],
    "dark": lambda picture: picture * 0.3,
}


@pytest.mark.parametrize("sigma", [0, 3])
@pytest.mark.parametrize("light", LIGHT)
def test_everything_is_looked_at_when_the_light_changes(shipped: Detector, light: str, sigma: int) -> None:
    take = camera(sigma)
    empty = np.full((HEIGHT, WIDTH, 3), 120, np.float32)
    gate = knowing(shipped, (take(empty) for _ in range(4)))
    plan = gate.plan(take(np.asarray(LIGHT[light](empty), np.float32)), 0.1)
    assert plan.kept == 0
    assert [level.view for level in plan.levels] == shipped.views(WIDTH, HEIGHT, SEARCH)
    seen = {(view.x1, view.y1, view.x2, view.y2) for view in plan.views}
    assert seen == {(0, 0, WIDTH, HEIGHT)}
    assert all(mask.mean() > 0.95 for mask in plan.masks)


@pytest.mark.slow
def test_a_face_that_appears_in_the_rain_is_found(shipped: Detector) -> None:
    empty, random = scene("texture", "astronaut"), np.random.default_rng(11)

    def raining(picture: Floats) -> Pixels:
        frame = picture.copy()
        for x, y in random.integers(0, [WIDTH - 2, HEIGHT - 14], (300, 2)):
            frame[y : y + 14, x : x + 1] += 70
        return np.asarray(np.clip(np.rint(frame), 0, 255), np.uint8)

    gate = knowing(shipped, (raining(empty) for _ in range(12)))
    picture = empty.copy()
    spots = [
        Spot(60 + 150 * number, 80 + 200 * row, patch(name, width), alpha, f"{name} {width} {alpha}")
        for number, (width, name) in enumerate((w, n) for w in (20, 30, 60) for n in PORTRAITS)
        for row, alpha in enumerate((1.0, 0.7, 0.5))
    ]
    for spot in spots:
        paste(picture, spot)
    frame = raining(picture)
    plan = gate.plan(frame, 0.1)
    kept = shipped.combine(gate.settle(plan, shipped.look(frame, plan.views)), WIDTH, HEIGHT)
    found = whole_look(shipped, frame)
    seen = [spot for spot in spots if finds(shipped, found, spot.face)]
    assert len(seen) >= 10
    assert [spot.what for spot in seen if not looked_at(gate, plan, spot.face)] == []
    assert [spot.what for spot in seen if not finds(shipped, kept, spot.face)] == []
