"""Privacy zones: covered whatever is in them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import blur
from edge.config import BlurConfig
from edge.frames import Pixels, RawFrame

SHARE = st.floats(0, 1, allow_nan=False)
POLYGON = st.lists(st.tuples(SHARE, SHARE), min_size=3, max_size=8, unique=True).map(tuple)
NONE = np.zeros((0, 4), np.float32)


def frame(pixels: Pixels) -> RawFrame:
    return RawFrame(pixels, "test", 0, 0.0, 0.0, 1_700_000_000_000_000_000)


def noise(seed: int, width: int = 160, height: int = 96) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@given(POLYGON)
def test_every_pixel_whose_centre_is_inside_is_covered(zone: Any) -> None:
    safe = blur.anonymize(frame(noise(1)), NONE, BlurConfig(), (zone,)).pixels
    height, width = safe.shape[:2]
    corners = (np.array(zone) * [width, height]).astype(np.float32).reshape(-1, 1, 2)
    hull_signs = [
        (x, y)
        for y in range(height)
        for x in range(width)
        if cv2.pointPolygonTest(corners, (x + 0.5, y + 0.5), False) > 0
    ]
    for x, y in hull_signs:
        assert (safe[y, x] == blur.GREY).all()


@pytest.mark.parametrize("fill", ["infill", "solid"])
@given(zone=POLYGON, left=st.integers(0, 120), top=st.integers(0, 70))
def test_what_is_in_a_zone_leaves_no_trace(fill: Any, zone: Any, left: int, top: int) -> None:
    """Also not by way of the fill of a face beside it."""
    first, second = noise(1), noise(1)
    hidden = np.zeros(first.shape[:2], np.uint8)
    corners = np.floor(np.array(zone) * [160, 96]).astype(np.int32)
    cv2.fillPoly(hidden, [corners], 1)
    second[hidden == 1] = noise(2)[hidden == 1]
    face = np.array([[left, top, left + 30, top + 24]], np.float32)
    settings = BlurConfig(fill=fill)
    results = [blur.anonymize(frame(p), face, settings, (zone,)).pixels.tobytes() for p in (first, second)]
    assert results[0] == results[1]


def test_a_zone_of_the_whole_frame_leaves_nothing() -> None:
    zone = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert (blur.anonymize(frame(noise(1)), NONE, BlurConfig(), (zone,)).pixels == blur.GREY).all()


def test_pixels_far_from_a_zone_are_left_alone() -> None:
    pixels = noise(1)
    safe = blur.anonymize(frame(pixels), NONE, BlurConfig(), (((0.0, 0.0), (0.4, 0.0), (0.0, 0.4)),)).pixels
    assert np.array_equal(safe[50:, 100:], pixels[50:, 100:])
