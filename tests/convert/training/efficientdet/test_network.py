"""The network has the paper's size, and in training changes what it is to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the convert extra")

import tensorflow as tf

from convert.errors import ConvertError
from convert.training.efficientdet.loss import read
from convert.training.efficientdet.network import (
    LITE0,
    MOMENTUM,
    VARIANTS,
    Double,
    FusedBatchNorm,
    Fusion,
    core,
    make_network,
    make_trainable,
)
from convert.training.efficientdet.recipe import MODELS, RECIPES, SCALE, named, variant
from convert.training.efficientdet.targets import assign

COCO_CLASSES = 90


@pytest.fixture(scope="module")
def model() -> Any:
    return make_trainable(replace(VARIANTS["D0"], backbone=LITE0), pretrained=True)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize(("name", "millions"), [("D0", 3.9), ("D1", 6.6), ("D2", 8.1)])
def test_a_network_has_the_papers_number_of_parameters(name: str, millions: float) -> None:
    """Table 2, which gives two digits; ours with the statistics of the normalisation, which are few."""
    network = make_network(VARIANTS[name], 128, COCO_CLASSES)
    assert network.count_params() / 1e6 == pytest.approx(millions, rel=0.02)


def test_a_fusion_is_a_mean_by_weights_that_are_not_negative() -> None:
    maps = [tf.fill([1, 2, 2, 3], value) for value in (1.0, 2.0, 4.0)]
    layer = Fusion()
    assert layer(maps).numpy() == pytest.approx(7 / 3, abs=1e-3)  # at first all count alike
    layer.kernel.assign([[0.5], [-3.0], [1.5]])
    shares = layer.shares().numpy()[:, 0]
    assert shares == pytest.approx([0.25, 0, 0.75], abs=1e-4)
    assert layer(maps).numpy() == pytest.approx(0.25 * 1 + 0.75 * 4, abs=1e-3)


def test_doubling_repeats_rows_and_columns_whether_or_not_sides_are_known() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    expected = x.repeat(2, axis=1).repeat(2, axis=2)
    assert (Double()(x).numpy() == expected).all()
    free = tf.function(Double(), input_signature=[tf.TensorSpec([None, None, None, 2])], autograph=False)
    assert (free(tf.constant(x)).numpy() == expected).all()


def test_normalisation_takes_the_batch_in_training_and_remembers_it() -> None:
    layer = FusedBatchNorm(epsilon=1e-3)
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 2)).astype(np.float32)
    y = layer(x, training=True).numpy()
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2), ddof=1)
    assert y == pytest.approx((x - mean) / np.sqrt(x.var((0, 1, 2)) + 1e-3), abs=1e-4)
    assert layer.moving_mean.numpy() == pytest.approx(mean * (1 - MOMENTUM), abs=1e-5)
    assert layer.moving_variance.numpy() == pytest.approx(MOMENTUM + variance * (1 - MOMENTUM), abs=1e-4)


def test_a_frozen_normalisation_keeps_its_statistics() -> None:
    layer = FusedBatchNorm()
    layer.trainable = False
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 2)).astype(np.float32)
    assert layer(x, training=True).numpy() == pytest.approx(x, rel=1e-3)
    assert (layer.moving_mean.numpy() == 0).all()


def test_a_backbone_with_weights_is_frozen_before_level_three(model: Any) -> None:
    frozen = {layer.name for layer in core(model).get_layer("backbone").layers if not layer.trainable}
    convolutions = {name for name in frozen if "conv" in name}
    assert "conv_stem" in convolutions
    assert "blocks.2._project_conv" in convolutions
    assert not any(name.startswith(("blocks.3.", "blocks.15.")) for name in convolutions)
    assert "blocks.15._bn2" in frozen


def test_every_weight_that_is_trained_has_a_finite_gradient(model: Any) -> None:
    recipe = RECIPES["efficientdet-d0-lite0"]
    wanted = assign([np.array([[20, 30, 60, 90]], np.float32)] * 2, [np.zeros(1, bool)] * 2, 128, SCALE)
    canvas = np.random.default_rng(0).uniform(0, 255, (2, 128, 128, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs = model(canvas, training=True)
        total = tf.add_n(list(recipe.loss(outputs, wanted, {}).values()))
    gradients = tape.gradient(total, model.trainable_variables)
    assert outputs["classes"].shape == (2, 3069, 1)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert tf.sigmoid(outputs["classes"]).numpy().mean() == pytest.approx(0.01, rel=0.1)
    boxes, scores = read(outputs, (128, 128), SCALE)
    assert boxes.shape == (2, 300, 4)
    assert scores.shape == (2, 300)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_knows_its_network(name: str) -> None:
    recipe = RECIPES[name]
    chosen = variant(name)
    assert recipe.name == name
    assert recipe.side == chosen.size
    assert (chosen.backbone == LITE0) == name.endswith("-lite0")


def test_weights_choose_the_recipe() -> None:
    for model in MODELS:
        assert named(model, "none").name == model
        assert named(model, "imagenet").name == f"{model}-imagenet"
        assert named(model, "some/file.pth").name == f"{model}-lite0"
    with pytest.raises(
        ConvertError, match=r"--weights face\.onnx: efficientdet-d0 starts from none, imagenet"
    ):
        named("efficientdet-d0", "face.onnx")
    with pytest.raises(ConvertError, match="--model efficientdet-d9: one of efficientdet-d0, "):
        named("efficientdet-d9", "none")
