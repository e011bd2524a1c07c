"""Privacy zones: covered whatever is in them, and whatever is done to the frame before."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import blur
from edge.config import BlurConfig, CameraConfig
from edge.detection.detector import Detections
from edge.frames import Pixels, RawFrame
from edge.sources import make_source
from tests.daemon.playing import (
    KNOWN_FACE,
    FakeDetector,
    check_accounts,
    config_without_last_look,
    is_known_face,
    make,
    stored,
)
from tests.raw_frames import raw_frame

# Corners on the border and on round numbers are where rounding goes wrong.
SHARE = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 0.1, 0.9]))
CORNERS = st.lists(st.tuples(SHARE, SHARE), min_size=3, max_size=8)
POLYGON = CORNERS.filter(lambda zone: len(set(zone)) >= 3).map(tuple)
SIZE = st.sampled_from([(160, 96), (161, 97), (333, 187), (16, 16), (640, 20)])
NONE = np.zeros((0, 4), np.float32)
CONCAVE = ((0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (0.9, 0.9), (0.1, 0.9))
BOW_TIE = ((0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9))
STAR = ((0.5, 0.05), (0.76, 0.86), (0.07, 0.36), (0.93, 0.36), (0.24, 0.86))
TWICE = CONCAVE + CONCAVE
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def frame(pixels: Pixels) -> RawFrame:
    return raw_frame(pixels, utc_ns=1_700_000_000_000_000_000)


def noise(seed: int, width: int = 160, height: int = 96) -> Pixels:
    """Never the colour of a covered pixel."""
    return np.random.default_rng(seed).integers(0, blur.GREY, (height, width, 3), np.uint8)


def inside(zone: Any, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Pixels whose centre the polygon goes around, by the crossings of a ray to the left: no OpenCV in it."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    corners = np.array(zone) * [width, height]
    turns = np.zeros((height, width), np.int64)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y1 <= y) != (y2 <= y)
        left = (x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)
        turns += np.where(crosses & ((left > 0) == (y2 > y1)), np.sign(y2 - y1).astype(int), 0)
    return np.asarray(turns != 0, np.bool_)


def covered(safe: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray((safe == blur.GREY).all(axis=2), np.bool_)


def test_the_reference_knows_what_inside_is() -> None:
    assert inside(WHOLE, 20, 16).all()
    assert inside(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)), 16, 16).sum() == 64
    middle = inside(CONCAVE, 100, 100)
    assert middle[50, 30]
    assert not middle[50, 70]
    assert inside(STAR, 100, 100)[50, 50]
    assert inside(TWICE, 100, 100)[50, 30]


@given(zone=POLYGON, size=SIZE)
def test_every_pixel_whose_centre_is_inside_is_covered(zone: Any, size: tuple[int, int]) -> None:
    safe = blur.anonymize(frame(noise(1, *size)), NONE, BlurConfig(), (zone,)).pixels
    assert covered(safe)[inside(zone, *size)].all()


@pytest.mark.parametrize("zone", [CONCAVE, BOW_TIE, STAR, TWICE, WHOLE, WHOLE[::-1], (*CONCAVE, CONCAVE[0])])
@pytest.mark.parametrize("size", [(1920, 1080), (641, 363), (16, 16)])
def test_known_shapes_at_full_size(zone: Any, size: tuple[int, int]) -> None:
    safe = blur.anonymize(frame(noise(1, *size)), NONE, BlurConfig(), (zone,)).pixels
    assert covered(safe)[inside(zone, *size)].all()


@given(st.lists(POLYGON, min_size=1, max_size=4).map(tuple))
def test_each_of_several_zones_is_covered(zones: Any) -> None:
    safe = blur.anonymize(frame(noise(1)), NONE, BlurConfig(), zones).pixels
    for zone in zones:
        assert covered(safe)[inside(zone, 160, 96)].all()


@pytest.mark.parametrize("fill", ["infill", "solid", "gaussian", "mosaic"])
@given(zone=POLYGON, left=st.integers(0, 120), top=st.integers(0, 70), faces=st.integers(0, 2))
def test_what_is_in_a_zone_leaves_no_trace(fill: Any, zone: Any, left: int, top: int, faces: int) -> None:
    """Also not by way of the fill of a face beside it."""
    first, second = noise(1), noise(1)
    hidden = inside(zone, 160, 96)
    second[hidden] = 255 - noise(2)[hidden]
    boxes = np.array([[left, top, left + 30, top + 24], [10, 60, 40, 90]][:faces], np.float32).reshape(-1, 4)
    settings = BlurConfig(fill=fill)
    results = [blur.anonymize(frame(p), boxes, settings, (zone,)).pixels.tobytes() for p in (first, second)]
    assert results[0] == results[1]


def test_a_zone_of_the_whole_frame_leaves_nothing() -> None:
    for size in [(160, 96), (161, 97), (16, 16)]:
        assert covered(blur.anonymize(frame(noise(1, *size)), NONE, BlurConfig(), (WHOLE,)).pixels).all()


@given(zone=POLYGON)
def test_pixels_far_from_a_zone_are_left_alone(zone: Any) -> None:
    pixels = noise(1)
    safe = blur.anonymize(frame(pixels), NONE, BlurConfig(), (zone,)).pixels
    corners = np.array(zone) * [160, 96]
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 3, 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 3
    outside = np.ones((96, 160), bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(safe[outside], pixels[outside])


def test_the_raw_frame_is_not_painted_on() -> None:
    pixels = noise(1)
    blur.anonymize(frame(pixels), NONE, BlurConfig(), (WHOLE,))
    assert np.array_equal(pixels, noise(1))


class Nobody(FakeDetector):
    """Finds no face in frames, so that all that is covered is the zone."""

    def find(self, pixels: Pixels) -> Detections:
        if is_known_face(pixels):
            return KNOWN_FACE
        return Detections(NONE, np.zeros(0, np.float32))


@pytest.mark.parametrize("crop", [None, (0.25, 0.125, 1.0, 0.75)])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("last_look", ["always", "off"])
def test_zones_are_those_of_the_turned_and_cropped_frame(
    tmp_path: Path, turn: int, crop: tuple[float, float, float, float] | None, last_look: str
) -> None:
    """The whole way, from a picture in a watched folder to the stored image."""
    upright = noise(3, 160, 96)
    codes = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    delivered = cv2.rotate(upright, codes[turn]) if turn else upright
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    assert cv2.imwrite(str(inbox / "one.png"), delivered)
    camera = CameraConfig(
        source=str(inbox),
        kind="folder",
        poll_seconds=0.01,
        rotate_degrees=cast(Any, turn),
        crop=crop,
        privacy_zones=(CONCAVE,),
    )
    settings = config_without_last_look(tmp_path / "store", privacy={"last_look": last_look})
    stop = threading.Event()
    pipeline, metrics = make(settings, [make_source("test", camera, stop)], Nobody(), stop=stop)
    pipeline.start()
    deadline = time.monotonic() + 20
    while metrics.count("images_written", "test") < 1 and time.monotonic() < deadline:
        pipeline.tick(0.02)
    pipeline.stop()
    check_accounts(metrics)
    wanted = upright if crop is None else upright[12:72, 40:160]
    (image,) = stored(tmp_path / "store")
    assert image.shape == wanted.shape
    height, width = wanted.shape[:2]
    hidden = covered(image)
    assert hidden[inside(CONCAVE, width, height)].all()
    assert hidden.mean() < 0.7
    assert np.array_equal(image[~hidden], wanted[~hidden])
