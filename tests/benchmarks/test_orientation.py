"""Pictures are turned together with the labels of their faces."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.orientation import turn


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_label_goes_where_its_pixels_go(degrees: int) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[5:15, 20:50] = 255
    turned, boxes = turn(pixels, np.array([[20, 5, 50, 15]], np.float32), degrees)
    np.testing.assert_array_equal(turned, np.rot90(pixels, -degrees // 90))
    ys, xs = np.nonzero(turned[..., 0])
    found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert np.abs(boxes[0] - found).max() <= 1


def test_at_45_degrees_nothing_is_cut_off_and_the_middle_is_kept() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[28:32, 8:12] = 255
    turned, boxes = turn(pixels, np.array([[8, 28, 12, 32]], np.float32), 45)
    assert abs(int(turned.sum()) - int(pixels.sum())) < 0.05 * int(pixels.sum())
    ys, xs = np.nonzero(turned[..., 0] > 128)
    assert np.allclose((boxes[0, :2] + boxes[0, 2:]) / 2, [xs.mean() + 0.5, ys.mean() + 0.5], atol=1)
    assert np.allclose(boxes[0, 2:] - boxes[0, :2], 4)
