"""Geometry, against slow but obvious computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge import boxes as geometry
from edge.boxes import Floats

coordinate = st.floats(-2000, 6000, width=32)
box_arrays = hnp.arrays(np.float32, st.tuples(st.integers(0, 12), st.just(4)), elements=coordinate).map(
    lambda a: np.concatenate([np.minimum(a[:, :2], a[:, 2:]), np.maximum(a[:, :2], a[:, 2:])], axis=1)
)


@given(box_arrays, box_arrays)
def test_iou_is_symmetric_and_between_0_and_1(first: Floats, second: Floats) -> None:
    forward = geometry.iou(first, second)
    assert forward.shape == (len(first), len(second))
    assert ((forward >= 0) & (forward <= 1.00001)).all()
    np.testing.assert_allclose(forward, geometry.iou(second, first).T, atol=1e-6)


def test_iou_counts_pixels() -> None:
    first, second = np.array([[2, 3, 12, 9]], np.float32), np.array([[7, 0, 15, 6]], np.float32)
    masks = []
    for (box,) in (first, second):
        mask = np.zeros((20, 20), bool)
        x1, y1, x2, y2 = box.astype(int)
        mask[y1:y2, x1:x2] = True
        masks.append(mask)
    expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert geometry.iou(first, second)[0, 0] == pytest.approx(expected)


@given(box_arrays, st.randoms(use_true_random=False), st.floats(0.05, 0.95))
def test_nms_keeps_a_box_unless_a_better_kept_one_overlaps_it(
    boxes: Floats, random: object, limit: float
) -> None:
    scores = np.random.default_rng(len(boxes)).random(len(boxes), np.float32)
    kept = geometry.nms(boxes, scores, limit).tolist()
    assert [scores[i] for i in kept] == sorted((scores[i] for i in kept), reverse=True)
    overlap = geometry.iou(boxes, boxes)
    for index in range(len(boxes)):
        beaten = any(
            overlap[index, k] >= np.float32(limit) and scores[k] >= scores[index] for k in kept if k != index
        )
        assert (index in kept) != beaten or index in kept
        if index not in kept:
            assert beaten
    for i in kept:
        for j in kept:
            assert i == j or overlap[i, j] < np.float32(limit)


@given(box_arrays, st.integers(16, 4000), st.integers(16, 4000))
def test_pixels_hold_the_box_and_stay_in_the_frame(boxes: Floats, width: int, height: int) -> None:
    regions = geometry.to_pixels(boxes, width, height)
    assert (regions[:, :2] >= 0).all()
    assert (regions[:, 2] <= width).all()
    assert (regions[:, 3] <= height).all()
    assert (regions[:, 2:] > regions[:, :2]).all()
    visible = geometry.clip(boxes, width, height)
    solid = visible[(visible[:, 2] > visible[:, 0]) & (visible[:, 3] > visible[:, 1])]
    for box in solid:
        held = (regions[:, :2] <= box[:2]).all(axis=1) & (regions[:, 2:] >= box[2:]).all(axis=1)
        assert held.any()


@given(st.integers(16, 5000), st.integers(16, 5000), st.integers(2, 40), st.integers(2, 40))
def test_letterbox_fits_and_comes_back(width: int, height: int, columns: int, rows: int) -> None:
    letterbox = geometry.fit(width, height, columns * 32, rows * 32)
    assert letterbox.inner_width <= letterbox.width
    assert letterbox.inner_height <= letterbox.height
    whole = np.array([[0, 0, width, height]], np.float32)
    back = letterbox.to_frame(
        (whole * np.array([letterbox.scale_x, letterbox.scale_y] * 2)).astype(np.float32)
    )
    np.testing.assert_allclose(back, whole, rtol=1e-4)


@given(st.integers(16, 20000), st.integers(16, 20000), st.integers(64, 1920))
def test_a_canvas_of_this_side_is_a_multiple_and_no_narrow_strip(width: int, height: int, side: int) -> None:
    letterbox = geometry.fit_side(width, height, side, 32)
    assert letterbox.width % 32 == letterbox.height % 32 == 0
    assert max(letterbox.inner_width, letterbox.inner_height) == side
    assert letterbox.inner_width <= letterbox.width < side + 32
    assert letterbox.inner_height <= letterbox.height < side + 32
    assert min(letterbox.width, letterbox.height) >= side // 3
