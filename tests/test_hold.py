"""Hold, on faces that move, vanish and come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge import boxes as geometry
from edge.boxes import NO_BOXES, Floats
from edge.detection.detector import Detections
from edge.frames import RawFrame
from edge.hold import Held, Hold
from tests.raw_frames import raw_frame

RATE = 25.0
PIXELS = np.zeros((480, 640, 3), np.uint8)


def frame(number: int, seconds: float | None = None) -> RawFrame:
    return raw_frame(PIXELS, number, number / RATE if seconds is None else seconds)


def found(*boxes: tuple[float, float, float, float, float]) -> Detections:
    rows = np.array(boxes, np.float32).reshape(-1, 5)
    return Detections(rows[:, :4], rows[:, 4])


def play(hold: Hold, sightings: Sequence[Detections | None]) -> list[Held]:
    out = []
    for number, detections in enumerate(sightings):
        out += hold.push(frame(number), detections)
    return out + hold.flush()


def covers(held: Held, box: Floats) -> bool:
    all_boxes = held.boxes
    inside = (all_boxes[:, :2] <= box[:2] + 0.5).all(axis=1) & (all_boxes[:, 2:] >= box[2:] - 0.5).all(axis=1)
    return bool(inside.any())


FACE, OTHER = (100.0, 100.0, 140.0, 150.0), (130.0, 110.0, 170.0, 160.0)
"""They overlap a little, but less than the same face would from one frame to the next."""


def test_every_frame_comes_out_once_and_in_order() -> None:
    out = play(Hold(5, 1.0, 0.35), [found() for _ in range(40)])
    assert [held.frame.number for held in out] == list(range(40))
    assert [held.has_lookahead for held in out] == [True] * 35 + [False] * 5


def test_a_missed_face_stays_covered_for_the_stated_time_and_no_longer() -> None:
    sightings = [found((*FACE, 0.9)) for _ in range(5)] + [found() for _ in range(45)]
    out = play(Hold(0, 1.0, 0.35), sightings)
    face = np.array(FACE, np.float32)
    last_seen = 4 / RATE
    for held in out:
        due = held.frame.media_seconds - last_seen <= 1.0
        assert covers(held, face) == due, held.frame.number


def test_frames_before_a_new_face_are_covered_too() -> None:
    out = play(Hold(5, 1.0, 0.35), [found() for _ in range(10)] + [found((*FACE, 0.9))] * 10)
    face = np.array(FACE, np.float32)
    assert [covers(held, face) for held in out[:10]] == [False] * 5 + [True] * 5
    assert all(covers(held, face) for held in out[10:])


def test_a_gap_of_a_moving_face_is_bridged() -> None:
    def at(number: int) -> tuple[float, float, float, float]:
        return (100.0 + 6 * number, 100.0, 140.0 + 6 * number, 150.0)

    missed = {10, 11, 12}
    sightings = [found() if n in missed else found((*at(n), 0.9)) for n in range(30)]
    for held in play(Hold(5, 1.0, 0.35), sightings):
        assert covers(held, np.array(at(held.frame.number), np.float32)), held.frame.number


def test_a_weak_detection_continues_a_region_but_does_not_begin_one() -> None:
    weak = found((*FACE, 0.25))
    assert all(len(held.boxes) == 0 for held in play(Hold(0, 0.0, 0.35), [weak] * 5))
    out = play(Hold(0, 0.1, 0.35), [found((*FACE, 0.9))] + [weak] * 30)
    assert all(len(held.seen) == 1 for held in out)


def test_an_expired_region_does_not_make_a_weak_detection_count() -> None:
    sightings = [found((*FACE, 0.9))] + [found()] * 30 + [found((*FACE, 0.25))]
    hold = Hold(0, 1.0, 0.35)
    out = [held for number, seen in enumerate(sightings) for held in hold.push(frame(number), seen)]
    assert len(out[-1].boxes) == 0


def test_weak_detections_are_covered_without_lookahead() -> None:
    out = play(Hold(3, 1.0, 0.35), [found((*FACE, 0.25))] * 6)
    assert [len(held.boxes) for held in out] == [0, 0, 0, 1, 1, 1]


def test_a_face_that_walks_away_from_another_leaves_both_covered() -> None:
    other = (300.0, 100.0, 340.0, 150.0)
    sightings = [found((*FACE, 0.9), (*other, 0.8))] * 5 + [found((*FACE, 0.9))] * 10
    for held in play(Hold(0, 1.0, 0.35), sightings):
        assert covers(held, np.array(FACE, np.float32))
        assert covers(held, np.array(other, np.float32))


def test_a_new_face_does_not_take_over_the_region_of_a_missed_one() -> None:
    beside = (125.0, 100.0, 165.0, 150.0)  # overlaps FACE, but less than the same face would
    sightings = [found((*FACE, 0.9))] * 5 + [found((*beside, 0.9))] * 3
    held = play(Hold(0, 1.0, 0.35), sightings)[5]
    assert covers(held, np.array(beside, np.float32))


@pytest.mark.parametrize("change", ["size", "backwards", "gap"])
def test_a_cut_ends_all_regions_but_loses_no_frame(change: str) -> None:
    hold = Hold(3, 1.0, 0.35)
    out: list[Held] = []
    for number in range(10):
        out += hold.push(frame(number), found((*FACE, 0.9)))
    if change == "size":
        cut = raw_frame(np.zeros((240, 320, 3), np.uint8), 10, 10 / RATE)
    else:
        cut = frame(10, 0.0 if change == "backwards" else 60.0)
    out += hold.push(cut, found())
    out += hold.flush()
    assert [held.frame.number for held in out] == list(range(11))
    assert [len(held.boxes) for held in out] == [1] * 10 + [0]
    assert [held.has_lookahead for held in out] == [True] * 7 + [False] * 4


def test_a_frame_on_which_detection_failed_is_covered_whole() -> None:
    out = play(Hold(2, 1.0, 0.35), [found(), None, found()])
    assert [held.whole for held in out] == [False, True, False]


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 600), st.integers(0, 440), st.integers(8, 80), st.floats(0.2, 1)),
            max_size=6,
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 6),
    st.floats(0, 2),
)
def test_no_detection_is_ever_lost(
    script: list[list[tuple[int, int, int, float]]], before: int, after: float
) -> None:
    sightings = []
    for faces in script:
        rows = [(x, y, x + side, y + side, score) for x, y, side, score in faces]
        sightings.append(found(*sorted(rows, key=lambda row: -row[4])))
    out = play(Hold(before, after, 0.35), list(sightings))
    assert len(out) == len(sightings)
    for held, detections in zip(out, sightings, strict=True):
        boxes = held.boxes
        assert np.isfinite(boxes).all()
        for box, score in zip(detections.boxes, detections.scores, strict=True):
            if score >= 0.35:
                assert covers(held, box)


def test_there_is_no_limit_to_the_number_of_faces() -> None:
    corners = np.stack(np.meshgrid(np.arange(0, 640, 16), np.arange(0, 480, 16)), axis=-1).reshape(-1, 2)
    many = np.concatenate([corners, corners + 12], axis=1).astype(np.float32)
    detections = Detections(many, np.full(len(many), 0.9, np.float32))
    out = play(Hold(1, 1.0, 0.35), [detections, detections, found()])
    assert len(many) == 1200
    assert [len(held.seen) for held in out] == [1200, 1200, 0]
    assert len(geometry.iou(out[2].boxes, NO_BOXES)) >= 1200


@pytest.mark.parametrize("step", [2.1, 4.0, 16.0])
def test_a_slow_camera_gets_lookahead_too(step: float) -> None:
    """A slow box, or a slow camera: without it no frame would ever be sure."""
    hold, out = Hold(2, 1.0, 0.35), []
    for number in range(12):
        out += hold.push(frame(number, number * step), found())
    # The first gap cannot be told from one in which the camera was away.
    assert [held.frame.number for held in out if held.has_lookahead] == list(range(1, 10))


def test_a_gap_in_a_steady_camera_still_breaks() -> None:
    hold, out = Hold(2, 1.0, 0.35), []
    for number in range(12):
        out += hold.push(frame(number, number / RATE + (5 if number > 5 else 0)), found())
    assert [held.frame.number for held in out if not held.has_lookahead] == [4, 5]


@pytest.mark.parametrize("step", [0.04, 1.4, 2.5, 9.0])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_face_that_is_missed_once_stays_covered_at_any_pace(step: float, before: int) -> None:
    hold, out = Hold(before, 1.0, 0.35), []
    for number in range(10):
        seen = found() if number == 6 else found((*FACE, 0.9))
        out += hold.push(frame(number, number * step), seen)
    out += hold.flush()
    missed = next(held for held in out if held.frame.number == 6)
    assert any((geometry.iou(missed.boxes, np.array([FACE], np.float32)) > 0).ravel())


class Patient(Hold):
    """Lets every frame wait for as many later ones as the delay line holds."""

    def _oldest_is_done(self) -> bool:
        return False


def steps(*pairs: tuple[float, float]) -> list[tuple[float, float, float]]:
    return [(gap, score, 0.0) for gap, score in pairs]


scores_seen = st.sampled_from([0.0, 0.0, 0.3, 0.9])
"""The score of a face in a frame; 0: the detector misses it, 0.3: too weak to begin a region."""


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.4, 0.9, 1.5, 2.1]), scores_seen, scores_seen),
        min_size=4,
        max_size=12,
    ),
    st.integers(2, 8),
    st.sampled_from([1.0, 3.0]),
)
# A weak sighting on the way back, a frame that is the nearest one however far away, a gap that is bridged.
@example(steps((0, 0), (1.5, 0), (0.4, 0.3), (0.4, 0), (0, 0.9)), 8, 1.0)
@example(steps((0, 0), (1.5, 0), (2.1, 0), (0, 0), (0, 0.9)), 8, 1.0)
@example(steps((0, 0.9), (0.4, 0.9), (0.4, 0), (0.9, 0), (0.9, 0), (0.4, 0), (0, 0.9)), 8, 3.0)
def test_no_later_frame_could_add_to_one_that_leaves_early(
    script: list[tuple[float, float, float]], before: int, after: float
) -> None:
    """At any pace, each frame is covered exactly as if it had waited for as many frames as it may."""
    holds = Hold(before, after, 0.5), Patient(before, after, 0.5)
    outs: tuple[list[Held], list[Held]] = [], []
    seconds = 0.0
    for number, (gap, *scores) in enumerate(script + steps((0.9, 0)) * before):
        seconds += gap
        faces = [(*face, score) for face, score in zip((FACE, OTHER), scores, strict=True) if score]
        for hold, out in zip(holds, outs, strict=True):
            out += hold.push(frame(number, seconds), found(*faces))
        assert len(outs[0]) >= len(outs[1])
    early, late = (out[: len(script)] for out in outs)
    assert [held.frame.number for held in early] == [held.frame.number for held in late]
    for one, other in zip(early, late, strict=True):
        if other.has_lookahead:
            np.testing.assert_array_equal(one.boxes, other.boxes)
        else:  # the scene had ended: all that was weak is covered, too
            assert len(one.boxes) <= len(other.boxes)


def test_the_frames_of_a_slow_camera_do_not_wait_for_ten_others() -> None:
    """Two seconds of frames wait, and the one before them."""
    hold = Hold(10, 1.0, 0.35)
    out: list[Held] = []
    for number in range(30):
        out += hold.push(frame(number, number * 0.9), found((*FACE, 0.9)) if number > 5 else found())
    assert len(out) == 27
    assert all(held.has_lookahead for held in out)
