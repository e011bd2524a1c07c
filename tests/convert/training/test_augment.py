"""Boxes stay on what they were drawn around, and the weather leaves a picture a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.training import augment
from convert.training.augment import Canvas, Scales, make_canvas
from convert.training.masks import paste_masks
from convert.training.samples import Kind, Pictures, Sample
from convert.training.weather import weather

SIDE = 96
COLOURS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
BOXES = np.array([[30, 40, 70, 90], [110, 20, 140, 60], [90, 100, 170, 150]], np.float32)


def scene(folder: Path, number: int) -> Sample:
    """A black picture with an ellipse of another colour in each of ``BOXES``, exact to a part of a pixel."""
    pixels = np.zeros((180, 200, 3), np.uint8)
    for box, colour in zip(BOXES, COLOURS, strict=True):
        middle, half = (box[:2] + box[2:]) / 2 - 0.5, (box[2:] - box[:2]) / 2
        rows, columns = np.indices(pixels.shape[:2])
        inside = ((columns - middle[0]) / half[0]) ** 2 + ((rows - middle[1]) / half[1]) ** 2 <= 1
        pixels[inside] = colour
    path = folder / f"{number}.png"
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    return Sample(path, BOXES, np.array([Kind.PLAIN, Kind.HARD, Kind.IGNORED], np.int32))


def coloured(pixels: Any, colour: int) -> list[float] | None:
    """The box around what is more of this colour than of any other."""
    others = [c for c in range(3) if c != colour]
    there = (pixels[..., colour] > 125) & (pixels[..., others] < 12).all(axis=2)
    rows, columns = np.nonzero(there)
    if len(rows) < 12:
        return None
    return [float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


def canvases(samples: Sequence[Sample], count: int) -> list[Canvas]:
    pictures, scales = Pictures(), Scales(SIDE, 12, 60, masks=False)
    return [
        make_canvas(samples[0], samples, pictures, scales, np.random.default_rng(seed))
        for seed in range(count)
    ]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No weather, and one picture on a canvas."""
    monkeypatch.setattr(augment, "weather", lambda pixels, rng: pixels)
    monkeypatch.setattr(augment, "MOSAIC", 0.0)
    return monkeypatch


@pytest.mark.parametrize(("turned", "stretch"), [(0.0, 0.0), (0.0, 0.5), (1.0, 0.3)])
def test_a_box_lies_around_its_object_to_a_pixel(
    plain: pytest.MonkeyPatch, tmp_path: Path, turned: float, stretch: float
) -> None:
    plain.setattr(augment, "TURNED", turned)
    plain.setattr(augment, "STRETCH", stretch)
    shifts = []
    for canvas in canvases([scene(tmp_path, 0)], 150):
        for colour in range(3):
            found = coloured(canvas.pixels, colour)
            if found is None or min(found) <= 2 or max(found) >= SIDE - 2:
                continue
            nearest = min(canvas.boxes, key=lambda box: float(np.abs(box - found).sum()))
            shifts.append(nearest - found)
    assert len(shifts) > 100
    assert np.abs(shifts).max() < 3
    # A shift of half a pixel for all would teach the network to be off by as much
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.75
    middles = np.mean(shifts, axis=0)[:2] + np.mean(shifts, axis=0)[2:]
    assert np.abs(middles / 2).max() < 0.15


def test_mirrored_and_enlarged_pixels_stay_in_the_middle_of_their_boxes(tmp_path: Path) -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[10:20, 10:20] = 255
    box = np.array([[10, 10, 20, 20]], np.float32)
    for linear in (np.diag([4.0, 4.0]), np.diag([-4.0, 4.0]), np.diag([-1.0, 1.0]), np.diag([0.7, 0.7])):
        matrix = np.concatenate([linear, [[90.0], [7.0]]], axis=1)
        shown = cv2.warpAffine(picture, augment._between_middles(matrix, np.ones(2)), (220, 220))
        rows, columns = np.indices(shown.shape[:2])
        weight = shown[..., 0] / shown[..., 0].sum()
        placed = augment._moved(box, matrix)[0]
        middle = [float((columns * weight).sum()) + 0.5, float((rows * weight).sum()) + 0.5]
        assert middle == pytest.approx([(placed[0] + placed[2]) / 2, (placed[1] + placed[3]) / 2], abs=0.05)


def test_nothing_lies_outside_of_the_canvas_and_what_is_cut_is_ignored(
    plain: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain.setattr(augment, "MOSAIC", 0.5)
    cut = 0
    for canvas in canvases([scene(tmp_path, n) for n in range(3)], 80):
        assert canvas.pixels.shape == (SIDE, SIDE, 3)
        assert canvas.pixels.dtype == np.uint8
        assert (canvas.boxes >= 0).all()
        assert (canvas.boxes <= SIDE).all()
        assert (canvas.boxes[:, 2:] - canvas.boxes[:, :2] >= 1).all()
        small = (canvas.boxes[:, 2:] - canvas.boxes[:, :2]).min(axis=1, initial=99) < augment.SMALLEST
        assert (canvas.kinds[small] == Kind.IGNORED).all()
        assert np.isin(canvas.kinds, (Kind.PLAIN, Kind.HARD, Kind.IGNORED)).all()
        cut += int((canvas.kinds == Kind.IGNORED).sum())
    assert cut


def test_less_than_half_of_an_object_is_ignored_and_a_tenth_of_it_is_absent() -> None:
    boxes = np.array([[-10, 0, 30, 40], [-30, 0, 10, 40], [-38, 0, 2, 40], [0, 0, 40, 4]], np.float32)
    kinds = np.array([Kind.PLAIN, Kind.HARD, Kind.PLAIN, Kind.PLAIN], np.int32)
    found, kind = augment._visible(boxes, kinds, (50, 50))
    assert found.tolist() == [[0, 0, 30, 40], [0, 0, 10, 40], [0, 0, 40, 4]]
    assert kind.tolist() == [Kind.PLAIN, Kind.IGNORED, Kind.IGNORED]


def test_a_picture_without_objects_and_one_that_is_hardly_high(tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    assert cv2.imwrite(str(path), np.full((16, 3000, 3), 90, np.uint8))
    empty = Sample(path, np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    large = Sample(path, np.array([[0, 0, 3000, 16]], np.float32), np.array([Kind.PLAIN], np.int32))
    for sample in (empty, large):
        assert all(canvas.pixels.shape == (SIDE, SIDE, 3) for canvas in canvases([sample], 10))


def test_a_mask_stays_on_its_face_which_becomes_hard() -> None:
    base = np.full((80, 100, 3), 120, np.uint8)
    boxes = np.array([[20, 20, 60, 70], [70, 5, 80, 14], [60, 60, 99, 79]], np.float32)
    kinds = np.array([Kind.PLAIN, Kind.PLAIN, Kind.IGNORED], np.int32)
    masked = 0
    for seed in range(60):
        pixels = base.copy()
        after = paste_masks(pixels, boxes, kinds, np.random.default_rng(seed))
        changed = (pixels != base).any(axis=2)
        assert after[1:].tolist() == [Kind.PLAIN, Kind.IGNORED]  # too small, and ignored
        assert changed.any() == (after[0] == Kind.HARD)
        rows, columns = np.nonzero(changed)
        if len(rows):
            masked += 1
            # From the bridge of the nose to the chin, whose corners are drawn with some spread
            assert columns.min() >= 20 - 4
            assert columns.max() < 60 + 4
            assert rows.min() >= 20 + 0.3 * 50
            assert rows.max() < 70 + 6
    assert 2 <= masked <= 25
    assert kinds.tolist() == [Kind.PLAIN, Kind.PLAIN, Kind.IGNORED]


def test_what_wears_no_masks_gets_none(tmp_path: Path) -> None:
    sample = scene(tmp_path, 0)
    with_masks, without = Scales(SIDE, 20, 60), Scales(SIDE, 20, 60, masks=False)
    kinds = {
        scales.masks: [
            int(
                (make_canvas(sample, [sample], Pictures(), scales, np.random.default_rng(s)).kinds == 2).sum()
            )
            for s in range(40)
        ]
        for scales in (with_masks, without)
    }
    assert sum(kinds[True]) > sum(kinds[False])


def test_the_weather_depends_on_the_seed_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    before = pixels.copy()
    seen = set()
    for seed in range(25):
        first, second = (weather(pixels, np.random.default_rng(seed)) for _ in range(2))
        assert first.dtype == np.uint8
        assert first.shape == pixels.shape
        assert (first == second).all()
        seen.add(first.tobytes())
    assert len(seen) == 25
    assert (pixels == before).all()
