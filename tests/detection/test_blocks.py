"""Blocks: what is looked at contains every face that touches a block that has changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detection import blocks as blocks_module
from edge.detection.blocks import MOST_RECTANGLES, Blocks, Mask
from edge.detection.views import Canvas, Search, View
from edge.frames import Pixels
from tests.detection.painted import Painted

SIDES = st.integers(64, 2600)
SMALLEST = st.sampled_from([8, 12, 20, 33, 60])
FIXED = Canvas(512, 512, False, 0)
Rectangle = tuple[int, int, int, int]


class Case(NamedTuple):
    blocks: Blocks
    detector: Painted
    view: View
    mask: Mask
    marked: list[tuple[int, int]]


@st.composite
def cases(draw: st.DrawFn, canvas: Canvas | None = None) -> Case:
    """A view of a frame with up to 40 of its blocks marked."""
    smallest = draw(SMALLEST)
    detector, blocks = Painted(canvas), Blocks(smallest)
    search = Search(smallest, any_orientation=draw(st.booleans()), in_parts=True)
    view = draw(st.sampled_from(detector.views(draw(SIDES), draw(SIDES), search)))
    mask = blocks.nothing(view)
    rows, columns = mask.shape
    cell = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    marked = draw(st.lists(cell, max_size=40))
    for place in marked:
        mask[place] = True
    return Case(blocks, detector, view, mask, marked)


def block_of(case: Case, row: int, column: int) -> Rectangle:
    """The pixels of a block of the case's view, cut to the view."""
    side, view = case.blocks.side, case.view
    top, left = (row + view.y1 // side) * side, (column + view.x1 // side) * side
    return (
        max(view.x1, left),
        max(view.y1, top),
        min(view.x2, left + side),
        min(view.y2, top + side),
    )


def holds(outer: View | Rectangle, x1: int, y1: int, x2: int, y2: int) -> bool:
    left, top, right, bottom = outer if isinstance(outer, tuple) else (outer.x1, outer.y1, outer.x2, outer.y2)
    return left <= x1 and top <= y1 and x2 <= right and y2 <= bottom


def span(draw: st.DataObject, first: int, last: int, low: int, high: int, most: int) -> tuple[int, int]:
    """A span of at most ``most`` pixels between ``low`` and ``high`` that touches ``first`` to ``last``."""
    length = draw.draw(st.integers(1, min(most, high - low)))
    begin = draw.draw(st.integers(max(low, first - length + 1), min(high - length, last - 1)))
    return begin, begin + length


@given(cases(), st.data())
def test_every_face_that_touches_a_marked_block_is_seen_whole(case: Case, data: st.DataObject) -> None:
    view, parts = case.view, case.blocks.views(case.detector, case.view, case.mask)
    for row, column in case.marked:
        x1, y1, x2, y2 = block_of(case, row, column)
        left, right = span(data, x1, x2, view.x1, view.x2, view.margin)
        top, bottom = span(data, y1, y2, view.y1, view.y2, view.margin)
        assert any(holds(part, left, top, right, bottom) for part in parts), (left, top, right, bottom)


@given(cases())
def test_parts_lie_in_the_view_and_keep_its_scale(case: Case) -> None:
    view, parts = case.view, case.blocks.views(case.detector, case.view, case.mask)
    assert bool(parts) == bool(case.marked)
    scale = view.letterbox.scale
    for part in parts:
        assert part.x1 < part.x2
        assert part.y1 < part.y2
        assert holds(view, part.x1, part.y1, part.x2, part.y2)
        assert (part.turn, part.least, part.margin, part.detector) == (
            view.turn,
            view.least,
            view.margin,
            view.detector,
        )
        # One pixel of the canvas is what rounding may cost.
        longer = max(part.x2 - part.x1, part.y2 - part.y1)
        assert abs(max(part.letterbox.inner_width, part.letterbox.inner_height) - longer * scale) <= 1


@given(cases(FIXED))
def test_a_canvas_of_fixed_size_is_looked_at_whole_and_once(case: Case) -> None:
    parts = case.blocks.views(case.detector, case.view, case.mask)
    assert parts == ([case.view] if case.marked else [])


@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(1, 60), st.integers(1, 60)),
        max_size=2 * MOST_RECTANGLES,
    ),
    st.floats(0, 1000),
)
def test_joining_loses_nothing_and_saves_pixels(drawn: list[Rectangle], run_blocks: float) -> None:
    before = [(x, y, x + width, y + height) for x, y, width, height in drawn]
    after = blocks_module._joined(before, run_blocks)
    assert len(after) <= len(before)
    assert all(any(holds(one, *each) for one in after) for each in before)
    cost = [sum((x2 - x1) * (y2 - y1) + run_blocks for x1, y1, x2, y2 in each) for each in (after, before)]
    assert cost[0] <= cost[1] + 1e-6


def test_too_many_places_are_looked_at_together() -> None:
    detector, blocks = Painted(), Blocks(20)
    view = detector.views(3840, 2160, Search(in_parts=True))[-1]
    mask = blocks.nothing(view)
    step = 2 * (-(-view.margin // blocks.side) + 1)
    mask[::step, ::step] = True
    assert mask.sum() > MOST_RECTANGLES
    assert len(blocks.views(detector, view, mask)) == 1


@given(st.integers(16, 300), st.integers(16, 300), SMALLEST, st.data())
def test_a_pixel_counts_in_its_own_block_alone(
    width: int, height: int, smallest: int, data: st.DataObject
) -> None:
    blocks = Blocks(smallest)
    pixels = np.full((height, width, 3), 40, np.uint8)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    row, column = y // blocks.side, x // blocks.side
    other = pixels.copy()
    area = slice(row * blocks.side, (row + 1) * blocks.side), slice(column * blocks.side, None)
    other[area][:, : blocks.side] = 200
    changed = (blocks.means(pixels) != blocks.means(other)).any(axis=2)
    expected = np.zeros((-(-height // blocks.side), -(-width // blocks.side)), np.bool_)
    expected[row, column] = True
    assert np.array_equal(changed, expected)


@pytest.mark.parametrize("smallest", [8, 12, 20, 33, 60, 1000])
def test_a_whole_block_lies_in_the_smallest_face_wherever_it_is(smallest: int) -> None:
    side = Blocks(smallest).side
    assert 2 * side - 1 <= smallest


def test_boxes_touch_the_blocks_that_they_share_a_pixel_with() -> None:
    detector, blocks = Painted(), Blocks(20)
    view = detector.views(1920, 1080, Search(in_parts=True))[-1]
    mask = blocks.nothing(view)
    mask[10, 20] = True  # the pixels 160..168, 80..88
    boxes = np.array(
        [
            [160, 80, 168, 88],
            [140, 60, 160.5, 80.5],
            [167.5, 87.5, 190, 110],
            [140, 60, 160, 100],
            [168, 60, 190, 100],
            [-30, -30, 161, 81],
            [100, 50, 5000, 5000],
        ],
        np.float32,
    )
    assert blocks.touching(view, boxes, mask).tolist() == [True, True, True, False, False, True, True]


def test_means_are_those_of_the_pixels() -> None:
    random = np.random.default_rng(3)
    pixels: Pixels = random.integers(0, 256, (90, 130, 3), np.uint8)
    blocks = Blocks(20)
    seen = blocks.means(pixels)
    assert seen.shape == (12, 17, 3)
    for row, column in ((0, 0), (10, 15), (4, 9)):
        block = pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        assert np.abs(block.mean(axis=(0, 1)) - seen[row, column]).max() <= 0.51
