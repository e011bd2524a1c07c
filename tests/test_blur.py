"""What covers a face depends on nothing that it covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge import blur
from edge.boxes import Floats
from edge.config import BlurConfig, make_config
from edge.errors import ConfigError
from edge.frames import RawFrame
from tests.raw_frames import raw_frame

Make = Callable[..., RawFrame]

boxes = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 6), st.just(4)), elements=st.floats(-60, 400, width=32)
).map(lambda a: np.concatenate([np.minimum(a[:, :2], a[:, 2:]), np.maximum(a[:, :2], a[:, 2:])], axis=1))
fills = st.sampled_from(["infill", "solid"])
sides = st.integers(16, 333)


def _frame(width: int, height: int, seed: int) -> RawFrame:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return raw_frame(pixels)


@given(boxes, fills, sides, sides)
def test_two_faces_under_the_same_regions_give_the_same_bytes(
    boxes: Floats, fill: str, width: int, height: int
) -> None:
    config = BlurConfig(fill=fill)
    first = _frame(width, height, 1)
    regions = blur.regions_of(boxes, width, height, config)
    other = first.pixels.copy()
    inside = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in regions.tolist():
        inside[y1:y2, x1:x2] = True
    other[inside] = np.random.default_rng(2).integers(0, 256, (int(inside.sum()), 3), np.uint8)
    second = raw_frame(other)

    one = blur.anonymize(first, boxes, config)
    two = blur.anonymize(second, boxes, config)

    assert one.pixels.tobytes() == two.pixels.tobytes()
    np.testing.assert_array_equal(one.pixels[~inside], first.pixels[~inside])
    assert one.regions == len(regions)
    three = blur.anonymize(second, boxes, config, in_place=True)
    assert three.pixels is second.pixels
    assert three.pixels.tobytes() == one.pixels.tobytes()


def test_infill_of_two_real_faces_is_the_same(astronaut: np.ndarray, raw: Make) -> None:
    face = np.array([[181, 58, 270, 178]], np.float32)
    config = BlurConfig()
    x1, y1, x2, y2 = blur.regions_of(face, 512, 512, config)[0].tolist()
    mirrored = astronaut.copy()
    mirrored[y1:y2, x1:x2] = mirrored[y1:y2, x1:x2][:, ::-1]
    assert not np.array_equal(mirrored, astronaut)
    first = blur.anonymize(raw(astronaut), face, config).pixels
    assert first.tobytes() == blur.anonymize(raw(mirrored), face, config).pixels.tobytes()
    assert np.abs(first[y1:y2, x1:x2].astype(int) - astronaut[y1:y2, x1:x2]).mean() > 10


@pytest.mark.parametrize("fill", ["gaussian", "mosaic"])
def test_reidentifiable_fills_depend_on_the_face(raw: Make, fill: str) -> None:
    box = np.array([[100, 80, 180, 160]], np.float32)
    frame = raw()
    other = frame.pixels.copy()
    other[90:150, 110:170] //= 2
    config = BlurConfig(fill=fill)
    first = blur.anonymize(frame, box, config).pixels
    assert first.tobytes() != blur.anonymize(raw(other), box, config).pixels.tobytes()
    region = first[70:170, 90:190].astype(int)
    assert region.std() < frame.pixels[70:170, 90:190].std() / 2


def test_a_frame_without_faces_is_unchanged(raw: Make) -> None:
    frame = raw()
    safe = blur.anonymize(frame, np.zeros((0, 4), np.float32), BlurConfig())
    np.testing.assert_array_equal(safe.pixels, frame.pixels)
    assert safe.regions == 0


def test_the_whole_frame_can_be_covered(raw: Make) -> None:
    safe = blur.cover_whole(raw())
    assert safe.whole
    assert (safe.pixels == blur.GREY).all()
    everywhere = np.array([[-10, -10, 999, 999]], np.float32)
    assert (blur.anonymize(raw(), everywhere, BlurConfig()).pixels == blur.GREY).all()


def test_solid_has_the_stated_colour_in_rgb(raw: Make) -> None:
    config = BlurConfig(fill="solid", solid_rgb=(10, 20, 30))
    safe = blur.anonymize(raw(), np.array([[100, 100, 120, 120]], np.float32), config)
    assert safe.pixels[110, 110].tolist() == [30, 20, 10]


def test_the_head_region_has_the_documented_margins() -> None:
    box = np.array([[100, 200, 200, 400]], np.float32)
    assert blur.regions_of(box, 1000, 1000, BlurConfig()).tolist() == [[80, 79, 220, 440]]  # rounded outward


@pytest.mark.parametrize(("fraction", "bottom"), [(0.6, 220), (0.7, 240)])
def test_the_top_region_is_the_upper_part(fraction: float, bottom: int) -> None:
    config = BlurConfig(region="top", top_fraction=fraction)
    box = np.array([[100, 100, 200, 300]], np.float32)
    assert blur.regions_of(box, 1000, 1000, config).tolist() == [[100, 100, 200, bottom]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_box_that_is_not_finite_is_refused(raw: Make, bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        blur.anonymize(raw(), np.array([[1, 2, bad, 9]], np.float32), BlurConfig())


def test_an_unknown_fill_never_returns_the_picture(raw: Make) -> None:
    config = BlurConfig().model_copy(update={"fill": "nothing"})
    with pytest.raises(ValueError, match="unknown fill"):
        blur.anonymize(raw(), np.array([[10, 10, 50, 50]], np.float32), config)


@pytest.mark.parametrize("table", [{"fill": "gaussian"}, {"fill": "mosaic"}, {"region": "top"}])
def test_reidentifiable_blur_needs_the_users_word(table: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="allow_reidentifiable"):
        make_config({"blur": table}, "test")
    allowed = make_config({"blur": table, "privacy": {"allow_reidentifiable": True}}, "test")
    assert allowed.blur.reidentifiable


def test_ten_thousand_faces_are_covered(raw: Make) -> None:
    corners = np.random.default_rng(0).uniform(0, 220, (10_000, 2)).astype(np.float32)
    many = np.concatenate([corners, corners + 12], axis=1)
    assert blur.anonymize(raw(), many, BlurConfig()).regions == 10_000
