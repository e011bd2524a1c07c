"""Views that share a canvas: where they lie on it, and that each keeps what is found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge import boxes as geometry
from edge.boxes import Floats
from edge.config import DetectorConfig
from edge.detection.detector import Detector
from edge.detection.session import Session
from edge.detection.shared_canvas import GAP, MOST_PIXELS, MOST_SHARING, SharedCanvas, share
from edge.detection.views import FreeCanvas, View, part_of
from edge.errors import DetectionError
from edge.frames import Pixels
from edge.reasons import Reason
from tests.models import GOOD

RED = (0, 0, 255)
SIDE, MOST_FACES = 12, 40


class Reds:
    """A session that finds red squares, and returns a fixed number of candidates."""

    size, provider, name = None, "cpu", "reds"
    contract = replace(GOOD, score_begin=0.5, score_continue=0.5, letterbox_multiple=32)

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []

    def run(self, canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        self.runs.append((canvas.shape[1], canvas.shape[0]))
        red = ((canvas[..., 0] > 200) & (canvas[..., 1] < 60)).astype(np.uint8)
        stats = cv2.connectedComponentsWithStats(red)[2][1:, :4].astype(np.float32)[:MOST_FACES]
        boxes = np.zeros((MOST_FACES, 4), np.float32)
        boxes[: len(stats)] = np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:]], axis=1)
        return boxes, (np.arange(MOST_FACES) < len(stats)).astype(np.float32)


def opened() -> tuple[Detector, Reds]:
    session = Reds()
    return Detector(cast(Session, session), DetectorConfig()), session


def whole(width: int, height: int) -> View:
    return View(0, 0, width, height, geometry.fit_side(width, height, max(width, height), 32))


def parts(corners: Sequence[tuple[int, int, int, int]]) -> list[View]:
    return [part_of(whole(1600, 900), *corner, FreeCanvas(32)) for corner in corners]


def sizes(shared: SharedCanvas, views: Sequence[View]) -> npt.NDArray[np.int64]:
    letterboxes = [views[number].letterbox for number in shared.numbers]
    return np.array([(each.inner_width, each.inner_height) for each in letterboxes])


@pytest.mark.parametrize("seed", range(20))
def test_every_view_has_a_place_of_its_own(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 30))
    wide = random.integers(1, int(random.integers(30, 500)), (count, 2))
    views = [whole(int(width), int(height)) for width, height in wide]
    canvases = share(views, 32)
    assert sorted(number for shared in canvases for number in shared.numbers) == list(range(count))
    for shared in canvases:
        assert shared.width % 32 == shared.height % 32 == 0
        ends = shared.corners + sizes(shared, views)
        assert (shared.corners >= 0).all()
        assert (ends <= [shared.width, shared.height]).all()
        for number, corner in enumerate(shared.corners):
            apart = (shared.corners >= ends[number] + GAP) | (ends + GAP <= corner)
            assert np.delete(apart.any(axis=1), number).all()


def test_large_views_have_a_canvas_for_themselves_and_none_takes_too_many() -> None:
    views = [whole(100, 100), whole(1152, 648), *(whole(300, 300) for _ in range(9)), whole(100, 100)]
    canvases = share(views, 32)
    assert (1,) in [shared.numbers for shared in canvases]
    areas = [each.letterbox.width * each.letterbox.height for each in views]
    assert max(areas[2:]) <= MOST_SHARING < areas[1]
    for shared in canvases:
        assert len(shared.numbers) == 1 or sum(areas[number] for number in shared.numbers) <= MOST_PIXELS
    assert len(canvases) == 4
    assert share([], 32) == []


def test_one_canvas_takes_hardly_more_than_one_each() -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        views = [whole(*map(int, random.integers(60, 180, 2))) for _ in range(12)]
        (shared,) = share(views, 32)
        alone = sum(view.letterbox.width * view.letterbox.height for view in views)
        assert shared.width * shared.height < 1.1 * alone


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_each_view_keeps_what_is_found_in_it(turn: int) -> None:
    """Faces lie in the middle, and at the very edges of the parts."""
    corners = [(0, 0, 90, 70), (300, 200, 420, 300), (700, 100, 765, 230), (1500, 820, 1600, 900)]
    picture: Pixels = np.full((900, 1600, 3), 90, np.uint8)
    wanted = []
    for x1, y1, x2, y2 in corners:
        for x, y in ((x1, y1), (x2 - SIDE, y2 - SIDE), ((x1 + x2) // 2, (y1 + y2) // 2)):
            picture[y : y + SIDE, x : x + SIDE] = RED
            wanted.append([x, y, x + SIDE, y + SIDE])
    views = [part_of(replace(whole(1600, 900), turn=turn), *corner, FreeCanvas(32)) for corner in corners]
    together, session = opened()
    found = together.look(picture, views)
    assert len(session.runs) == 1
    alone, _ = opened()
    for view, own in zip(views, found, strict=True):
        expected = alone.look(picture, [view])[0]
        order = np.lexsort(own.boxes.T), np.lexsort(expected.boxes.T)
        np.testing.assert_array_equal(own.boxes[order[0]], expected.boxes[order[1]])
        assert len(own.boxes) == 3
    if turn == 0:
        boxes = np.concatenate([each.boxes for each in found])
        assert sorted(boxes.tolist()) == sorted([float(side) for side in box] for box in wanted)


def test_a_box_between_two_views_belongs_to_the_nearest() -> None:
    views = [whole(100, 100), whole(100, 100)]
    (shared,) = share(views, 32)
    corner = shared.corners[1]
    beside = np.array([[*(corner - 3), *(corner + 1)], [*(corner + 98), *(corner + 108)]], np.float32)
    assert shared.owners(views, beside).tolist() == [1, 1]
    inside = np.array([[10, 10, 20, 20], [*(corner + 10), *(corner + 20)]], np.float32)
    assert shared.owners(views, inside).tolist() == [0, 1]
    assert shared.owners(views, inside[:0]).tolist() == []


def test_a_canvas_with_too_many_faces_is_looked_at_view_by_view() -> None:
    """Together there are more than the detector can return, in each view there are not."""
    corners = [(0, 0, 200, 200), (400, 0, 600, 200)]
    picture: Pixels = np.full((900, 1600, 3), 90, np.uint8)
    for x1, y1, _, _ in corners:
        for number in range(25):
            x, y = x1 + number % 5 * 30, y1 + number // 5 * 30
            picture[y : y + SIDE, x : x + SIDE] = RED
    detector, session = opened()
    assert [len(each.boxes) for each in detector.look(picture, parts(corners))] == [25, 25]
    assert len(session.runs) == 3
    session.run = failing  # type: ignore[method-assign]
    with pytest.raises(DetectionError, match="broken"):
        detector.look(picture, parts(corners))


def failing(canvas: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    raise DetectionError(Reason.DETECTOR_ERROR, "broken")


def test_a_canvas_of_fixed_size_is_not_shared() -> None:
    session = Reds()
    fixed = SimpleNamespace(
        size=(96, 96), provider="cpu", name="reds", contract=Reds.contract, run=session.run
    )
    view = View(0, 0, 96, 96, geometry.fit(96, 96, 96, 96))
    Detector(cast(Session, fixed), DetectorConfig()).look(np.zeros((96, 96, 3), np.uint8), [view, view])
    assert session.runs == [(96, 96)] * 2
