"""Frames of sizes that are not detected on, and a stream that changes its size: a new scene begins."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import blur
from edge.config import CameraConfig
from edge.daemon.load import LoadLevel
from edge.detection import visibility
from edge.detection.detector import Detections
from edge.frames import Pixels, RawFrame
from edge.reasons import Reason
from edge.sources.size import MOST_PIXELS, SMALLEST_SIDE
from edge.sources.synthetic import draw_wall, view
from tests.daemon.playing import (
    KNOWN_FACE,
    SECRET,
    FakeDetector,
    Played,
    check_accounts,
    config,
    config_without_last_look,
    force,
    is_known_face,
    make,
    no_rest,
    no_secret,
    picture,
    run,
    stored,
)

ZONE = ((0.75, 0.75), (1.0, 0.75), (1.0, 1.0), (0.75, 1.0))


class Camera(Played):
    """Plays pictures as a real source does: cropped and checked."""

    def __init__(self, pictures: Sequence[Pixels], live: bool = True, **keys: object) -> None:
        super().__init__(list(pictures), live)
        self.config = CameraConfig.model_validate({"source": "x", **keys})

    def __iter__(self) -> Iterator[RawFrame]:
        for number, pixels in enumerate(self._pictures):
            frame = self._frame(pixels, number / 25, time.monotonic())
            if frame is not None:
                yield frame


class Finds(FakeDetector):
    """Finds what has the colour of the secret, at any size."""

    def find(self, pixels: Pixels) -> Detections:
        if is_known_face(pixels):
            return KNOWN_FACE
        x, y, width, height = cv2.boundingRect((pixels == SECRET).all(axis=2).astype(np.uint8))
        boxes = np.array([[x, y, x + width, y + height]] if width else [], np.float32).reshape(-1, 4)
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32))


def scaled(number: int, scale: int) -> Pixels:
    return np.asarray(picture(number).repeat(scale, axis=0).repeat(scale, axis=1))


@pytest.mark.parametrize("live", [False, True])
def test_a_stream_that_changes_its_size_begins_a_new_scene(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, live: bool
) -> None:
    scales = [1] * 8 + [2] * 8 + [1] * 4
    pictures = [scaled(number, scale) for number, scale in enumerate(scales)]
    settings = config(tmp_path, blur={"hold_before_frames": 3})
    camera = Camera(pictures, live, crop=(0, 0, 1, 0.8), privacy_zones=(ZONE,))
    pipeline, metrics = make(settings, [camera], Finds())
    run(pipeline)
    check_accounts(metrics)
    waiting = 3 if live else 0  # at each change, and at the end
    assert metrics.count("frames_dropped", "test", Reason.NO_LOOKAHEAD) == 3 * waiting
    assert no_secret(tmp_path) == len(scales) - 3 * waiting
    heights = [96] * (8 - waiting) + [192] * (8 - waiting) + [96] * (4 - waiting)
    images = stored(tmp_path)
    assert [image.shape[0] for image in images] == heights
    for image in images:  # the zone is where it was, whatever the size
        height, width = image.shape[:2]
        assert (image[int(0.78 * height) :, int(0.78 * width) :] == blur.GREY).all()
        assert (image[: int(0.7 * height), int(0.78 * width) :] != blur.GREY).all()
    first, second = (record.message for record in caplog.records if "a new scene" in record.message)
    assert first == "camera test: 320x192 now, 160x96 before: a new scene begins"
    assert second.startswith("camera test: other sizes: 1 more in ")


def test_what_moved_before_a_change_of_size_says_nothing_about_after(tmp_path: Path) -> None:
    """There is no earlier frame to compare the first ones with."""
    pictures = [scaled(number, scale) for number, scale in enumerate([1] * 4 + [2] * 4 + [1] * 4)]
    camera = Camera(pictures, live=False)
    pipeline, metrics = make(config_without_last_look(tmp_path), [camera], Finds())
    force(pipeline, LoadLevel.MOTION_MASK)
    no_rest(pipeline)
    run(pipeline)
    check_accounts(metrics)
    assert metrics.count("frames_dropped", "test", Reason.LOAD) == 3
    no_secret(tmp_path)


def peak_bytes() -> int:
    """The most memory that this process has used since ``VmHWM`` was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_frames_of_an_impossible_size_have_a_reason_and_cost_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    huge = np.full((6000, 8000, 3), 90, np.uint8)
    bad = [scaled(0, 1)[:17, :17], np.full((2000, 16, 3), 90, np.uint8), huge, huge[:50, :1001]]
    pictures = [pixels for number, wrong in enumerate(bad) for pixels in (wrong, picture(number))]
    pipeline, metrics = make(config_without_last_look(tmp_path), [Camera(pictures * 3, False)], Finds())
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_bytes()
    run(pipeline)
    check_accounts(metrics)
    assert metrics.count("frames_dropped", "test", Reason.SIZE) == 12
    assert no_secret(tmp_path) == 12
    assert peak_bytes() - before < huge.nbytes  # not even one copy was made
    said = [record.message for record in caplog.records if "cannot be used" in record.message]
    assert said == [
        "camera test: pictures cannot be used: 17x17 pixels: a side of less than 48; set another size in the "
        "camera"
    ]


def test_visibility_can_be_told_from_the_smallest_side_on_and_not_much_below() -> None:
    wall, chance = draw_wall(), np.random.default_rng(1)

    def unseen(side: int) -> int:
        """How many of 20 frames that show a part of a well-lit wall count as showing nothing."""
        count = 0
        for moment in range(20):
            small = cv2.resize(
                view(wall, moment), None, fx=side / 720, fy=side / 720, interpolation=cv2.INTER_AREA
            )
            left = chance.integers(0, small.shape[1] - side)
            count += visibility.problem(np.asarray(small[:side, left : left + side], np.uint8)) is not None
        return count

    assert unseen(SMALLEST_SIDE) == 0
    assert unseen(SMALLEST_SIDE // 2) >= 10


def test_the_limit_is_that_of_the_frame_that_is_left_after_crop() -> None:
    side = 8000
    assert side * 6000 > MOST_PIXELS
    huge = np.broadcast_to(np.uint8(90), (6000, side, 3))
    crop = Camera([huge], crop=(0.25, 0.25, 0.75, 0.75), rotate_degrees=90)
    (frame,) = list(crop)
    assert (frame.width, frame.height) == (3000, 4000)
    assert list(Camera([huge], rotate_degrees=90)) == []


def test_a_detector_that_always_fails_is_a_line_not_hundreds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Finds):
        def find(self, pixels: Pixels) -> Detections:
            if is_known_face(pixels):
                return KNOWN_FACE
            raise ValueError("NaN")

    camera = Camera([picture(number) for number in range(50)], live=False)
    pipeline, metrics = make(config_without_last_look(tmp_path), [camera], Broken())
    run(pipeline)
    assert metrics.count("frames_dropped", "test", Reason.DETECTOR_ERROR) == 50
    first, rest = (record.message for record in caplog.records if "NaN" in record.message)
    assert first == "camera test: frame 0: ValueError: NaN"
    assert rest.startswith("camera test: ValueError: 49 more in ")
    assert all(before != after for before, after in pairwise(record.message for record in caplog.records))
