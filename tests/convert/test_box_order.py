"""The order of a box's numbers shows in the boxes of a whole grid."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxscript", reason="needs the convert extra")

from convert.box_order import formats_that_fit
from convert.graphs import Array

ORDERS = {"xyxy": [0, 1, 2, 3], "yxyx": [1, 0, 3, 2], "cxcywh": [0, 1, 2, 3], "cycxhw": [1, 0, 3, 2]}


def boxes_of(rows: int, columns: int, box_format: str) -> Array:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) + rng.uniform(0.3, 0.7, (2, rows * columns))
    middle = np.stack([x / columns, y / rows], axis=1)
    size = rng.uniform(0.05, 0.3, middle.shape)
    parts = [middle, size] if box_format.startswith("c") else [middle - size / 2, middle + size / 2]
    return np.concatenate(parts, axis=1)[:, ORDERS[box_format]]


@pytest.mark.parametrize("box_format", ORDERS)
@pytest.mark.parametrize("shape", [(12, 12), (20, 30), (30, 20)])
def test_the_format_is_seen_in_the_values(box_format: str, shape: tuple[int, int]) -> None:
    assert box_format in formats_that_fit(boxes_of(*shape, box_format))
    if box_format in ("xyxy", "yxyx"):
        assert formats_that_fit(boxes_of(*shape, box_format)) == (box_format,)


def test_boxes_without_an_order_contradict_nothing_that_they_need_not() -> None:
    middle = np.random.default_rng(2).uniform(0.2, 0.8, (100, 2))
    assert formats_that_fit(np.concatenate([middle - 0.1, middle + 0.1], axis=1)) == ("xyxy", "yxyx")
