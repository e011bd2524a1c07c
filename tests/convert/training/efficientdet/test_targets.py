"""Each anchor is to learn the box that it covers best, or none, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

from convert.graphs import Array
from convert.training.efficientdet.anchors import anchors, decode
from convert.training.efficientdet.targets import IGNORED, NEGATIVE, POSITIVE, assign

SIDE = 256


def overlaps(boxes: Array, scale: float) -> Array:
    """Intersection over union of every anchor and every box, one box at a time."""
    places = anchors(SIDE, SIDE, scale)
    low, high = places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2
    columns = []
    for x1, y1, x2, y2 in boxes.astype(float):
        sides = np.minimum(high, [y2, x2]) - np.maximum(low, [y1, x1])
        both = np.clip(sides, 0, None).prod(axis=1)
        columns.append(both / (places[:, 2:].prod(axis=1) + (x2 - x1) * (y2 - y1) - both))
    return np.stack(columns, axis=1)


def one(boxes: Array, ignored: Array | None = None, scale: float = 4.0) -> tuple[Array, Array]:
    ignored = np.zeros(len(boxes), bool) if ignored is None else ignored
    found = assign([boxes.astype(np.float32)], [ignored], SIDE, scale)
    return found["state"][0], found["offsets"][0]


def some_boxes(seed: int, count: int) -> Array:
    rng = np.random.default_rng(seed)
    middles, sides = rng.uniform(0, SIDE, (count, 2)), np.exp(rng.uniform(1.5, 5.5, (count, 1)))
    sides = sides * rng.uniform(0.5, 2, (count, 2))
    boxes = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1).clip(0, SIDE)
    return np.asarray(boxes[(boxes[:, 2:] - boxes[:, :2] > 2).all(axis=1)])


@pytest.mark.parametrize("scale", [2.5, 4.0])
@pytest.mark.parametrize("seed", range(10))
def test_states_are_those_of_every_overlap(seed: int, scale: float) -> None:
    boxes = some_boxes(seed, 20)
    state, _ = one(boxes, scale=scale)
    iou = overlaps(boxes, scale)
    best = iou.max(axis=1)
    # Which of several equally good anchors a box gets is free.
    forced = (iou >= iou.max(axis=0) - 1e-6).any(axis=1)
    expected = np.where(best >= 0.5, POSITIVE, np.where(best >= 0.4, IGNORED, NEGATIVE))
    assert (state[~forced] == expected[~forced]).all()
    for column in iou.T:
        assert (state[column >= column.max() - 1e-6] == POSITIVE).any()


@pytest.mark.parametrize("seed", range(5))
def test_offsets_lead_to_the_box_of_the_best_overlap(seed: int) -> None:
    boxes = some_boxes(seed, 20)
    state, offsets = one(boxes)
    iou = overlaps(boxes, 4.0)
    sure = (state == POSITIVE) & (iou.max(axis=1) >= 0.5) & ~(iou >= iou.max(axis=0) - 1e-6).any(axis=1)
    found = decode(offsets[None], anchors(SIDE, SIDE))[0].numpy()[:, [1, 0, 3, 2]]
    assert sure.sum() > 20
    assert found[sure] == pytest.approx(boxes[iou.argmax(axis=1)[sure]], abs=0.01)
    assert (offsets[state != POSITIVE] == 0).all()


def test_a_box_too_small_for_any_anchor_gets_its_best_one() -> None:
    boxes = np.array([[101.0, 61, 106, 67]])
    state, offsets = one(boxes)
    (found,) = np.nonzero(state == POSITIVE)
    assert len(found) == 1
    assert (state == IGNORED).sum() == 0
    back = decode(offsets[None], anchors(SIDE, SIDE))[0].numpy()[found[0]]
    assert back == pytest.approx([61, 101, 67, 106], abs=0.01)


def test_anchors_on_an_ignored_box_learn_nothing() -> None:
    boxes = np.array([[20.0, 20, 60, 60], [130, 130, 230, 230]])
    state, offsets = one(boxes, np.array([False, True]))
    alone, _ = one(boxes[:1])
    places = anchors(SIDE, SIDE)
    middle = ((places[:, :2] > 130) & (places[:, :2] < 230)).all(axis=1)
    small = (places[:, 2:] < 60).all(axis=1)
    assert (state[middle & small] == IGNORED).sum() > 100
    assert (state[overlaps(boxes[1:], 4.0)[:, 0] >= 0.4] == IGNORED).all()
    assert (state[~middle] == POSITIVE).sum() == (alone == POSITIVE).sum()
    assert (state[middle] != POSITIVE).all()
    assert (offsets[state == IGNORED] == 0).all()


def test_a_face_on_an_ignored_box_is_still_learnt() -> None:
    boxes = np.array([[100.0, 100, 140, 140], [20, 20, 250, 250]])
    state, _ = one(boxes, np.array([False, True]))
    alone, _ = one(boxes[:1])
    assert (state[alone == POSITIVE] == POSITIVE).all()


def test_a_picture_without_boxes_is_all_background() -> None:
    none, one_box = np.zeros((0, 4), np.float32), np.array([[10, 10, 50, 50]], np.float32)
    found = assign([none, one_box], [np.zeros(0, bool), np.zeros(1, bool)], SIDE, 2.5)
    assert found["state"].shape == (2, 9 * (32**2 + 16**2 + 8**2 + 4**2 + 2**2))
    assert (found["state"][0] == NEGATIVE).all()
    assert (found["state"][1] == POSITIVE).any()
    assert found["offsets"].dtype == np.float32
    assert found["state"].dtype == np.int8


@pytest.mark.parametrize("box", [[10, 10, 10, 20], [10, 20, 30, 20], [30, 10, 20, 20]])
def test_a_box_without_area_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match="a box without area"):
        one(np.array([[5.0, 5, 50, 50], box]))
