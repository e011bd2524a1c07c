"""Anchors lie where the Object Detection API's do; offsets from them lead to boxes and back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

from convert.training.efficientdet.anchors import ANCHOR_SCALE, anchors, decode, encode

COUNT = 9 * (16**2 + 8**2 + 4**2 + 2**2 + 1)


@pytest.mark.parametrize(("size", "count"), [(512, 49104), (640, 76725), (768, 110484), (128, COUNT)])
def test_every_place_of_every_level_has_nine_anchors(size: int, count: int) -> None:
    found = anchors(size, size)
    assert found.shape == (count, 4)
    assert count == sum(9 * (size // stride) ** 2 for stride in (8, 16, 32, 64, 128))
    assert (found[:, :2] > 0).all()
    assert (found[:, :2] < size).all()


@pytest.mark.parametrize("scale", [ANCHOR_SCALE, 2.5])
def test_anchors_have_three_areas_and_three_shapes(scale: float) -> None:
    height, width = anchors(512, 512, scale)[:9, 2:].T
    areas = np.array([1, 2 ** (1 / 3), 2 ** (2 / 3)]) * 8 * scale
    assert sorted(set(np.round(np.sqrt(height * width), 3))) == pytest.approx(areas, abs=1e-3)
    assert sorted(set(np.round(width / height, 6))) == [0.5, 1, 2]


def test_a_canvas_may_be_wider_than_high() -> None:
    found = anchors(128, 256)
    assert found[: 9 * 16 * 32, 0].max() == 124
    assert found[: 9 * 16 * 32, 1].max() == 252
    assert (found[9, :2] == (4, 12)).all()  # rows first


def test_offsets_lead_back_to_the_boxes() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (50, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 90, (50, 2))], axis=1)
    some = anchors(128, 128)[rng.integers(0, COUNT, 50)]
    back = decode(encode(boxes, some)[None], some)[0].numpy()
    assert back[:, [1, 0, 3, 2]] == pytest.approx(boxes, abs=1e-3)


def test_offsets_are_scaled_as_those_of_faster_r_cnn() -> None:
    anchor = np.array([[50.0, 60.0, 20.0, 10.0]])  # cy cx h w
    box = np.array([[55.0, 30.0, 75.0, 74.0]])  # middle 52, 65; sides 44, 20
    expected = [10 * 2 / 20, 10 * 5 / 10, 5 * np.log(44 / 20), 5 * np.log(20 / 10)]
    assert encode(box, anchor)[0] == pytest.approx(expected)
