"""The change gate: what has changed is looked at, what has not is kept, and every part has its turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge.boxes import iou
from edge.detection.detector import Detections
from edge.detection.gate import FEW_BLOCKS, LEAST_LEVELS, MOST_LEVELS, Gate, Plan
from edge.detection.joint import AnyDetector
from edge.detection.views import Canvas, Search, View
from edge.errors import DetectionError
from edge.frames import Pixels
from tests.detection.painted import FACE, Painted, paint
from tests.joint import joint

WIDTH, HEIGHT = 1280, 720
SEARCH = Search(20, in_parts=True)
SWEEP = 2.0
STILL: Pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
STILL.setflags(write=False)


class Lane:
    """A gate with its detector: plans, looks and settles frames one after the other."""

    def __init__(self, detector: AnyDetector | None = None, sweep_seconds: float = SWEEP) -> None:
        self.detector: AnyDetector = detector or Painted()
        self.gate = Gate(self.detector, SEARCH, sweep_seconds)
        self.seconds = 0.0

    def plan(self, pixels: Pixels, seconds: float | None = None) -> Plan:
        """Plan the next frame, a tenth of a second after the last one unless ``seconds`` says otherwise."""
        self.seconds = self.seconds + 0.1 if seconds is None else seconds
        return self.gate.plan(pixels, self.seconds)

    def settle(self, pixels: Pixels, plan: Plan) -> list[list[float]]:
        found = self.gate.settle(plan, self.detector.look(pixels, plan.views))
        boxes = self.detector.combine(found, pixels.shape[1], pixels.shape[0]).boxes
        return sorted(boxes.tolist())

    def __call__(self, pixels: Pixels, seconds: float | None = None) -> list[list[float]]:
        """What is found in the next frame."""
        return self.settle(pixels, self.plan(pixels, seconds))


def square(x: int, y: int, side: int = 24) -> list[float]:
    return [x, y, x + side, y + side]


def everything(plan: Plan) -> bool:
    return plan.kept == 0 and all(mask.all() for mask in plan.masks)


def finest(plan: Plan) -> View:
    """The one view that is looked at in the finest level."""
    fine = [v for v, owner in zip(plan.views, plan.owners, strict=True) if owner == len(plan.levels) - 1]
    assert len(fine) == 1
    return fine[0]


def noisy(sigma: float, frames: int, base: Pixels = STILL) -> Iterator[Pixels]:
    """Frames of a camera with Gaussian noise of ``sigma`` levels per pixel."""
    random = np.random.default_rng(5)
    for _ in range(frames):
        yield np.clip(np.rint(base + random.normal(0, sigma, base.shape)), 0, 255).astype(np.uint8)


def test_the_first_frame_is_looked_at_whole() -> None:
    lane = Lane()
    plan = lane.plan(STILL)
    assert everything(plan)
    assert list(plan.views) == lane.detector.views(WIDTH, HEIGHT, SEARCH)
    assert plan.owners == tuple(range(len(plan.views)))
    assert plan.swept == 0
    assert plan.looked == sum(len(level.parts) for level in plan.levels) > 1


def test_a_frame_in_which_nothing_has_changed_is_not_looked_at() -> None:
    lane = Lane()
    assert lane(paint(STILL, 300, 200)) == [square(300, 200)]
    plan = lane.plan(paint(STILL, 300, 200))
    assert (plan.views, plan.looked, plan.swept) == ((), 0, 0)
    assert plan.kept == sum(len(level.parts) for level in plan.levels)
    assert lane.settle(paint(STILL, 300, 200), plan) == [square(300, 200)]


@pytest.mark.parametrize("place", [(0, 0), (700, 350), (WIDTH - 24, HEIGHT - 24), (333, 0), (0, 501)])
def test_a_face_that_appears_is_seen_whole_in_that_frame(place: tuple[int, int]) -> None:
    lane = Lane()
    lane(STILL)
    frame = paint(STILL, *place)
    plan = lane.plan(frame)
    fine = finest(plan)
    assert (fine.x2 - fine.x1) * (fine.y2 - fine.y1) < WIDTH * HEIGHT / 10
    assert lane.settle(frame, plan) == [square(*place)]
    assert lane(STILL) == []  # and gone in the frame in which it is gone


@pytest.mark.parametrize("difference", [4, 5, 8])
def test_a_block_that_changes_by_more_than_the_limit_is_looked_at(difference: int) -> None:
    """In one colour alone, and in no more than one block."""
    assert difference > LEAST_LEVELS
    for colour in range(3):
        lane = Lane()
        lane(STILL)
        lane(STILL)
        frame = STILL.copy()
        frame[400:408, 640:648, colour] += difference
        plan = lane.plan(frame)
        assert plan.masks[-1].sum() == 1
        # Whoever looks at a level wholly knows all of it anew.
        assert all(mask.sum() == 1 or mask.all() for mask in plan.masks)
        assert all(view.x1 <= 640 < 648 <= view.x2 and view.y1 <= 400 < 408 <= view.y2 for view in plan.views)
        assert plan.owners == tuple(range(len(plan.levels)))


def test_a_change_within_the_limit_is_not_looked_at_before_its_turn() -> None:
    lane = Lane()
    lane(STILL)
    assert lane.plan(STILL + np.uint8(LEAST_LEVELS)).views == ()


def test_settle_keeps_what_does_not_touch_and_replaces_what_does() -> None:
    lane = Lane()
    both = paint(paint(STILL, 100, 100), 900, 500)
    assert lane(both) == [square(100, 100), square(900, 500)]
    moved = paint(paint(STILL, 100, 100), 912, 500)
    assert lane(moved) == [square(100, 100), square(912, 500)]
    gone = paint(STILL, 912, 500)
    assert lane(gone) == [square(912, 500)]


def test_a_kept_face_that_a_part_cuts_off_is_neither_lost_nor_cut() -> None:
    """What happens beside it is looked at, with a margin that ends within the face."""
    lane = Lane()
    margin = lane.detector.views(WIDTH, HEIGHT, SEARCH)[-1].margin
    face = paint(STILL, 400, 300, 40)
    lane(face)
    spot = 440 + margin - 20
    plan = lane.plan(paint(face, spot, 300, 8, (200, 200, 200)))
    part = finest(plan)
    assert 400 < part.x1 < 440
    assert lane.settle(paint(face, spot, 300, 8, (200, 200, 200)), plan) == [square(400, 300, 40)]


@pytest.mark.parametrize("per_second", [1, 5, 10, 25])
@pytest.mark.parametrize("sweep_seconds", [1.0, 2.0, 7.5])
def test_every_part_is_looked_at_in_time(per_second: int, sweep_seconds: float) -> None:
    """Looks at one part are never further apart than ``sweep_seconds``, and not all in one frame."""
    lane = Lane(sweep_seconds=sweep_seconds)
    plan = lane.plan(STILL, 0.0)
    last = {(n, m): 0.0 for n, level in enumerate(plan.levels) for m in range(len(level.parts))}
    most, swept = 0, 0
    for number in range(1, int(3 * sweep_seconds * per_second) + 1):
        seconds = number / per_second
        lane.settle(STILL, plan)
        plan = lane.plan(STILL, seconds)
        looked = [
            (n, m)
            for n, level in enumerate(plan.levels)
            for m, part in enumerate(level.parts)
            if plan.masks[n][part].all()
        ]
        assert (plan.looked, plan.swept) == (len(looked), len(looked))
        assert bool(plan.views) == bool(looked)
        for part in looked:
            last[part] = seconds
        assert min(last.values()) >= seconds - sweep_seconds - 1e-9
        most, swept = max(most, len(looked)), swept + len(looked)
    assert swept >= 3 * len(last)
    if per_second * sweep_seconds >= 4:
        assert most < len(last)


def test_the_sweep_finds_a_face_that_changed_nothing() -> None:
    """Here the gate is told of a face that the change does not show: its reference has it already."""
    lane = Lane()
    frame = paint(STILL, 600, 300)
    lane(STILL)
    for level in lane.plan(STILL).levels:
        level.reference[:] = lane.gate.blocks.means(frame)[lane.gate.blocks.of(level.view)]
    found_at = next(number / 10 for number in range(1, 100) if lane(frame, 0.1 + number / 10))
    assert 0.5 < found_at <= SWEEP + 0.1


def test_a_gap_between_frames_makes_what_is_overdue_due() -> None:
    lane = Lane()
    lane(STILL, 0.0)
    assert everything(lane.plan(STILL, 10.0))


def test_sweep_seconds_0_looks_at_everything_always() -> None:
    lane = Lane(sweep_seconds=0)
    for number in range(5):
        frame = paint(STILL, 100 + number, 100)
        plan = lane.plan(frame)
        assert everything(plan)
        assert list(plan.views) == lane.detector.views(WIDTH, HEIGHT, SEARCH)
        assert lane.settle(frame, plan) == [square(100 + number, 100)]


def test_what_could_not_be_looked_at_is_looked_at_again() -> None:
    lane = Lane()
    lane(STILL)
    frame = paint(STILL, 300, 200)
    lane.gate.fail(lane.plan(frame))
    plan = lane.plan(frame)
    assert plan.views
    assert plan.swept == 0
    assert lane.settle(frame, plan) == [square(300, 200)]
    assert lane.plan(frame).views == ()


def test_a_frame_that_relies_on_one_that_failed_is_not_known() -> None:
    """Plan n+1 was made when n was under way: it left out what n was to look at."""
    lane = Lane()
    lane(STILL)
    frame = paint(STILL, 300, 200)
    first, second = lane.plan(frame), lane.plan(paint(frame, 900, 500))
    third = lane.plan(paint(frame, 900, 500))
    lane.gate.fail(first)
    for plan in (second, third):
        with pytest.raises(DetectionError, match="could not be searched before"):
            lane.settle(paint(frame, 900, 500), plan)
    assert lane(paint(frame, 900, 500)) == [square(300, 200), square(900, 500)]


def test_frames_that_overlap_settle_in_their_order() -> None:
    lane = Lane()
    frames = [paint(STILL, 100 + 30 * number, 100) for number in range(6)]
    plans = [lane.plan(frame) for frame in frames]
    for number, (frame, plan) in enumerate(zip(frames, plans, strict=True)):
        assert lane.settle(frame, plan) == [square(100 + 30 * number, 100)]


def test_the_first_frame_can_fail() -> None:
    lane = Lane()
    first, second = lane.plan(STILL), lane.plan(STILL)
    lane.gate.fail(first)
    assert everything(second)
    assert lane.settle(STILL, second) == []
    assert lane.plan(STILL).views == ()


@pytest.mark.parametrize("how", ["size", "clock", "forget"])
def test_what_begins_anew_is_looked_at_whole(how: str) -> None:
    lane = Lane()
    assert lane(paint(STILL, 300, 200), 50.0) == [square(300, 200)]
    frame, seconds = STILL, 50.1
    if how == "size":
        frame = np.full((HEIGHT, WIDTH + 16, 3), 90, np.uint8)
    elif how == "clock":
        seconds = 49.9
    else:
        lane.gate.forget()
    plan = lane.plan(frame, seconds)
    assert everything(plan)
    assert lane.settle(frame, plan) == []
    assert lane.plan(frame, seconds + 0.1).views == ()


def test_a_plan_from_before_the_beginning_settles_on_its_own() -> None:
    lane = Lane()
    lane(STILL)
    frame = paint(STILL, 300, 200)
    plan = lane.plan(frame)
    lane.gate.forget()
    assert lane(STILL) == []
    assert lane.settle(frame, plan) == [square(300, 200)]
    assert lane(STILL) == []


def test_several_detectors_have_levels_of_their_own() -> None:
    first, second = Painted(), Painted(Canvas(640, 640, False, 0))
    both = joint(first, second)
    lane = Lane(both)
    assert lane(paint(STILL, 300, 200)) == [square(300, 200)] * 2
    moved = paint(STILL, 330, 200)
    plan = lane.plan(moved)
    assert {view.detector for view in plan.views} == {0, 1}
    assert all(view in both.views(WIDTH, HEIGHT, SEARCH) for view in plan.views if view.detector == 1)
    found = lane.gate.settle(plan, both.look(moved, plan.views))
    for level, each in zip(plan.levels, found, strict=True):
        assert (each.numbers == level.view.detector).all()
    whole = both.combine(found, WIDTH, HEIGHT)
    assert whole.boxes.tolist() == [square(330, 200)] * 2
    assert whole.numbers.tolist() == [0, 1]
    assert lane(moved) == [square(330, 200)] * 2  # kept


def test_levels_in_which_nothing_was_found_join_those_that_found() -> None:
    """The number of the detector stays with each box."""
    blind, seeing = Painted(), Painted()
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    blind.look = lambda pixels, looked_at: [nothing] * len(looked_at)  # type: ignore[method-assign]
    both = joint(blind, seeing)
    gate = Gate(both, SEARCH, SWEEP)
    frame = paint(STILL, 300, 200)
    for seconds in (0.0, 0.1, 0.2):
        plan = gate.plan(frame, seconds)
        whole = both.combine(gate.settle(plan, both.look(frame, plan.views)), WIDTH, HEIGHT)
        assert whole.numbers.tolist() == [1]


def test_a_still_picture_has_no_noise() -> None:
    lane = Lane()
    assert lane.gate.noise is None
    assert lane.gate.limit == LEAST_LEVELS
    for _ in range(3):
        lane(STILL)
    assert lane.gate.noise == 0
    assert lane.gate.limit == LEAST_LEVELS


def test_the_limit_follows_the_noise_between_its_ends() -> None:
    limits, levels = [], []
    for sigma in (1, 3, 6, 9):
        lane = Lane()
        for frame in noisy(sigma, 5):
            lane(frame)
            assert LEAST_LEVELS <= lane.gate.limit <= MOST_LEVELS
        assert lane.gate.noise is not None
        limits.append(lane.gate.limit)
        levels.append(lane.gate.noise)
    assert limits == sorted(limits)
    assert levels == sorted(levels)
    assert limits[0] == LEAST_LEVELS < limits[-1]


def test_a_picture_noisier_than_the_highest_limit_is_looked_at_all_the_time() -> None:
    lane = Lane()
    for number, frame in enumerate(noisy(40, 4)):
        plan = lane.plan(frame)
        lane.settle(frame, plan)
        looked = {(view.x1, view.y1, view.x2, view.y2) for view in plan.views}
        assert looked == {(0, 0, WIDTH, HEIGHT)}, number
    assert lane.gate.limit <= MOST_LEVELS


def test_motion_in_a_third_of_the_picture_does_not_raise_the_limit() -> None:
    random = np.random.default_rng(6)
    lane = Lane()
    for _ in range(12):
        frame = STILL.copy()
        patches = random.integers(0, 256, (HEIGHT // 24, WIDTH // 72, 3), np.uint8)
        frame[:, : WIDTH // 72 * 24] = patches.repeat(24, axis=0).repeat(24, axis=1)
        lane(frame)
    assert lane.gate.noise is not None
    assert lane.gate.limit == LEAST_LEVELS


def test_too_few_still_blocks_say_nothing_of_the_noise() -> None:
    small = np.full((160, 240, 3), 90, np.uint8)
    lane = Lane()
    assert lane.gate.blocks.means(small)[..., 0].size < FEW_BLOCKS
    for frame in noisy(8, 5, small):
        lane(frame)
    assert lane.gate.noise is None
    assert lane.gate.limit == LEAST_LEVELS


@pytest.mark.parametrize("step", [1, 2])
def test_a_slow_fade_is_looked_at_whenever_it_exceeds_the_limit(step: int) -> None:
    """Only a look replaces what is compared with: half a level a frame (at ``step`` 1) adds up."""
    lane = Lane(sweep_seconds=60)
    lane(STILL)
    looked_at, before = [], 0
    for number in range(1, 41):
        change = number * step // 2
        frame = STILL.copy()
        frame[304:328, 400:424] += np.uint8(change)
        plan = lane.plan(frame)
        lane.settle(frame, plan)
        assert bool(plan.views) == (change - before > LEAST_LEVELS)
        if plan.views:
            looked_at.append(number)
            before = change
    assert len(looked_at) == 20 * step // (LEAST_LEVELS + 1)


def test_only_blocks_that_are_looked_at_are_compared_anew() -> None:
    """A change beside one that adds up does not hide it."""
    lane = Lane(sweep_seconds=60)
    lane(STILL)
    first = LEAST_LEVELS + 1  # the change that exceeds the limit
    for number in range(1, first + 1):
        frame = STILL.copy()
        frame[304:328, 400:424] += np.uint8(number)
        frame[304:328, 424:448] = 255 * (number % 2)
        plan = lane.plan(frame)
        lane.settle(frame, plan)
        level = plan.levels[-1]
        rows, columns = slice(304 // 8, 328 // 8), slice(400 // 8, 424 // 8)
        assert plan.masks[-1][rows, 424 // 8 : 448 // 8].all()
        assert bool(plan.masks[-1][rows, columns].all()) == (number == first)
        assert (level.reference[rows, columns] == 90 + (first if number == first else 0)).all()


def test_a_face_is_found_at_any_time_whatever_else_moves() -> None:
    """Faces come, go and walk at random: what is found is what a look at everything finds."""
    random = np.random.default_rng(8)
    lane, whole = Lane(), Painted()
    faces: list[tuple[int, int]] = []
    for _ in range(60):
        faces = [(x + int(random.integers(-6, 7)), y) for x, y in faces if random.random() < 0.9]
        faces = [(min(max(x, 0), WIDTH - 24), y) for x, y in faces]
        if random.random() < 0.5:
            faces.append((int(random.integers(0, WIDTH - 24)), int(random.integers(0, HEIGHT - 24))))
        frame = STILL
        for x, y in faces:
            frame = paint(frame, x, y, 24, FACE)
        expected = whole.detect(frame, SEARCH).boxes
        kept = np.array(lane(frame), np.float32).reshape(-1, 4)
        if len(expected):
            assert len(kept)
            assert (iou(expected, kept).max(axis=1) == 1).all()
        assert len(kept) == len(expected)


def test_the_gate_asks_for_parts_of_its_views_alone() -> None:
    lane = Lane()
    views = lane.detector.views(WIDTH, HEIGHT, SEARCH)
    lane(STILL)
    plan = lane.plan(paint(STILL, 640, 360))
    for part, owner in zip(plan.views, plan.owners, strict=True):
        assert _within(part, views[owner])


def _within(part: View, view: View) -> bool:
    return (
        view.x1 <= part.x1 < part.x2 <= view.x2
        and view.y1 <= part.y1 < part.y2 <= view.y2
        and (part.turn, part.least, part.detector) == (view.turn, view.least, view.detector)
    )
