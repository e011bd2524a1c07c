"""How a model sees pictures is measured, whatever wrote it, and what the box cannot follow is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("onnx_ir", reason="needs the convert extra")

from convert.errors import ConvertError
from convert.preprocessing import Preprocessing, measure
from edge import boxes as geometry
from edge.detection.detector import paint
from edge.frames import Pixels

Array = npt.NDArray[Any]
Model = Callable[[Array], Array]
Normalise = Callable[[Array], Array]

IMAGENET = (np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375]))


def minus_one_to_one(picture: Array) -> Array:
    return picture * (2 / 255) - 1


def imagenet(picture: Array) -> Array:
    return np.asarray((picture - IMAGENET[0]) / IMAGENET[1])


def zero_to_one(picture: Array) -> Array:
    return picture / 255


def as_it_is(picture: Array) -> Array:
    return picture


def weights(source: int, target: int, method: str) -> Array:
    """Shares ``[target, source]`` of each source pixel in each target pixel, along one side."""
    places = np.arange(target)
    if method == "linear-corner":
        at = places * (source / target)
    elif method == "nearest":
        at = np.floor(places * (source / target))
    else:
        at = (places + 0.5) * (source / target) - 0.5
    at = at.clip(0, source - 1)
    low = np.floor(at).astype(int)
    shares = np.zeros((target, source))
    shares[places, low] += 1 - (at - low)
    shares[places, np.minimum(low + 1, source - 1)] += at - low
    return shares


def resize(picture: Array, width: int, height: int, method: str) -> Array:
    if method == "area":
        letterbox = geometry.stretch(picture.shape[1], picture.shape[0], width, height)
        return paint(picture[..., ::-1], letterbox, "area", (0, 0, 0)).astype(np.float64)
    if method == "cubic":
        resized = cv2.resize(picture.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        return np.asarray(resized, np.float64)
    rows = weights(picture.shape[0], height, method)
    columns = weights(picture.shape[1], width, method)
    return np.asarray(np.einsum("yh,hwc,xw->yxc", rows, picture, columns, optimize=True))


def stretching(width: int, height: int, method: str, normalise: Normalise) -> Model:
    return lambda batch: normalise(resize(batch[0], width, height, method))[None]


def padding(
    width: int,
    height: int,
    method: str,
    normalise: Normalise,
    *,
    short_side: int = 0,
    place: str = "top left",
    colours: tuple[float, float] = (0.0, 0.0),
    rounding: Callable[[float], int] = round,
) -> Model:
    """As the Object Detection API: normalise, resize with the aspect kept, and pad with ``colours``."""

    def run(batch: Array) -> Array:
        rows, columns = batch.shape[1:3]
        scale = min(width / columns, height / rows)
        if short_side:
            scale = min(scale, short_side / min(rows, columns))
        inner_width = min(width, max(1, rounding(columns * scale)))
        inner_height = min(height, max(1, rounding(rows * scale)))
        canvas = np.full((height, width, 3), colours[0])
        canvas[:, width // 2 :] = colours[1]
        left, top = (
            ((width - inner_width) // 2, (height - inner_height) // 2) if place == "centre" else (0, 0)
        )
        inner = normalise(resize(batch[0], inner_width, inner_height, method))
        canvas[top : top + inner_height, left : left + inner_width] = inner
        return canvas[None]

    return run


def check(rule: Preprocessing, model: Model, picture: Pixels) -> None:
    """The box's canvas, normalised as the rule says, is what the model reads."""
    seen = model(picture[None])[0]
    ours = rule.canvas(picture) * np.array(rule.scale) + np.array(rule.offset)
    assert (np.abs(seen - ours) / np.array(rule.scale)).mean() < 1


@pytest.mark.parametrize("method", ["linear", "linear-corner", "area"])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (65, 129)])
def test_stretching_is_measured(method: str, width: int, height: int, astronaut: Pixels) -> None:
    model = stretching(width, height, method, minus_one_to_one)
    rule = measure(model)
    assert (rule.width, rule.height, rule.letterbox, rule.short_side) == (width, height, "stretch", 0)
    assert rule.interpolation == method
    assert rule.scale == pytest.approx([2 / 255] * 3)
    assert rule.offset == pytest.approx([-1] * 3)
    assert rule.levels is not None
    assert rule.levels < 0.5
    check(rule, model, astronaut)
    check(rule, model, np.ascontiguousarray(astronaut[100:150, 30:400]))


@pytest.mark.parametrize("method", ["linear", "linear-corner", "area"])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 96), (80, 120)])
def test_padding_is_measured(method: str, width: int, height: int, astronaut: Pixels) -> None:
    model = padding(width, height, method, imagenet)
    rule = measure(model)
    assert (rule.width, rule.height, rule.letterbox, rule.short_side) == (
        width,
        height,
        "pad-right-bottom",
        0,
    )
    assert rule.interpolation == method
    assert rule.padding == (124, 116, 104)  # zero, after the mean was taken off
    check(rule, model, astronaut)
    check(rule, model, np.ascontiguousarray(astronaut[100:150, 30:400]))
    check(rule, model, np.ascontiguousarray(astronaut[:, 200:333]))


@pytest.mark.parametrize(("canvas", "short_side"), [(64, 40), (96, 72), (128, 127), (96, 40)])
@pytest.mark.parametrize("method", ["linear", "linear-corner"])
def test_the_limit_of_the_short_side_is_measured(
    canvas: int, short_side: int, method: str, astronaut: Pixels
) -> None:
    model = padding(canvas, canvas, method, imagenet, short_side=short_side)
    rule = measure(model)
    assert rule.letterbox == "pad-right-bottom"
    assert rule.short_side == short_side
    check(rule, model, astronaut)
    check(rule, model, np.ascontiguousarray(astronaut[100:150]))


@pytest.mark.parametrize(
    ("normalise", "scale", "offset", "colour"),
    [
        (minus_one_to_one, [2 / 255] * 3, [-1.0] * 3, (128, 128, 128)),
        (imagenet, 1 / IMAGENET[1], -IMAGENET[0] / IMAGENET[1], (124, 116, 104)),
        (zero_to_one, [1 / 255] * 3, [0.0] * 3, (0, 0, 0)),
        (as_it_is, [1.0] * 3, [0.0] * 3, (0, 0, 0)),
        (lambda p: p - IMAGENET[0], [1.0] * 3, -IMAGENET[0], (124, 116, 104)),
    ],
    ids=["-1..1", "ImageNet", "0..1", "0..255", "mean only"],
)
def test_normalisation_is_measured(
    normalise: Normalise, scale: Any, offset: Any, colour: tuple[int, int, int]
) -> None:
    rule = measure(padding(64, 64, "linear", normalise))
    assert rule.scale == pytest.approx(np.asarray(scale), rel=1e-4)
    assert rule.offset == pytest.approx(np.asarray(offset), rel=1e-4, abs=1e-6)
    assert rule.padding == pytest.approx(colour, abs=1)
    assert rule.letterbox == "pad-right-bottom"
    shares = measure(stretching(64, 64, "linear", normalise))
    assert shares.scale == rule.scale
    assert shares.padding == (0, 0, 0)


def test_float32_is_enough() -> None:
    """TensorFlow computes in it."""
    exact = padding(96, 64, "linear-corner", imagenet)
    rule = measure(lambda batch: exact(batch).astype(np.float32))
    assert rule.padding == (124, 116, 104)
    assert rule.interpolation == "linear-corner"


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 0, 0), (10, 200, 90)])
def test_the_colour_of_the_padding_is_measured(colour: tuple[int, int, int]) -> None:
    model = padding(64, 64, "linear", zero_to_one)

    def coloured(batch: Array) -> Array:
        canvas, filled = model(batch), model(np.ones_like(batch))
        return np.where(filled > 0, canvas, np.array(colour) / 255)

    rule = measure(coloured)
    assert rule.padding == colour


def test_white_padding_cannot_be_told_from_a_white_picture_but_is_not_taken_for_stretching() -> None:
    """The pictures that tell padding are white; whatever is made of it, it must not be a wrong rule."""
    model = padding(64, 64, "linear", zero_to_one, colours=(1.0, 1.0))
    try:
        rule = measure(model)
    except ConvertError:
        return
    assert rule.letterbox == "pad-right-bottom"
    assert rule.padding == (255, 255, 255)


@pytest.mark.parametrize("seed", range(6))
def test_any_canvas_is_measured(seed: int, astronaut: Pixels) -> None:
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(48, 200, 2))
    method = str(random.choice(["linear", "linear-corner", "area"]))
    short_side = int(random.integers(min(width, height) // 2, min(width, height))) if seed % 2 else 0
    model = padding(width, height, method, imagenet, short_side=short_side)
    rule = measure(model)
    assert (rule.width, rule.height, rule.interpolation) == (width, height, method)
    assert rule.short_side == short_side
    for _ in range(4):
        bottom, right = (int(side) for side in random.integers(40, 512, 2))
        check(rule, model, np.ascontiguousarray(astronaut[:bottom, :right]))


def standardised(picture: Array) -> Array:
    """Per picture, as ``tf.image.per_image_standardization``."""
    return np.asarray((picture - picture.mean()) / max(picture.std(), 1 / np.sqrt(picture.size)))


REFUSED: dict[str, tuple[Model, str]] = {
    "centred": (padding(64, 64, "linear", imagenet, place="centre"), "top left"),
    "two colours": (
        padding(64, 64, "linear", imagenet, colours=(0.0, 0.5)),
        "not one plain colour",
    ),
    "colour out of range": (padding(64, 64, "linear", as_it_is, colours=(-300, -300)), "plain colour"),
    "BGR": (stretching(64, 64, "linear", lambda p: p[..., ::-1] / 255), "swaps colour channels"),
    "grey": (
        stretching(64, 64, "linear", lambda p: p.mean(axis=-1, keepdims=True).repeat(3, -1)),
        "mixes or swaps",
    ),
    "inverted": (stretching(64, 64, "linear", lambda p: 255 - p), "mixes or swaps"),
    "constant": (stretching(64, 64, "linear", lambda p: p * 0), "mixes or swaps"),
    "gamma": (stretching(64, 64, "linear", lambda p: (p / 255) ** 2.2), "not linear"),
    "logarithm": (stretching(64, 64, "linear", np.log1p), "not linear"),
    "per picture": (stretching(64, 64, "linear", standardised), "the model"),
    "nearest": (stretching(64, 64, "nearest", imagenet), "the model's resizing is none of"),
    "nearest, padded": (padding(64, 64, "nearest", imagenet), "the model's resizing is none of"),
    "cubic": (stretching(64, 64, "cubic", imagenet), "the model's resizing is none of"),
    "mirrored": (
        stretching(64, 64, "linear", lambda p: p[:, ::-1] / 255),
        "the model's resizing is none of",
    ),
    "turned": (
        lambda batch: resize(batch[0].transpose(1, 0, 2), 64, 64, "linear")[None] / 255,
        "the model's resizing is none of",
    ),
    "rounded down": (padding(97, 97, "linear", imagenet, rounding=int), "resizer is not a known one"),
    "variable": (lambda batch: imagenet(batch), "depends on the picture"),
    "channels first": (
        lambda batch: stretching(64, 64, "linear", imagenet)(batch).transpose(0, 3, 1, 2),
        r"expected \[1, H, W, 3\]",
    ),
    "flat": (lambda batch: stretching(64, 64, "linear", imagenet)(batch).reshape(1, -1), r"expected \[1, H"),
    "not a number": (stretching(64, 64, "linear", lambda p: p * np.nan), "the model"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_the_box_cannot_follow_is_refused(name: str) -> None:
    model, reason = REFUSED[name]
    with pytest.raises(ConvertError, match=reason):
        measure(model)


def test_a_canvas_of_a_multiple_depends_on_the_picture() -> None:
    """``pad_to_multiple`` without a maximum: the canvas grows with the picture."""

    def run(batch: Array) -> Array:
        sides = [-(-side // 32) * 32 for side in batch.shape[1:3]]
        canvas = np.zeros((1, *sides, 3))
        canvas[:, : batch.shape[1], : batch.shape[2]] = batch
        return canvas

    with pytest.raises(ConvertError, match="depends on the picture"):
        measure(run)


def test_tensorflow_is_measured() -> None:
    tf = pytest.importorskip("tensorflow", reason="needs the convert extra")

    def run(method: Callable[[Any], Any]) -> Preprocessing:
        return measure(lambda batch: imagenet(method(tf.constant(batch, tf.float32)).numpy()))

    v1 = tf.raw_ops.ResizeBilinear
    assert run(lambda x: v1(images=x, size=[96, 64])).interpolation == "linear-corner"
    assert run(lambda x: v1(images=x, size=[96, 64], half_pixel_centers=True)).interpolation == "linear"
    assert run(lambda x: tf.image.resize(x, [96, 64])).interpolation == "linear"

    def keep_aspect(x: Any) -> Any:
        scale = min(64 / x.shape[2], 96 / x.shape[1])
        inner = [min(96, round(x.shape[1] * scale)), min(64, round(x.shape[2] * scale))]
        return tf.image.pad_to_bounding_box(v1(images=x, size=inner), 0, 0, 96, 64)

    padded = run(keep_aspect)
    assert (padded.width, padded.height) == (64, 96)
    assert (padded.letterbox, padded.interpolation) == ("pad-right-bottom", "linear-corner")
    with pytest.raises(ConvertError, match="the model's resizing is none of"):
        run(lambda x: tf.image.resize(x, [96, 64], antialias=True))
