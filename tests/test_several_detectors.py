"""Hold, blur and last look with several detectors: each box by the rules of the detector that found it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import blur
from edge.boxes import NO_BOXES, Floats
from edge.config import BlurConfig
from edge.detection.detector import Detections
from edge.detection.kinds import FACE, Kind
from edge.frames import Pixels, RawFrame
from edge.hold import Held, Hold, HoldRule, make_hold
from edge.last_look import Cover, take_last_look
from tests.joint import PLATE, Answers, Rows, found, joint, member
from tests.raw_frames import raw_frame

RATE = 25.0
PIXELS = np.zeros((480, 640, 3), np.uint8)
FACE_BOX = (100.0, 100.0, 140.0, 150.0)
PLATE_BOX = (300.0, 300.0, 360.0, 320.0)
Sight = tuple[Rows, Rows] | None


def join(faces: Rows, plates: Rows) -> Detections:
    first, second = found(faces), found(plates)
    return Detections(
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.scores, second.scores]),
        np.repeat(np.arange(2), [len(first.boxes), len(second.boxes)]),
    )


def play(hold: Hold, sights: Sequence[Detections | None]) -> list[Held]:
    due = []
    for number, sight in enumerate(sights):
        due += hold.push(raw_frame(PIXELS, number, number / RATE), sight)
    return due + hold.flush()


def of(held: Held, number: int) -> list[tuple[float, ...]]:
    """The boxes that are covered for one of the detectors, in their order."""
    assert len(held.numbers) == len(held.boxes)
    return [tuple(box) for box in held.boxes[held.numbers == number].tolist()]


box = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(
    lambda p: (40.0 * p[0], 40.0 * p[1], 40.0 * p[0] + 60, 40.0 * p[1] + 60)
)
seen = st.lists(st.tuples(box, st.sampled_from([0.9, 0.6, 0.4])), max_size=2).map(
    lambda rows: sorted(((*b, score) for b, score in rows), key=lambda row: -row[4])
)
sights = st.lists(st.none() | st.tuples(seen, seen), min_size=1, max_size=14)
rules = st.builds(HoldRule, st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.5, 0.8]))


@given(sights=sights, first=rules, second=rules)
@settings(max_examples=150)
def test_nothing_that_each_would_cover_alone_is_lost(
    sights: list[Sight], first: HoldRule, second: HoldRule
) -> None:
    """And nothing else is covered, unless a longer delay line knows more about earlier frames."""
    both = play(Hold(*first, [second]), [None if s is None else join(*s) for s in sights])
    assert [held.frame.number for held in both] == list(range(len(sights)))
    for number, rule in enumerate((first, second)):
        alone = play(Hold(*rule), [None if s is None else found(s[number]) for s in sights])
        for together, own in zip(both, alone, strict=True):
            assert together.whole == own.whole
            assert set(of(own, 0)) <= set(of(together, number))
            if first.before_frames == second.before_frames:
                assert of(own, 0) == of(together, number)


def test_a_region_is_never_continued_by_another_detector() -> None:
    weak = join([], [(*FACE_BOX, 0.4)])
    out = play(
        Hold(0, 0.1, 0.5, [HoldRule(0, 0.1, 0.5)]), [join([(*FACE_BOX, 0.9)], []), weak, weak, weak, weak]
    )
    assert not any(of(held, 1) for held in out)  # too weak to begin a region, though a face was there
    assert [len(of(held, 0)) for held in out] == [1, 1, 1, 0, 0]


def test_each_stays_covered_for_its_own_time() -> None:
    sights = [join([(*FACE_BOX, 0.9)], [(*PLATE_BOX, 0.9)])] + [join([], [])] * 30
    out = play(Hold(0, 0.2, 0.5, [HoldRule(0, 1.0, 0.5)]), sights)
    assert sum(bool(of(held, 0)) for held in out) == 1 + 5
    assert sum(bool(of(held, 1)) for held in out) == 1 + 25


def test_each_covers_as_many_earlier_frames_as_its_rule_says() -> None:
    sights = [join([], [])] * 10 + [join([(*FACE_BOX, 0.9)], [(*PLATE_BOX, 0.9)])]
    out = play(Hold(2, 1.0, 0.5, [HoldRule(6, 1.0, 0.5)]), sights)
    assert [number for number, held in enumerate(out) if of(held, 0)] == [8, 9, 10]
    assert [number for number, held in enumerate(out) if of(held, 1)] == [4, 5, 6, 7, 8, 9, 10]


def test_hold_takes_times_and_scores_from_the_detectors() -> None:
    first, second = Answers(lambda _: [], 0.5), Answers(lambda _: [], 0.8)
    several = joint(first)
    several = type(several)([*several.members, member(second, hold_before_frames=3, hold_after_seconds=0.4)])
    hold = make_hold(several, BlurConfig())
    sight = join([(*FACE_BOX, 0.6)], [(*PLATE_BOX, 0.6)])
    out = play(hold, [sight, join([], [(*PLATE_BOX, 0.85)]), join([], [])])
    assert [(len(of(held, 0)), bool(of(held, 1))) for held in out] == [(1, True), (0, True), (0, True)]
    loose = make_hold(several, BlurConfig(), continuous=False)
    assert [len(held.boxes) for held in play(loose, [sight, join([], [])])] == [1, 0]


def random_frame() -> RawFrame:
    return raw_frame(np.random.default_rng(5).integers(0, 256, (200, 300, 3), np.uint8))


def test_the_region_of_a_box_is_that_of_its_kind() -> None:
    boxes = np.array([[100, 100, 140, 120], [100, 100, 140, 120], [20, 150, 40, 160]], np.float32)
    safe = blur.anonymize(random_frame(), boxes, BlurConfig(), kinds=[PLATE, FACE, PLATE])
    assert safe.areas.tolist() == [[96, 98, 144, 122], [18, 149, 42, 161], [92, 88, 148, 124]]
    assert safe.labels == ("plate", "plate", "face")
    top = BlurConfig(region="top", top_fraction=0.5)
    safe = blur.anonymize(random_frame(), boxes[:2], top, kinds=[PLATE, FACE])
    assert safe.areas.tolist() == [
        [96, 98, 144, 122],
        [100, 100, 140, 110],
    ]  # a plate is covered all the same


def test_a_box_outside_the_frame_has_neither_region_nor_label() -> None:
    boxes = np.array([[400, 10, 440, 20], [10, 10, 40, 20]], np.float32)
    safe = blur.anonymize(random_frame(), boxes, BlurConfig(), kinds=[PLATE, FACE])
    assert (len(safe.areas), safe.labels) == (1, ("face",))


def test_faces_alone_are_covered_to_the_byte_as_without_kinds() -> None:
    boxes = np.array([[100, 100, 140, 150], [120, 90, 170, 130], [5, 5, 30, 30]], np.float32)
    plain = blur.anonymize(random_frame(), boxes, BlurConfig())
    named = blur.anonymize(random_frame(), boxes, BlurConfig(), kinds=[FACE] * 3)
    assert plain.pixels.tobytes() == named.pixels.tobytes()
    assert plain.areas.tolist() == named.areas.tolist()
    assert (plain.labels, named.labels) == ((), ("face",) * 3)


@pytest.mark.parametrize("kinds", [[FACE], [FACE] * 3])
def test_a_kind_for_each_box_is_needed(kinds: list[Kind]) -> None:
    boxes = np.array([[100, 100, 140, 150], [120, 90, 170, 130]], np.float32)
    with pytest.raises(ValueError, match="2 boxes, but"):
        blur.anonymize(random_frame(), boxes, BlurConfig(), kinds=kinds)


@pytest.mark.parametrize(("score", "taken"), [(0.4, False), (0.7, True)])
def test_the_last_look_takes_each_detector_at_its_own_score(score: float, taken: bool) -> None:
    frame, place = random_frame(), (100.0, 100.0, 140.0, 120.0)
    original = frame.pixels.copy()

    def plates(pixels: Pixels) -> Rows:
        same = (pixels[100:120, 100:140] == original[100:120, 100:140]).all()
        return [(*place, score)] if same else []

    faces: Floats = np.array([[10, 10, 40, 40]], np.float32)
    detector = joint(Answers(lambda _: []), Answers(plates, score_begin=0.3), score_last_look=0.6)
    safe = blur.anonymize(frame, faces, BlurConfig(), kinds=[FACE])
    last = take_last_look(Cover(frame, faces, BlurConfig(), kinds=[FACE]), safe, detector)
    assert (last.regrown, last.escalated) == (taken, False)
    assert last.frame.labels == (("face", "plate") if taken else ("face",))


def test_a_plate_that_cannot_be_covered_covers_all() -> None:
    detector = joint(Answers(lambda _: []), Answers(lambda _: [(100, 100, 140, 120, 0.9)]))
    frame = random_frame()
    safe = blur.anonymize(frame, NO_BOXES, BlurConfig())
    last = take_last_look(Cover(frame, NO_BOXES, BlurConfig()), safe, detector)
    assert last.escalated
    assert last.frame.whole
