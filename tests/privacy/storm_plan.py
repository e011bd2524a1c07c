"""What hits which frame of a storm: drawn by chance from a seed."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge import blur
from edge.boxes import Floats, Ints
from edge.errors import DetectionError, KnownFaceError
from edge.reasons import Reason
from tests.privacy.faults import BACKGROUND, FILL, GREY, HEIGHT, RED, RED_STEP, SECRET, WIDTH, Image
from tests.privacy.faults_answers import ABSURD, ELSEWHERE, REFUSED, half_blind, with_first
from tests.privacy.faults_cases import CASES, Case
from tests.privacy.faults_deliveries import BREAKS, USELESS, WRONG_SIZE
from tests.privacy.faults_disk import ENCODERS
from tests.privacy.faults_tools import BEGIN_MS, BUGS, MILLISECONDS, Act, Shot, raising

SHARE = 0.5
"""Of the frames, how many are hit; some of those never come so far."""
STEPS = 32
"""How many values each of the two colours has that tell a frame's number."""
MOST_FRAMES = STEPS**2

HONEST = np.zeros(256, np.bool_)
"""Which values of blue a stored image may have: those of the background, of a fill, and of a grey image."""
HONEST[[*BACKGROUND, GREY]] = True
HONEST[FILL[0] : FILL[1] + 1] = True


def picture(number: int, scale: int = 1) -> Image:
    """A frame like ``faults.picture``, with more numbers: uint8 ``[H, W, 3]`` BGR. One face walks to and fro
    in the left half, another one comes and goes in the right half."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = np.resize(np.array(BACKGROUND, np.uint8), WIDTH)
    pixels[..., 1] = RED + RED_STEP * (number // STEPS)
    pixels[..., 2] = RED + RED_STEP * (number % STEPS)
    left = 8 + 2 * abs(number % 40 - 20)
    for x1, y1, x2, y2 in [(left, 40, left + 24, 68)] + [(104, 50, 124, 74)] * (number % 10 > 2):
        y, x = np.mgrid[y1:y2, x1:x2]
        pixels[y1:y2, x1:x2] = np.where((x // 2 + y // 2) % 2, SECRET[1], SECRET[0])[..., None]
    return pixels if scale == 1 else pixels.repeat(scale, axis=0).repeat(scale, axis=1)


SCALE, OTHER_SCALE, STRETCH = 3, 2, 4
"""Of a scene that mostly stands still: how many times as large it is, so that it has parts which can be kept,
but not so large that ``find`` no longer sees a face in the view of the whole frame; the same for frames of
another size; and for how many frames everybody does the same."""


def standing(number: int, scale: int = SCALE) -> Image:
    """A frame of a fixed camera, uint8 ``[H, W, 3]`` BGR. One face stands in the left half, walks, and is in
    another place at once; another one appears in the right half, stands there and is gone. Frames in which
    nothing happens differ in one pixel, which tells the number."""
    pixels = np.full((HEIGHT, WIDTH, 3), RED, np.uint8)
    pixels[..., 0] = np.resize(np.array(BACKGROUND, np.uint8), WIDTH)
    stretch, at = divmod(number, STRETCH)
    left = (8, 8, 8 + 2 * at, 40)[stretch % 4]
    for x1, y1, x2, y2 in [(left, 40, left + 24, 68)] + [(104, 50, 124, 74)] * (stretch % 4 in (1, 2)):
        y, x = np.mgrid[y1:y2, x1:x2]
        pixels[y1:y2, x1:x2] = np.where((x // 2 + y // 2) % 2, SECRET[1], SECRET[0])[..., None]
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    pixels[0, 0, 1:] = RED + RED_STEP * (number // STEPS), RED + RED_STEP * (number % STEPS)
    return pixels


def find(canvas: Image) -> tuple[Floats, Floats]:
    """What the graph of faults_model.py finds in a canvas, uint8 ``[H, W, 3]`` RGB, in a tenth of the time:
    boxes float32 ``[1, 3, 4]`` and scores float32 ``[1, 3]``."""
    middle = canvas.shape[1] // 2
    secret = (canvas[..., 2] < 8) | (canvas[..., 2] > 247)
    found: list[tuple[float, ...]] = []
    for left in (0, middle):
        columns = np.flatnonzero(secret[:, left : left + middle].any(axis=0))
        rows = np.flatnonzero(secret[:, left : left + middle].any(axis=1))
        if len(columns):
            found.append((left + columns[0], rows[0], left + columns[-1] + 1, rows[-1] + 1))
    boxes, scores = np.zeros((1, 3, 4), np.float32), np.full((1, 3), 0.01, np.float32)
    boxes[0, :, 2:] = 1
    boxes[0, : len(found)] = np.reshape(found, (-1, 4))
    scores[0, : len(found)] = 0.92
    return boxes, scores


def number_of(pixels: Image, *, rgb: bool = False) -> int | None:
    """The number of the frame that a picture was made of; None where its corner is covered."""
    blue, green, red = (int(value) for value in (pixels[0, 0, ::-1] if rgb else pixels[0, 0]))
    return (green - RED) // RED_STEP * STEPS + (red - RED) // RED_STEP if blue == BACKGROUND[0] else None


def raw_pieces(image: Image) -> int:
    """How many pixels of a stored image are neither background nor paint."""
    return int((~HONEST[image[..., 0]]).sum())


def shot(pixels: Image, number: int) -> Shot:
    at = number * MILLISECONDS
    return Shot(number, pixels, at / 1000, BEGIN_MS + at)


@dataclass
class Plan:
    """The faults of one play. ``acts``: what happens instead, by place and number of the frame (and of the
    look, for the detector); ``blind``: from which frames on the detector sees nothing until the known face is
    looked for; ``checks``: when that is; ``gated``: what has not changed is not looked at again."""

    case: Case
    runs_at_once: int
    nameless: bool
    gated: bool = False
    items: list[object] = field(default_factory=list)
    in_items: Counter[str] = field(default_factory=Counter)
    looks: dict[tuple[int, int], Act] = field(default_factory=dict)
    acts: dict[str, dict[int, Act]] = field(default_factory=dict)
    blind: set[int] = field(default_factory=set)
    distrust: dict[int, Exception] = field(default_factory=dict)
    checks: set[int] = field(default_factory=set)

    def shot(self, number: int, *, other_size: bool = False) -> Shot:
        """A frame of the scene."""
        if self.gated:
            return shot(standing(number, OTHER_SCALE if other_size else SCALE), number)
        return shot(picture(number, 2 if other_size else 1), number)


def shifted(boxes: Floats, scores: Floats, options: Any) -> tuple[Floats, Floats]:
    return boxes + np.float32(30), scores


MISSES: list[Act] = [shifted, half_blind]
"""What the detector does when it misses a face and says nothing."""
REAL_REGIONS = blur.regions_of
WRONG_REGIONS: list[Callable[[Ints], Ints]] = [
    lambda regions: regions[:0],
    lambda regions: np.asarray(regions + np.array([12, 12, -12, -12]), np.int64),
    lambda regions: np.array([[130, 90, 150, 110]] * len(regions), np.int64).reshape(-1, 4),
]
SITES = ["plan", "settle", "push", "_join", "anonymize", "regions_of", "_infill", "AnonymizedFrame"]
SITES += ["cover_whole", "last_look", "imencode"]
"""Functions in the place of which an error is raised."""
FOUND = with_first((140, 90, 150, 100))
CLOCKS: list[Callable[[Shot], Shot]] = [
    lambda item: replace(item, media=item.media - 100),
    lambda item: replace(item, media=item.media + 100),
    lambda item: replace(item, media=math.inf),
    lambda item: replace(item, media=math.nan),
    lambda item: replace(item, utc_ms=item.utc_ms - 2_000_000_000_000),
    lambda item: replace(item, utc_ms=item.utc_ms + 315_360_000_000),
    lambda item: replace(item, utc_ms=12_000_000_000_000_000),
]


def draw(rng: random.Random, frames: int, hang: Act, *, gated: bool = False) -> Plan:
    """A play of so many frames; ``hang`` is what a detector does that takes too long."""
    plan = Plan(rng.choice(CASES), rng.choice((1, 1, 1, 2)), rng.random() < 0.75, gated)
    if gated:  # the looks of one frame after the other, since tiles do not tell their frame
        plan.runs_at_once = 1
    plan.acts = {site: {} for site in [*SITES, "wrong regions"]}
    checks = [number for number in range(frames) if number % 12 == 0]
    plan.checks = set(checks)
    kinds = [_look] * 5 + [_stage] * 5 + [_delivery] * 4 + [_trust]
    if plan.case.last_look == "always":  # else nobody can know
        kinds += [_lie] * 2
    for number in range(frames):
        before = len(plan.items)
        if rng.random() < SHARE:
            rng.choice(kinds)(plan, rng, number, hang)
        if len(plan.items) == before or not isinstance(plan.items[-1], Shot):
            plan.items.append(plan.shot(number))
    return plan


def _look(plan: Plan, rng: random.Random, number: int, hang: Act) -> None:
    """The detector fails at one look, or finds too much."""
    looks = 2 if plan.case.last_look == "always" else 1
    acts = [act for act, _ in REFUSED.values()] + [*ABSURD.values(), *ELSEWHERE.values()] + [hang] * 5
    plan.looks[number, rng.randrange(looks)] = act = rng.choice(acts)
    if looks == 2 and rng.random() < 0.2:
        plan.looks[number, 1], plan.looks[number, 2] = FOUND, rng.choice([act, FOUND])


def _lie(plan: Plan, rng: random.Random, number: int, hang: Act) -> None:
    """The detector or the blur misses a face at one look, and says nothing."""
    if rng.random() < 0.5:
        plan.looks[number, 0] = rng.choice(MISSES)
    else:
        wrong = rng.choice(WRONG_REGIONS)
        plan.acts["wrong regions"][number] = lambda *args: wrong(REAL_REGIONS(*args))


def _stage(plan: Plan, rng: random.Random, number: int, hang: Act) -> None:
    site = rng.choice(SITES)
    errors = [raising(bug) for bug in BUGS]
    plan.acts[site][number] = rng.choice(list(ENCODERS.values()) if site == "imencode" else errors)


def _delivery(plan: Plan, rng: random.Random, number: int, hang: Act) -> None:
    """Something else than the next frame arrives before it, or the frame is not as it should be."""
    name = rng.choice(["useless", "wrong size", "broken", "repeated", "stale", "size", "clock"])
    item = plan.shot(number)
    choices: dict[str, Callable[[], list[object]]] = {
        "useless": lambda: [rng.choice(list(USELESS.values()))],
        "wrong size": lambda: [rng.choice(list(WRONG_SIZE.values()))],
        "broken": lambda: [rng.choice(list(BREAKS.values()))],
        "repeated": lambda: [item, replace(item, media=item.media + 0.001)],
        "stale": lambda: [replace(item, age=61)],
        "size": lambda: [plan.shot(number, other_size=True)],
        "clock": lambda: [rng.choice(CLOCKS)(item)],
    }
    plan.items += choices[name]()
    plan.in_items[name] += 1


def _trust(plan: Plan, rng: random.Random, number: int, hang: Act) -> None:
    """The detector goes blind until the known face is looked for, or that fails for another reason."""
    if rng.random() < 0.5:
        plan.blind.add(number)
    else:
        errors = [KnownFaceError("not found"), DetectionError(Reason.OVERFLOW, "many"), MemoryError()]
        plan.distrust[number] = rng.choice(errors)
