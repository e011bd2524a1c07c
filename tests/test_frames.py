"""The two kinds of picture cannot be confused, leak, or be forged."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from edge import blur
from edge.boxes import NO_BOXES
from edge.config import BlurConfig
from edge.frames import AnonymizedFrame, RawFrame
from edge.store.encode import encode

Make = Callable[..., RawFrame]
NO_AREAS = np.zeros((0, 4), np.int64)


def test_an_anonymized_frame_cannot_be_made_elsewhere(raw: Make) -> None:
    frame = raw()
    with pytest.raises(TypeError, match=r"only edge\.blur"):
        AnonymizedFrame(frame, frame.pixels, NO_AREAS, 0.0, False, seal=object())
    with pytest.raises(TypeError):
        AnonymizedFrame(frame, frame.pixels, NO_AREAS, 0.0, False)  # type: ignore[call-arg]


def test_an_anonymized_frame_has_no_subclasses() -> None:
    with pytest.raises(TypeError, match="no subclasses"):
        type("Forged", (AnonymizedFrame,), {})


def test_an_anonymized_frame_cannot_be_changed(raw: Make) -> None:
    frame = raw()
    safe = blur.anonymize(frame, NO_BOXES, BlurConfig())
    with pytest.raises(AttributeError):
        safe.pixels = frame.pixels
    with pytest.raises(ValueError, match="read-only"):
        safe.pixels[0, 0] = 1


def test_covering_does_not_change_the_raw_frame(raw: Make) -> None:
    frame = raw()
    before = frame.pixels.copy()
    blur.anonymize(frame, np.array([[50, 50, 90, 90]], np.float32), BlurConfig())
    np.testing.assert_array_equal(frame.pixels, before)


@pytest.mark.parametrize("forged", [None, np.zeros((64, 64, 3), np.uint8)], ids=["nothing", "array"])
def test_the_store_takes_nothing_else(raw: Make, forged: object) -> None:
    with pytest.raises(TypeError, match="AnonymizedFrame"):
        encode(cast(AnonymizedFrame, forged), "jpeg", 90)
    with pytest.raises(TypeError, match="AnonymizedFrame"):
        encode(cast(AnonymizedFrame, raw()), "jpeg", 90)


def test_a_raw_frame_stays_in_memory(raw: Make) -> None:
    frame = raw()
    with pytest.raises(TypeError, match="memory"):
        pickle.dumps(frame)
    with pytest.raises(TypeError, match="memory"):
        copy.copy(frame)
    assert repr(frame) == "<RawFrame test #0 320x240>"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((8, 64, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "flat", "empty"],
)
def test_odd_pixels_are_refused(raw: Make, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected|smaller"):
        raw(pixels)


def test_a_packed_frame_has_its_pixels_again_or_none() -> None:
    pixels = np.full((48, 64, 3), 7, np.uint8)
    made = iter([pixels.copy(), pixels[:32], pixels[:, :32]])
    frame = RawFrame(pixels, "test", 0, 0.0, 0.0, 0, pack=lambda: lambda: next(made))
    frame.pack()
    assert frame.packed
    assert (frame.width, frame.height, repr(frame)) == (64, 48, "<RawFrame test #0 64x48>")
    np.testing.assert_array_equal(blur.anonymize(frame, NO_BOXES, BlurConfig()).pixels, pixels)
    for _ in range(2):
        with pytest.raises(ValueError, match="not there again"):
            blur.anonymize(frame, NO_BOXES, BlurConfig())
    assert (blur.cover_whole(frame).pixels == blur.GREY).all()


def test_a_frame_that_cannot_be_packed_keeps_its_pixels(raw: Make) -> None:
    frame = raw()
    before = frame.pixels
    frame.pack()
    assert not frame.packed
    assert frame.pixels is before
