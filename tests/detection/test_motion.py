"""What moves is inside the boxes; what does not is not."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.boxes import Floats
from edge.detection.motion import CELL, MEMORY, Motion
from edge.frames import Pixels

SIZES = [(1280, 720), (641, 363), (100, 40), (17, 16)]


def scene(width: int = 1280, height: int = 720, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(40, 200, (height, width, 3), np.uint8)


def plain(width: int = 640, height: int = 360, grey: int = 90) -> Pixels:
    return np.full((height, width, 3), grey, np.uint8)


def with_square(
    pixels: Pixels, x: int, y: int, side: int, colour: tuple[int, int, int] = (255, 255, 255)
) -> Pixels:
    pixels = pixels.copy()
    pixels[y : y + side, x : x + side] = colour
    return pixels


def covered(boxes: Floats | None, width: int, height: int) -> npt.NDArray[np.bool_]:
    assert boxes is not None
    mask = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes:
        mask[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
    return mask


def test_the_first_frame_cannot_be_told() -> None:
    motion = Motion()
    assert motion.boxes(scene()) is None
    motion.boxes(scene())
    motion.forget()
    assert motion.boxes(scene()) is None


def test_another_size_begins_anew() -> None:
    motion = Motion()
    motion.boxes(scene())
    motion.boxes(scene())
    assert motion.boxes(scene(640, 480)) is None
    boxes = motion.boxes(scene(640, 480))
    assert boxes is not None
    assert len(boxes) == 0
    # Within the same number of cells, too: the cells lie elsewhere then, but there is something to compare.
    motion.boxes(plain(641, 363))
    assert motion.boxes(plain(642, 363)) is not None


@pytest.mark.parametrize("seed", range(3))
def test_nothing_moves_in_a_still_picture_with_noise(seed: int) -> None:
    random = np.random.default_rng(seed)
    motion, still = Motion(), (scene(), plain(1280, 720))[seed % 2].astype(np.float32)
    found = [
        motion.boxes(np.clip(still + random.normal(0, 15, still.shape), 0, 255).astype(np.uint8))
        for _ in range(8)
    ]
    assert found[0] is None
    assert [len(boxes) for boxes in found[1:] if boxes is not None] == [0] * 7


def test_a_still_picture_has_no_boxes_of_the_right_shape() -> None:
    motion = Motion()
    motion.boxes(scene())
    boxes = motion.boxes(scene())
    assert boxes is not None
    assert boxes.shape == (0, 4)
    assert boxes.dtype == np.float32


@pytest.mark.parametrize("background", ["noise", "plain"])
@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(w, h, side) for w, h in SIZES for side in (8, 12, 16, 30) if 2 * side <= min(w, h)],
)
def test_a_moving_square_is_covered_where_it_was_and_where_it_is(
    width: int, height: int, side: int, background: str
) -> None:
    still = scene(width, height) if background == "noise" else plain(width, height)
    random = np.random.default_rng(side)
    right, bottom = width - side, height - side
    # The corners of the picture, then anywhere.
    places = [(0, 0), (right, bottom), (right, 0), (0, bottom)]
    places += [(int(random.integers(0, right + 1)), int(random.integers(0, bottom + 1))) for _ in range(12)]
    for first, second in zip(places[::2], places[1::2], strict=True):
        # Where it overlaps itself nothing changes, and nobody can tell.
        if abs(first[0] - second[0]) < side and abs(first[1] - second[1]) < side:
            continue
        motion = Motion()
        motion.boxes(with_square(still, *first, side))
        mask = covered(motion.boxes(with_square(still, *second, side)), width, height)
        for x, y in (first, second):
            assert mask[y : y + side, x : x + side].all()


@pytest.mark.parametrize("offset", range(CELL))
def test_no_position_between_the_cells_hides_it(offset: int) -> None:
    for other in range(CELL):
        motion = Motion()
        motion.boxes(plain())
        boxes = motion.boxes(with_square(plain(), 160 + offset, 160 + other, 8))
        assert covered(boxes, 640, 360)[160 + other : 168 + other, 160 + offset : 168 + offset].all()


@pytest.mark.parametrize("side", [12, 24, 48])
def test_a_face_as_bright_as_the_wall_is_seen_by_its_colour(side: int) -> None:
    skin = np.array([[[62, 80, 121]]], np.uint8)  # BGR
    brightness = int(cv2.cvtColor(skin, cv2.COLOR_BGR2GRAY)[0, 0])
    wall = plain(grey=brightness)
    for x, y in [(100, 100), (107, 93), (0, 0), (640 - side, 360 - side)]:
        motion = Motion()
        motion.boxes(wall)
        mask = covered(motion.boxes(with_square(wall, x, y, side, tuple(skin[0, 0].tolist()))), 640, 360)
        assert mask[y : y + side, x : x + side].all()


def test_the_inside_of_a_large_moving_thing_is_covered() -> None:
    """Only its edges change when it is of one colour."""
    for x, y in [(200, 100), (0, 100), (203, 0), (510, 251)]:
        motion = Motion()
        motion.boxes(with_square(plain(), x, y, 100))
        mask = covered(motion.boxes(with_square(plain(), x + 30, y, 100)), 640, 360)
        assert mask[y : y + 100, x : x + 130].all()


def test_things_far_apart_are_covered_apart() -> None:
    motion = Motion()
    motion.boxes(plain())
    two = with_square(with_square(plain(), 50, 100, 30), 450, 100, 30)
    mask = covered(motion.boxes(two), 640, 360)
    assert mask[100:130, 50:80].all()
    assert mask[100:130, 450:480].all()
    assert not mask[:, 150:400].any()


@pytest.mark.parametrize("grey", [130, 255])
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_slow_walker_is_seen_against_the_oldest_frame(step: int, grey: int) -> None:
    """A pixel in each frame is too little between two of them, and enough over all that are remembered."""
    motion, x = Motion(), 300
    for number in range(6):
        x = 300 + step * number
        boxes = motion.boxes(with_square(plain(), x, 200, 60, (grey, grey, grey)))
    assert covered(boxes, 640, 360)[200:260, x : x + 60].all()


def test_what_stopped_moving_is_forgotten_after_a_while() -> None:
    motion = Motion()
    motion.boxes(plain())
    counts = [
        len(boxes)
        for _ in range(MEMORY + 2)
        if (boxes := motion.boxes(with_square(plain(), 100, 100, 60))) is not None
    ]
    assert counts == [1] * MEMORY + [0, 0]


def test_a_change_of_light_covers_all() -> None:
    motion = Motion()
    motion.boxes(scene())
    boxes = motion.boxes((scene() * 0.5).astype(np.uint8))
    assert boxes is not None
    assert boxes.tolist() == [[0, 0, 1280, 720]]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_boxes_stay_inside_the_frame(width: int, height: int) -> None:
    motion = Motion()
    motion.boxes(plain(width, height, 0))
    boxes = motion.boxes(plain(width, height, 255))
    assert boxes is not None
    assert boxes.tolist() == [[0, 0, width, height]]
