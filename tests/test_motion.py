"""What moves is inside the boxes; what does not is not."""

from __future__ import annotations

import numpy as np
import pytest

from edge.frames import Pixels
from edge.motion import MEMORY, Motion


def scene(width: int = 1280, height: int = 720, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(40, 200, (height, width, 3), np.uint8)


def with_square(x: int, y: int, side: int, width: int = 1280, height: int = 720) -> Pixels:
    pixels = scene(width, height)
    pixels[y : y + side, x : x + side] = 255
    return pixels


def test_the_first_frame_cannot_be_told() -> None:
    motion = Motion()
    assert motion.boxes(scene()) is None
    motion.boxes(scene())
    motion.forget()
    assert motion.boxes(scene()) is None
    assert motion.boxes(scene(640, 480)) is None  # another size


def test_nothing_moves_in_a_still_picture_with_noise() -> None:
    motion, still = Motion(), scene().astype(np.float32)
    random = np.random.default_rng(1)
    found = [
        motion.boxes(np.clip(still + random.normal(0, 15, still.shape), 0, 255).astype(np.uint8))
        for _ in range(8)
    ]
    assert found[0] is None
    assert [len(boxes) for boxes in found[1:] if boxes is not None] == [0] * 7


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (641, 363), (100, 40)])
@pytest.mark.parametrize("side", [12, 16, 30])
def test_a_moving_square_is_covered_where_it_was_and_where_it_is(width: int, height: int, side: int) -> None:
    random = np.random.default_rng(side)
    for _ in range(10):
        motion = Motion()
        places = [
            (int(random.integers(0, width - side)), int(random.integers(0, height - side))) for _ in range(2)
        ]
        for x, y in places:
            boxes = motion.boxes(with_square(x, y, side, width, height))
        assert boxes is not None
        covered = np.zeros((height, width), bool)
        for x1, y1, x2, y2 in boxes:
            covered[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
        if abs(places[0][0] - places[1][0]) + abs(places[0][1] - places[1][1]) >= 2 * side:
            for x, y in places:
                assert covered[y : y + side, x : x + side].all()


def test_a_slow_walker_is_seen_against_the_oldest_frame() -> None:
    motion = Motion()
    for step in range(MEMORY + 1):
        boxes = motion.boxes(with_square(300 + 2 * step, 300, 60))
    assert boxes is not None
    assert len(boxes) >= 1


def test_a_change_of_light_covers_all() -> None:
    motion = Motion()
    motion.boxes(scene())
    boxes = motion.boxes((scene() * 0.5).astype(np.uint8))
    assert boxes is not None
    assert boxes.tolist() == [[0, 0, 1280, 720]]
