"""Views: no face, from the smallest to one as large as the frame, falls between two of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.detection import views
from edge.detection.views import SMALLEST_ON_CANVAS, Canvas, FreeCanvas, Search, View
from edge.errors import DetectionError

AnyCanvas = Canvas | FreeCanvas
FREE = FreeCanvas(32)
FIXED: list[AnyCanvas] = [
    Canvas(512, 512, False, 0),
    Canvas(260, 260, True, 0),
    Canvas(1024, 1024, False, 512),
    Canvas(1920, 1088, False, 0),
]
SIZES = {
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "4K": (3840, 2160),
    "portrait": (1080, 1920),
    "5:4": (1280, 1024),
    "panorama": (12000, 420),
    "48 megapixels": (8000, 6000),
    "small": (320, 240),
    "strip": (60000, 400),
}
SMALLEST = [12, 20, 40]
LARGEST_ON_CANVAS = 2 * views.CLOSE_UP_SIDE
"""Pixels of a free canvas: faces that were larger in every view could be missed."""


def looked_at(
    size: tuple[int, int], search: Search, canvas: AnyCanvas, smallest: float = SMALLEST_ON_CANVAS
) -> list[View]:
    return views.views_of(*size, search, smallest, canvas)


def scale_of(view: View) -> float:
    return view.letterbox.scale


def seen_at(chosen: Iterable[View], x: Any, y: Any, side: float) -> npt.NDArray[np.float64]:
    """Pixels of the canvas that square faces at ``x``, ``y`` have in the views that show them whole and count
    them, ``[views, faces]``; 0 elsewhere."""
    return np.array(
        [
            np.where(
                (view.x1 <= x) & (view.y1 <= y) & (x + side <= view.x2) & (y + side <= view.y2),
                side * scale_of(view) * (side >= view.least),
                0,
            )
            for view in chosen
        ]
    )


def check_every_face_is_seen(size: tuple[int, int], search: Search, canvas: AnyCanvas, turn: int) -> None:
    """Each is whole, counted and large enough in a view that is turned this way."""
    chosen = [view for view in looked_at(size, search, canvas) if view.turn == turn]
    random = np.random.default_rng(1)
    for side in np.geomspace(search.smallest_face, min(size), 40):
        x, y = (random.uniform(0, 1, (60, 2)) * [size[0] - side, size[1] - side]).T
        # Those at the borders of the frame, too.
        x[:4], y[:4] = [0, size[0] - side] * 2, [0, 0, size[1] - side, size[1] - side]
        on_canvas = seen_at(chosen, x, y, side)
        # One pixel for the rounding of sides.
        assert (on_canvas.max(axis=0) > SMALLEST_ON_CANVAS - 1).all(), side
        if isinstance(canvas, FreeCanvas):
            fits = (on_canvas > SMALLEST_ON_CANVAS - 1) & (on_canvas <= LARGEST_ON_CANVAS)
            assert fits.any(axis=0).all(), side


@pytest.mark.parametrize("smallest", SMALLEST)
@pytest.mark.parametrize("in_parts", [False, True], ids=["whole", "in parts"])
@pytest.mark.parametrize("canvas", [FREE, *FIXED], ids=str)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_every_face_is_whole_and_large_enough_in_some_view(
    size: tuple[int, int], canvas: AnyCanvas, in_parts: bool, smallest: int
) -> None:
    check_every_face_is_seen(size, Search(smallest, in_parts=in_parts), canvas, 0)


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.parametrize("canvas", [FREE, *FIXED], ids=str)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_so_is_every_face_that_does_not_stand_upright(
    size: tuple[int, int], canvas: AnyCanvas, turn: int
) -> None:
    check_every_face_is_seen(size, Search(any_orientation=True, in_parts=True), canvas, turn)


searches = st.builds(
    Search,
    smallest_face=st.integers(8, 1000),
    any_orientation=st.booleans(),
    in_parts=st.booleans(),
    least_side=st.sampled_from([480, 960]),
)


@given(st.integers(16, 6000), st.integers(16, 6000), searches, st.sampled_from([FREE, *FIXED]))
def test_views_lie_in_the_frame_and_reach_the_scale(
    width: int, height: int, search: Search, canvas: AnyCanvas
) -> None:
    chosen = looked_at((width, height), search, canvas)
    assert {view.turn for view in chosen} == ({0, 1, 2, 3} if search.any_orientation else {0})
    for view in chosen:
        assert 0 <= view.x1 < view.x2 <= width
        assert 0 <= view.y1 < view.y2 <= height
        box = view.letterbox
        assert 0 < box.inner_width <= box.width
        assert 0 < box.inner_height <= box.height
        inside = (view.x2 - view.x1, view.y2 - view.y1)[:: -1 if view.turn % 2 else 1]
        assert (box.inner_width / inside[0], box.inner_height / inside[1]) == (box.scale_x, box.scale_y)
        if isinstance(canvas, FreeCanvas):
            assert max(box.width, box.height) <= views.LONGEST_SIDE
    assert (chosen[0].x1, chosen[0].y1, chosen[0].x2, chosen[0].y2) == (0, 0, width, height)
    # Only the finest level counts boxes of every size.
    assert chosen[-1].least == 0
    # One pixel of each side of the canvas for rounding.
    for view in chosen:
        shorter = min(view.letterbox.inner_width, view.letterbox.inner_height)
        needed = SMALLEST_ON_CANVAS / search.smallest_face
        assert view.least > 0 or scale_of(view) >= needed * (1 - 1 / max(1, shorter))


@given(
    # On the smallest of these canvases, larger frames would take millions of tiles.
    st.integers(16, 800),
    st.integers(16, 800),
    searches.map(lambda search: replace(search, smallest_face=max(20, search.smallest_face))),
    st.sampled_from([FREE, *FIXED, Canvas(64, 64, False, 0), Canvas(320, 100, False, 0)]),
    st.sampled_from([SMALLEST_ON_CANVAS, 8, 30, 60]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
@example(1100, 720, Search(), Canvas(64, 64, False, 0), 60, 0.5, 0.5, 0.1)
def test_no_view_leaves_a_face_to_finer_ones_that_cut_it(
    width: int,
    height: int,
    search: Search,
    canvas: AnyCanvas,
    smallest: float,
    x: float,
    y: float,
    share: float,
) -> None:
    """The finest view that shows a face whole counts it, even on a canvas too small for the detector."""
    chosen = looked_at((width, height), search, canvas, smallest)
    side = min(search.smallest_face, width, height) * (
        max(1.0, min(width, height) / search.smallest_face) ** share
    )
    left, top = np.array([x * (width - side)]), np.array([y * (height - side)])
    for turn in {view.turn for view in chosen}:
        here = [view for view in chosen if view.turn == turn]
        uncounted = seen_at([replace(view, least=0) for view in here], left, top, side)[:, 0]
        counted = seen_at(here, left, top, side)[:, 0]
        assert counted.max() == uncounted.max() > 0


@given(
    st.sampled_from(list(SIZES.values())),
    searches,
    *[st.floats(0, 1) for _ in range(4)],
    st.integers(0, 10**6),
)
def test_a_part_of_a_view_has_its_scale(
    size: tuple[int, int], search: Search, x1: float, y1: float, x2: float, y2: float, number: int
) -> None:
    chosen = looked_at(size, search, FREE)
    view = chosen[number % len(chosen)]
    wide, tall = view.x2 - view.x1, view.y2 - view.y1
    left, right = sorted((view.x1 + round(x1 * wide), view.x1 + round(x2 * wide)))
    top, bottom = sorted((view.y1 + round(y1 * tall), view.y1 + round(y2 * tall)))
    if right - left < 1 or bottom - top < 1:
        return
    part = views.part_of(view, left, top, right, bottom, FREE)
    assert (part.x1, part.y1, part.x2, part.y2) == (left, top, right, bottom)
    assert (part.least, part.margin, part.turn) == (view.least, view.margin, view.turn)
    inside = (right - left, bottom - top)[:: -1 if view.turn % 2 else 1]
    # At most a pixel of the canvas is lost to rounding, on each side.
    wanted = np.array(inside) * scale_of(view)
    assert np.abs([part.letterbox.inner_width, part.letterbox.inner_height] - wanted).max() <= 1
    assert part.letterbox.width >= part.letterbox.inner_width
    assert part.letterbox.height >= part.letterbox.inner_height


@pytest.mark.parametrize(
    ("size", "whole", "parts"),
    [
        ((640, 480), [(480, 384)], [(480, 384)]),
        ((1280, 720), [(896, 512)], [(256, 160), (480, 288), (896, 512)]),
        ((1920, 1080), [(480, 288), (1344, 768)], [(256, 160), (576, 320), (1344, 768)]),
        ((2560, 1440), [(480, 288), (1792, 1024)], [(256, 160), (480, 288), (928, 544), (1792, 1024)]),
        ((1080, 1920), [(288, 480), (768, 1344)], [(160, 256), (320, 576), (768, 1344)]),
        (
            (3840, 2160),
            [(480, 288), (1440, 1536), (1440, 1536)],
            [(256, 160), (544, 320), (1216, 704), (1376, 1536), (1376, 1536)],
        ),
    ],
)
def test_views_of_common_cameras(
    size: tuple[int, int], whole: list[tuple[int, int]], parts: list[tuple[int, int]]
) -> None:
    for in_parts, wanted in ((False, whole), (True, parts)):
        chosen = looked_at(size, Search(in_parts=in_parts), FREE)
        assert [(view.letterbox.width, view.letterbox.height) for view in chosen] == wanted


def test_what_is_asked_for_decides_about_the_pixels() -> None:
    """A smaller face takes more of them, and a lying one four times as many."""

    def pixels(search: Search, canvas: AnyCanvas) -> int:
        boxes = [view.letterbox for view in looked_at((1920, 1080), search, canvas)]
        return sum(box.width * box.height for box in boxes)

    canvases: list[AnyCanvas] = [FREE, *FIXED]
    for canvas in canvases:
        costs = [pixels(Search(smallest), canvas) for smallest in (8, 20, 40, 200)]
        assert costs == sorted(costs, reverse=True)
        assert costs[0] > 2 * costs[-1]
    assert pixels(Search(any_orientation=True), FREE) == 4 * pixels(Search(), FREE)


def test_a_canvas_that_is_hopelessly_small_still_covers_the_frame() -> None:
    chosen = looked_at((640, 480), Search(), Canvas(64, 64, False, 0))
    seen = np.zeros((480, 640), bool)
    for view in chosen:
        if scale_of(view) > 0.69:
            seen[view.y1 : view.y2, view.x1 : view.x2] = True
    assert seen.all()


@pytest.mark.parametrize("smallest", [SMALLEST_ON_CANVAS, 8192])
def test_more_views_than_can_be_looked_at_are_refused(smallest: float) -> None:
    """Also where a face would have to be larger than the canvas. The error names every way out."""
    with pytest.raises(
        DetectionError,
        match=r"faces of 8 pixels in a picture of 8000x6000, .* more than 10,000 views of 100x100 pixels; "
        r"look for larger faces \(privacy\.smallest_face_pixels, --smallest-face\), .*\(detector\.canvas\)",
    ):
        looked_at((8000, 6000), Search(8), Canvas(100, 100, False, 0), smallest)
