"""The batch of a step depends on its number alone, and every picture is shown once an epoch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.training import batches as module
from convert.training.augment import Scales, make_canvas
from convert.training.batches import Batch, batches, main_samples
from convert.training.complete import complete
from convert.training.recipe import Recipe
from convert.training.samples import Kind, Pictures, Sample
from edge.detection.detector import Detections
from edge.errors import PictureError

RECIPE: Any = Recipe(
    "made up", 64, 2, 1, 0.1, lambda: None, lambda boxes, kinds: {"boxes": boxes}, lambda *a: {},
    lambda maps: (np.zeros(0), np.zeros(0)), lambda *a: None, smallest=8, largest=40,
)  # fmt: skip


def pictures(folder: Path, count: int = 5) -> list[Sample]:
    rng, samples = np.random.default_rng(0), []
    for number in range(count):
        path = folder / f"{number}.png"
        assert cv2.imwrite(str(path), rng.integers(0, 255, (60, 80, 3), np.uint8))
        samples.append(
            Sample(path, np.array([[10, 10, 30, 40]], np.float32), np.array([Kind.PLAIN], np.int32))
        )
    return samples


def same(first: Batch, second: Batch) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("pixels", "boxes", "kinds")
    )


def test_a_run_that_goes_on_gets_the_batches_that_it_would_have_had(tmp_path: Path) -> None:
    samples = pictures(tmp_path)
    whole = list(islice(batches(samples, RECIPE, 7, 0), 8))
    later = list(islice(batches(samples, RECIPE, 7, 5, threads=1), 3))
    assert all(same(*pair) for pair in zip(whole[5:], later, strict=True))
    assert not same(whole[0], whole[5])
    other = next(iter(batches(samples, RECIPE, 8, 0)))
    assert not same(whole[0], other)


def test_a_batch_has_rows_for_all_objects_and_marks_the_others_absent(tmp_path: Path) -> None:
    for batch in islice(batches(pictures(tmp_path), RECIPE, 1, 0), 6):
        assert batch.pixels.shape == (2, 64, 64, 3)
        assert batch.boxes.shape == (*batch.kinds.shape, 4)
        assert batch.kinds.shape[1] >= 1
        assert (batch.boxes[batch.kinds == Kind.ABSENT] == 0).all()
        assert batch.targets["boxes"] is batch.boxes


@pytest.mark.parametrize(("count", "batch"), [(7, 3), (4, 8), (1, 2)])
def test_each_picture_is_the_main_one_once_an_epoch(count: int, batch: int) -> None:
    shown = [number for step in range(count * 3) for number in main_samples(count, batch, 5, step)]
    for epoch in range(len(shown) // count):
        assert Counter(shown[epoch * count : (epoch + 1) * count]) == Counter(range(count))
    if count > 4:
        assert shown[:count] != shown[count : 2 * count]


def test_a_picture_that_cannot_be_read_ends_the_run_with_its_name(tmp_path: Path) -> None:
    samples = pictures(tmp_path)
    samples[2].path.write_bytes(b"no picture")
    with pytest.raises(PictureError):
        list(islice(batches(samples, RECIPE, 0, 0), 6))


def test_masks_are_left_out_where_the_recipe_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def canvas(main: Sample, samples: Any, pictures: Pictures, scales: Scales, rng: Any) -> Any:
        seen.append(scales.masks)
        return make_canvas(main, samples, pictures, scales, rng)

    monkeypatch.setattr(module, "make_canvas", canvas)
    module.make_batch(pictures(tmp_path), Pictures(), replace(RECIPE, masks=False), 0, 0)
    assert seen == [False, False]


def test_what_a_network_is_sure_of_becomes_a_label(tmp_path: Path) -> None:
    (sample,) = pictures(tmp_path, 1)

    def detect(picture: Any) -> Detections:
        scale = np.float32(picture.shape[1] / 80)
        places = [[11, 11, 30, 40], [40, 10, 60, 30], [60, 40, 78, 58], [0, 45, 12, 58]]
        return Detections(np.array(places, np.float32) * scale, np.array([0.9, 0.8, 0.3, 0.1], np.float32))

    (completed,), added = complete([sample], detect)
    assert added == 1
    assert completed.kinds.tolist() == [Kind.PLAIN, Kind.PLAIN, Kind.IGNORED]
    np.testing.assert_allclose(
        completed.boxes, [[10, 10, 30, 40], [40, 10, 60, 30], [60, 40, 78, 58]], atol=1e-4
    )


def test_large_pictures_are_not_enlarged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.training.complete.MOST_PIXELS", 80 * 60 * 4 - 1)
    widths = []

    def detect(picture: Any) -> Detections:
        widths.append(picture.shape[1])
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    assert complete(pictures(tmp_path, 1), detect)[1] == 0
    assert widths == [80]
