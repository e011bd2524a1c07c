"""Views: no face, from the smallest to one as large as the frame, falls between two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detection import views
from edge.detection.views import SMALLEST_FACE, SMALLEST_ON_CANVAS, Canvas, OwnSize, View

OWN = OwnSize(32, views.CLOSE_UP_SIDE)
FIXED = [
    Canvas(512, 512, False, 0),
    Canvas(260, 260, True, 0),
    Canvas(1024, 1024, False, 512),
    Canvas(1920, 1088, False, 0),
]
SIZES = [(640, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (1080, 1920), (1280, 1024)]


def all_views(width: int, height: int, canvas: Canvas | OwnSize) -> list[View]:
    return views.whole(width, height, canvas) + views.tiles(width, height, canvas)


def widest_seen(looked_at: list[View], x: float, y: float, side: float) -> float:
    """Pixels of the canvas that a square face has where it is seen best and whole; 0 where it is cut."""
    return max(
        (
            side * min(view.letterbox.scale_x, view.letterbox.scale_y)
            for view in looked_at
            if view.x1 <= x and view.y1 <= y and x + side <= view.x2 and y + side <= view.y2
        ),
        default=0.0,
    )


@pytest.mark.parametrize("size", [*SIZES, (12000, 420), (8000, 6000), (60000, 400)])
@pytest.mark.parametrize("canvas", [OWN, *FIXED], ids=str)
def test_every_face_is_whole_and_large_enough_in_some_view(
    size: tuple[int, int], canvas: Canvas | OwnSize
) -> None:
    width, height = size
    looked_at = all_views(width, height, canvas)
    random = np.random.default_rng(1)
    largest = min(width, height)
    for side in np.geomspace(SMALLEST_FACE, largest, 40):
        for x, y in random.uniform(0, 1, (50, 2)) * [width - side, height - side]:
            # One pixel for the rounding of sides.
            assert widest_seen(looked_at, x, y, side) > SMALLEST_ON_CANVAS - 1, (x, y, side)


@given(st.integers(16, 30000), st.integers(16, 30000), st.sampled_from([OWN, *FIXED]))
def test_tiles_lie_in_the_frame_and_keep_the_scale(width: int, height: int, canvas: Canvas | OwnSize) -> None:
    tiles = views.tiles(width, height, canvas)
    for view in tiles:
        assert 0 <= view.x1 < view.x2 <= width
        assert 0 <= view.y1 < view.y2 <= height
        assert max(view.letterbox.width, view.letterbox.height) <= views.LONGEST_SIDE
    if tiles:
        finest = tiles[-1].letterbox
        assert min(finest.scale_x, finest.scale_y) * SMALLEST_FACE > SMALLEST_ON_CANVAS - 1


@pytest.mark.parametrize(
    ("size", "whole", "tiles"),
    [
        ((640, 480), [(640, 480)], 0),
        ((1280, 720), [(1280, 736), (480, 288)], 0),
        ((1920, 1080), [(1920, 1088), (480, 288)], 0),
        ((2688, 1520), [(1920, 1088), (480, 288)], 0),
        ((3840, 2160), [(1920, 1088), (480, 288)], 2),
        ((1080, 1920), [(1088, 1920), (288, 480)], 0),
    ],
)
def test_views_of_common_cameras(size: tuple[int, int], whole: list[tuple[int, int]], tiles: int) -> None:
    seen = [(view.letterbox.width, view.letterbox.height) for view in views.whole(*size, OWN)]
    assert seen == whole
    assert len(views.tiles(*size, OWN)) == tiles


def test_a_canvas_that_is_hopelessly_small_still_covers_the_frame() -> None:
    tiles = views.tiles(640, 480, Canvas(64, 64, False, 0))
    finest = [view for view in tiles if view.letterbox.scale_x > 0.69]
    seen = np.zeros((480, 640), bool)
    for view in finest:
        seen[view.y1 : view.y2, view.x1 : view.x2] = True
    assert seen.all()
